"""Weighted layers found in a program: a convolution or matrix product with its bias, and batch norm, if any, folded in.

Relevance treats these operations together: `z = A x + b`, where `A` is the kernel times the scale of the batch norm.
`Layer.plain` evaluates that, `Layer.parts` its positive and negative contributions apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Literal

import jax.numpy as jnp
from jax.extend.core import JaxprEqn, Var
from jaxtyping import Array, Float32

from jaxcam.attribution.gradient.flow import Kind, active_operands
from jaxcam.attribution.interpret import Atom, Program, apply

ARITHMETIC = ("add", "sub", "mul", "div", "neg")
MOVES = ("reshape", "transpose", "squeeze", "expand_dims", "convert_element_type", "copy", "copy_p")


@dataclass(frozen=True, eq=False)
class Layer:
    """One affine layer: its operations in order, and where in each the value comes in that depends on the images."""

    operations: tuple[JaxprEqn, ...]
    operands: tuple[int, ...]
    stage: str
    """the next name behind it that `checkpoint_name` gave, a chain's stage; empty without one"""
    first: bool
    """whether its input is the image, or the image shifted and scaled"""

    @property
    def kind(self) -> Literal["conv", "dense"]:
        """Convolution or matrix product."""
        return "dense" if self.operations[0].primitive.name == "dot_general" else "conv"

    @property
    def input(self) -> Atom:
        """The variable that enters."""
        return self.operations[0].invars[self.operands[0]]

    @property
    def output(self) -> Var:
        """The variable that leaves."""
        return self.operations[-1].outvars[0]

    @property
    def constants(self) -> list[Atom]:
        """The other values it reads: kernel, bias and so on."""
        pairs = zip(self.operations, self.operands, strict=True)
        return [atom for operation, at in pairs for i, atom in enumerate(operation.invars) if i != at]

    def plain(self, x: Float32[Array, "..."], constants: Sequence[Any], *, bias: bool = True) -> Float32[Array, "..."]:
        """`A x + b` in float32; without `b` if asked."""
        remaining = [wide(value) for value in constants]
        for operation, at in zip(self.operations, self.operands, strict=True):
            others = [remaining.pop(0) for _ in range(len(operation.invars) - 1)]
            if operation.primitive.name in ("add", "sub") and not bias:
                others = [jnp.zeros_like(value) for value in others]
            x = in_float32(operation, [*others[:at], x, *others[at:]])
        return x

    def parts(
        self,
        upper: Float32[Array, "..."] | None,
        lower: Float32[Array, "..."] | None,
        constants: Sequence[Any],
        *,
        bias: bool = True,
    ) -> tuple[Float32[Array, "..."], Float32[Array, "..."]]:
        """`(A+ upper + A- lower + b+, A- upper + A+ lower + b-)`, with `+` and `-` the positive and negative parts.

        With the positive part of the input as `upper` and its negative part as `lower` these are the sums of all
        positive and of all negative contributions. None stands for zeros and costs nothing.
        """
        remaining = [wide(value) for value in constants]
        first, at = self.operations[0], self.operands[0]
        (weights,) = (remaining.pop(0) for _ in range(len(first.invars) - 1))

        def product(x, part):
            return in_float32(first, [x, part] if at == 0 else [part, x])

        positive, negative = jnp.maximum(weights, 0), jnp.minimum(weights, 0)
        plus = total([product(x, w) for x, w in ((upper, positive), (lower, negative)) if x is not None])
        minus = total([product(x, w) for x, w in ((upper, negative), (lower, positive)) if x is not None])
        for operation, position in zip(self.operations[1:], self.operands[1:], strict=True):
            others = [remaining.pop(0) for _ in range(len(operation.invars) - 1)]
            plus, minus = step(operation, position, plus, minus, others, bias)
        return plus, minus


def step(operation: JaxprEqn, at: int, plus: Array, minus: Array, others: list[Any], bias: bool) -> tuple[Array, Array]:
    """Positive and negative contributions after one operation with constants."""
    name = operation.primitive.name
    if name == "neg" or (name == "sub" and at == 1):
        plus, minus = -minus, -plus
    if name in ("add", "sub"):
        constant = others[0] if name == "add" or at == 1 else -others[0]
        constant = constant if bias else jnp.zeros_like(constant)
        return plus + jnp.maximum(constant, 0), minus + jnp.minimum(constant, 0)
    if name in ("mul", "div"):
        factor = others[0] if name == "mul" else 1 / others[0]
        up, down = jnp.maximum(factor, 0), jnp.minimum(factor, 0)
        return plus * up + minus * down, minus * up + plus * down
    return (plus, minus) if name == "neg" else (in_float32(operation, [plus]), in_float32(operation, [minus]))


def total(terms: list[Array]) -> Array:
    """The sum of at least one array."""
    return reduce(add, terms)


def wide(value: Any) -> Any:
    """Floating-point values in float32."""
    value = jnp.asarray(value)
    return value.astype(jnp.float32) if jnp.issubdtype(value.dtype, jnp.floating) else value


def in_float32(operation: JaxprEqn, values: Sequence[Any]) -> Array:
    """An operation's result for float32 values, whatever precision it has in the program."""
    if operation.primitive.name == "convert_element_type":
        return values[0]
    if "preferred_element_type" in operation.params:
        params = {**operation.params, "preferred_element_type": jnp.dtype(jnp.float32)}
        operation = operation.replace(params=params)
    return apply(operation, values)[0]


def weighted_layers(program: Program, kinds: dict[JaxprEqn, Kind]) -> list[Layer]:
    """The program's weighted layers in order, each with the constants added and multiplied right behind it."""
    raw: set[Atom] = {variable for variable in program.inputs}
    stages: dict[JaxprEqn, str] = {}
    stage = ""
    for operation in reversed(program.operations):
        stage = operation.params["name"] if operation.primitive.name == "name" else stage
        stages[operation] = stage
    layers = []
    for operation in program.operations:
        operands = [operation.invars[i] for i in active_operands(program, operation)]
        if kinds[operation] is Kind.WEIGHTED:
            chain, positions = _followed(program, operation)
            layers.append(Layer(chain, positions, stages[operation], operands[0] in raw))
        elif operation.primitive.name in (*ARITHMETIC, *MOVES, "name") and operands and raw.issuperset(operands):
            raw.update(operation.outvars)
    return layers


def _followed(program: Program, operation: JaxprEqn) -> tuple[tuple[JaxprEqn, ...], tuple[int, ...]]:
    """A product and the operations right behind it that belong to the same layer, with the positions of its value."""
    chain, positions, length = [operation], active_operands(program, operation), 1
    while True:
        output = chain[-1].outvars[0]
        readers = program.readers.get(output, [])
        if len(readers) != 1 or output in program.outputs:
            break
        (reader,) = readers
        operands, name = active_operands(program, reader), reader.primitive.name
        if len(operands) != 1 or name not in (*ARITHMETIC, *MOVES) or (name == "div" and operands[0] == 1):
            break
        chain.append(reader)
        positions.append(operands[0])
        if name in ARITHMETIC:
            length = len(chain)
    return tuple(chain[:length]), tuple(positions[:length])
