"""Programs evaluated with some of their operations replaced: what rectifiers, relevance and DeepLIFT have in common.

A program is a function written down as one flat list of primitive operations (`jaxprs`): calls are opened (`jit`,
`remat`, and the functions with a custom derivative that the caller asks for), so an operation stands in one list
wherever a library put it. Loops and branches (`scan`, `while`, `cond`) stay single operations; `with_bodies` evaluates
one with other bodies. Nothing here differentiates or compiles: `Program.evaluate` applies the same
primitives again, so the result works under `jit`, `vmap`, `vjp` and sharding as the function did.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from math import prod
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal, Var

from jaxcam.attribution.jaxprs import DERIVATIVE_CALLS, PLAIN_CALLS, called, inlined, traced
from jaxcam.networks.convolution import evaluated, one_operation

Atom = Var | Literal
Rule = Callable[[JaxprEqn, list[Any]], "list[Any] | None"]
"""From an operation and its values to its results, or None to evaluate it as it stands."""


class Program:
    """A flat jaxpr and what can be looked up in it; every variable is written once.

    `open_custom` decides by its body whether a function with a custom derivative is opened (its derivative is then its
    body's); by default none is.
    """

    def __init__(self, jaxpr: ClosedJaxpr, *, open_custom: "Callable[[Program], bool] | None" = None):
        def enter(equation):
            if equation.primitive.name in PLAIN_CALLS:
                return True
            if open_custom is None or equation.primitive.name not in DERIVATIVE_CALLS:
                return False
            body = called(equation)
            return body is not None and open_custom(Program(body, open_custom=open_custom))

        flat = inlined(jaxpr, enter)
        self.operations: list[JaxprEqn] = flat.jaxpr.eqns
        self.inputs: list[Var] = flat.jaxpr.invars
        self.outputs: list[Atom] = flat.jaxpr.outvars
        self.constants: dict[Var, Any] = dict(zip(flat.jaxpr.constvars, flat.consts, strict=True))

    @cached_property
    def producers(self) -> dict[Atom, JaxprEqn]:
        """The operation that writes each variable."""
        return {output: operation for operation in self.operations for output in operation.outvars}

    @cached_property
    def readers(self) -> dict[Atom, list[JaxprEqn]]:
        """The operations that read each variable, in order, each once."""
        found: dict[Atom, list[JaxprEqn]] = {}
        for operation in self.operations:
            for atom in {atom for atom in operation.invars if isinstance(atom, Var)}:
                found.setdefault(atom, []).append(operation)
        return found

    @cached_property
    def active(self) -> set[Var]:
        """The variables that depend on the program's inputs."""
        found = set(self.inputs)
        for operation in self.operations:
            if any(isinstance(atom, Var) and atom in found for atom in operation.invars):
                found.update(operation.outvars)
        return found

    @cached_property
    def bytes(self) -> int:
        """Memory of all intermediate results together: what a backward pass keeps at most, loops not counted."""
        avals: list[Any] = [variable.aval for operation in self.operations for variable in operation.outvars]
        return sum(prod(aval.shape) * aval.dtype.itemsize for aval in avals if hasattr(aval, "shape"))

    def evaluate(self, *arguments: Any, rule: Rule = lambda operation, values: None) -> list[Any]:
        """The outputs for flat arguments, with the operations replaced for which `rule` gives results."""
        values: dict[Var, Any] = {**self.constants, **dict(zip(self.inputs, arguments, strict=True))}

        def read(atom):
            return values[atom] if isinstance(atom, Var) else atom.val

        for operation in self.operations:
            operands = [read(atom) for atom in operation.invars]
            results = rule(operation, operands)
            results = apply(operation, operands) if results is None else results
            values.update(zip(operation.outvars, results, strict=True))
            for atom in self._last_read.get(operation, ()):
                del values[atom]
        return [read(atom) for atom in self.outputs]

    @cached_property
    def _last_read(self) -> dict[JaxprEqn, list[Var]]:
        """The variables nobody reads after an operation: they go, as in any function."""
        last = {atom: operation for operation in self.operations for atom in operation.invars if isinstance(atom, Var)}
        found: dict[JaxprEqn, list[Var]] = {}
        for atom, operation in last.items():
            if atom not in self.outputs:
                found.setdefault(operation, []).append(atom)
        return found


def trace(
    function: Callable[..., Any], *arguments: Any, open_custom: Callable[[Program], bool] | None = None
) -> tuple[Program, Any]:
    """What `function` does for these arguments (arrays or `jax.ShapeDtypeStruct`), and the tree of its outputs."""
    with one_operation():  # a depthwise convolution is one layer for the rules
        jaxpr, tree = traced(function, *arguments)
    return Program(jaxpr, open_custom=open_custom), tree


def apply(operation: JaxprEqn, values: Sequence[Any]) -> list[Any]:
    """The results of an operation's primitive for other values."""
    if operation.primitive.name == "conv_general_dilated":
        result = evaluated(operation.params, *values)
        if result is not None:
            return [result]
    primitive, context = operation.primitive, getattr(operation, "ctx", None)
    with nullcontext() if context is None else context.manager:
        results = primitive.bind(*values, **primitive.get_bind_params(operation.params))
    return list(results) if primitive.multiple_results else [results]


def bodies(operation: JaxprEqn) -> tuple[ClosedJaxpr, ...]:
    """The bodies of a loop or branch that `with_bodies` can replace; none for `while`, which has no gradient."""
    if operation.primitive.name == "scan":
        return (operation.params["jaxpr"],)
    return tuple(operation.params["branches"]) if operation.primitive.name == "cond" else ()


def with_bodies(operation: JaxprEqn, values: Sequence[Any], rewritten: Sequence[Callable[..., list[Any]]]) -> list[Any]:
    """The results of a loop or branch with each of its `bodies` replaced by a function of the same flat arguments."""
    if operation.primitive.name == "cond":
        return list(jax.lax.switch(values[0], list(rewritten), *values[1:]))
    params, (body,) = operation.params, rewritten
    constants, carries = loop_counts(params)
    fixed, first, rows = values[:constants], values[constants : constants + carries], values[constants + carries :]

    def step(carry, row):
        results = body(*fixed, *carry, *row)
        return tuple(results[:carries]), tuple(results[carries:])

    options = {name: params[name] for name in ("length", "reverse", "unroll")}
    last, stacked = jax.lax.scan(step, tuple(first), tuple(rows), **options)
    return [*last, *stacked]


def loop_counts(params: Mapping[str, Any]) -> tuple[int, int]:
    """How many of a `scan`'s operands are the same in every turn, and how many are carried from turn to turn."""
    if "num_carry" in params:
        return params["num_consts"], params["num_carry"]
    fixed, carried, _ = params["ft_in"].unpack()  # jax 0.11
    return len(list(fixed)), len(list(carried))
