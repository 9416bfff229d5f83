"""A function as one flat list of steps, its calls inlined, so that a walk meets every operation once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
from jax.extend import core

from jaxcam.networks.convolution import one_operation

CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
    "checkpoint": "jaxpr",
    "remat": "jaxpr",
    "remat2": "jaxpr",
    "in_portions": "jaxpr",
}


@dataclass(frozen=True)
class Step:
    """One operation; values are named by numbers."""

    primitive: Any
    params: Mapping[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    label: str

    @property
    def name(self) -> str:
        """The primitive's name, as a jaxpr prints it."""
        return self.primitive.name

    def bind(self, *operands: Any, **changed: Any) -> list[Any]:
        """The operation's results for these operands, with some parameters replaced."""
        params = self.primitive.get_bind_params({**self.params, **changed})
        functions, params = params if isinstance(params, tuple) else ((), params)  # a pair before jax 0.10
        results = self.primitive.bind(*functions, *operands, **params)
        return list(results) if self.primitive.multiple_results else [results]


@dataclass(frozen=True)
class Program:
    """A traced function of one batch of images.

    `literals` are scalars of the program's text. `constants` names the values that the caller passes at each run, the
    arrays the function closes over. `touched` holds every value that depends on the images.
    """

    steps: tuple[Step, ...]
    image: int
    outputs: tuple[int, ...]
    structure: Any
    shapes: tuple[jax.ShapeDtypeStruct, ...]
    literals: Mapping[int, Any]
    constants: tuple[int, ...]
    touched: frozenset[int]

    @cached_property
    def broadcasts(self) -> dict[int, Step]:
        """Steps that spread a value that does not depend on the images; their results need not be kept whole."""
        plain = (step for step in self.steps if step.outputs[0] not in self.touched)
        return {step.outputs[0]: step for step in plain if step.name == "broadcast_in_dim" and len(step.inputs) == 1}

    def constant_along(self, value: int) -> set[int]:
        """Axes along which a value that does not depend on the images is known to be constant."""
        step = self.broadcasts.get(value)
        if step is None:
            return set()
        operand = self.shape(step.inputs[0])
        varying = {to for axis, to in enumerate(step.params["broadcast_dimensions"]) if operand[axis] != 1}
        return set(range(len(self.shape(value)))) - varying

    @property
    def batch(self) -> int:
        """Number of images."""
        return self.shapes[self.image].shape[0]

    def shape(self, value: int) -> tuple[int, ...]:
        """Shape of a value."""
        return self.shapes[value].shape


class _Inliner:
    """Numbers the values of a jaxpr and of the jaxprs it calls."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.shapes: list[jax.ShapeDtypeStruct] = []
        self.literals: dict[int, Any] = {}
        self.constants: list[int] = []
        self.arrays: list[Any] = []

    def new(self, aval: Any) -> int:
        self.shapes.append(jax.ShapeDtypeStruct(getattr(aval, "shape", ()), getattr(aval, "dtype", None)))
        return len(self.shapes) - 1

    def walk(self, jaxpr: Any, arrays: list[Any], inputs: list[int], label: str) -> list[int]:
        names = dict(zip(jaxpr.invars, inputs, strict=True))
        for variable, array in zip(jaxpr.constvars, arrays, strict=True):
            names[variable] = self.new(variable.aval)
            self.constants.append(names[variable])
            self.arrays.append(array)

        def number(atom: Any) -> int:
            if isinstance(atom, core.Literal):
                value = self.new(atom.aval)
                self.literals[value] = atom.val
                return value
            return names[atom]

        for equation in jaxpr.eqns:
            operands = [number(atom) for atom in equation.invars]
            stack = "/".join(part for part in (label, str(equation.source_info.name_stack)) if part)
            inner = equation.params.get(CALLS.get(equation.primitive.name, ""))
            if equation.primitive.name == "optimization_barrier":
                results = operands
            elif inner is None:
                results = [self.new(variable.aval) for variable in equation.outvars]
                step = Step(equation.primitive, equation.params, tuple(operands), tuple(results), stack)
                self.steps.append(step)
            elif isinstance(inner, core.ClosedJaxpr):
                results = self.walk(inner.jaxpr, list(inner.consts), operands, stack)
            else:
                results = self.walk(inner, [], operands, stack)
            names.update(zip(equation.outvars, results, strict=True))
        return [number(atom) for atom in jaxpr.outvars]


def trace(fn: Callable[[Any], Any], images: jax.ShapeDtypeStruct) -> tuple[Program, list[Any]]:
    """The program of `fn` for images of that shape, and the arrays it closes over (tracers inside a transformation)."""
    with one_operation():  # a depthwise convolution is one step
        closed, shape = jax.make_jaxpr(fn, return_shape=True)(images)
    inliner = _Inliner()
    image = inliner.new(images)
    outputs = inliner.walk(closed.jaxpr, list(closed.consts), [image], "")
    needed, touched = set(outputs), {image}
    steps: list[Step] = []
    for step in reversed(inliner.steps):
        if needed & set(step.outputs):
            needed |= set(step.inputs)
            steps.append(step)
    steps.reverse()
    for step in steps:
        if touched & set(step.inputs):
            touched |= set(step.outputs)
    program = Program(
        steps=tuple(steps),
        image=image,
        outputs=tuple(outputs),
        structure=jax.tree.structure(shape),
        shapes=tuple(inliner.shapes),
        literals=inliner.literals,
        constants=tuple(inliner.constants),
        touched=frozenset(touched),
    )
    return program, inliner.arrays
