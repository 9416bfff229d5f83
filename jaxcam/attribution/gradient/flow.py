"""What kind of step each operation of a network is: what relevance and DeepLIFT decide their rules by.

Only operations on values that depend on the images matter. `ACTIVATION`: works position by position on one such value
(a nonlinearity however it is written, or a shift and scale by constants). `WEIGHTED`: a convolution or matrix product
with constants. `SUM`: adds values without weights. `ROUTE`: moves, copies or picks values. Whatever is none of these is
`OTHER`.
"""

from enum import Enum
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn, Literal, Var

from jaxcam.attribution.gradient.rectifiers import rectified
from jaxcam.attribution.interpret import Atom, Program

ARITHMETIC = ("add", "sub", "mul", "div", "rem", "pow", "integer_pow", "square", "neg", "sign", "abs", "clamp")
TESTS = ("eq", "ge", "gt", "is_finite", "le", "lt", "ne", "and", "or", "not", "xor")
CURVES = ("exp", "exp2", "expm1", "log", "log1p", "logistic", "sqrt", "rsqrt", "cbrt", "erf", "erfc", "erf_inv")
CIRCULAR = ("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh")
COPIES = (
    "convert_element_type",
    "copy",
    "copy_p",
    "name",
    "reduce_precision",
    "stop_gradient",
    "ceil",
    "floor",
    "round",
)
MOVES = ("reshape", "transpose", "broadcast_in_dim", "squeeze", "expand_dims", "rev", "slice", "dynamic_slice", "pad")
JOINS = ("concatenate", "split", "gather", "sharding_constraint", "optimization_barrier")
MAXIMA = ("max", "min", "reduce_max", "reduce_min", "reduce_window_max", "reduce_window_min", "sort", "top_k")

POSITION_WISE = frozenset((*ARITHMETIC, *TESTS, *CURVES, *CIRCULAR, *COPIES, "max", "min", "select_n"))
ROUTES = frozenset((*COPIES, *MOVES, *JOINS, *MAXIMA, "select_n"))
PRODUCTS = ("conv_general_dilated", "dot_general")
SUMS = ("add", "add_any", "sub", "reduce_sum", "reduce_window_sum", "cumsum")


class Kind(Enum):
    """What an operation does to the values that depend on the images."""

    CONSTANT = "reads nothing that depends on the images"
    ACTIVATION = "works position by position on one value"
    WEIGHTED = "weights one value with constants and adds up"
    SUM = "adds up values"
    ROUTE = "moves, copies or picks values"
    OTHER = "anything else"


def active_operands(program: Program, operation: JaxprEqn) -> list[int]:
    """Positions of an operation's arguments that depend on the program's inputs."""
    return [i for i, atom in enumerate(operation.invars) if isinstance(atom, Var) and atom in program.active]


def kinds(program: Program) -> dict[JaxprEqn, Kind]:
    """The kind of every operation."""
    return traced_back(program)[0]


def traced_back(program: Program) -> tuple[dict[JaxprEqn, Kind], dict[Atom, Atom]]:
    """The kind of every operation, and for every value the one it was made of position by position."""
    roots: dict[Atom, Atom] = {variable: variable for variable in program.inputs}
    found = {}
    for operation in program.operations:
        operands = [operation.invars[i] for i in active_operands(program, operation)]
        origin = {roots[atom] for atom in operands}
        results = operation.outvars
        is_activation = (
            operation.primitive.name in POSITION_WISE
            and len(origin) == 1
            and all(shape(atom) == shape(results[0]) for atom in operands)
        )
        roots.update({result: next(iter(origin)) if is_activation else result for result in results})
        found[operation] = Kind.ACTIVATION if is_activation else _other_kind(program, operation)
    return found, roots


def _other_kind(program: Program, operation: JaxprEqn) -> Kind:
    name, operands = operation.primitive.name, active_operands(program, operation)
    if not operands:
        return Kind.CONSTANT
    if name in PRODUCTS and len(operands) == 1:
        return Kind.WEIGHTED
    # A product with constants that repeats a value along an axis: its gradient adds up over them.
    if name in SUMS or (operands == [0] and name in ("mul", "div")) or (operands == [1] and name == "mul"):
        return Kind.SUM
    # What is not a floating-point number has no gradient and no relevance: tests and positions decide where others go.
    avals: list[Any] = [result.aval for result in operation.outvars]
    has_values = any(jnp.issubdtype(aval.dtype, jnp.floating) for aval in avals)
    return Kind.ROUTE if name in ROUTES or not has_values else Kind.OTHER


def non_negative(program: Program) -> set[Var]:
    """The variables that are known to have no negative value: what ReLUs give, and pools, sums and moves of it."""
    relus = rectified(program)
    known: set[Var] = set()
    for operation in program.operations:
        if operation in relus or _keeps_sign(program, operation, known):
            known.update(operation.outvars)
    return known


def _keeps_sign(program: Program, operation: JaxprEqn, known: set[Var]) -> bool:
    name = operation.primitive.name
    operands = [operation.invars[i] for i in active_operands(program, operation)]
    signed = [atom for atom in operands if jnp.issubdtype(cast(Any, atom.aval).dtype, jnp.floating)]
    if not signed or any(atom not in known for atom in signed):
        return name in ("logistic", "exp", "abs", "square")
    others = [atom for atom in operation.invars if atom not in operands]
    plain = all(isinstance(atom, Literal) and np.all(np.asarray(atom.val) >= 0) for atom in others)
    if name in ("mul", "div", "min", "add", "concatenate", "pad"):
        return plain
    return name != "sub" and (name in SUMS or name in ROUTES or name in ("sqrt", "tanh", "convert_element_type"))


def shape(atom: Atom) -> tuple[int, ...]:
    """The shape of a value."""
    return cast(Any, atom.aval).shape
