"""Heads that treat every channel alone until a first dense layer, as almost all do.

Pools, ReLUs, means and reshapes act channel by channel; the first dense layer is linear in what they give. So all
channels' shares in that layer come from one product, and its answer to a channel that is raised everywhere is a
constant. Ablation-CAM needs the first, Grad-CAM's weights the second. Both are exact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jaxtyping import Array, Float, Float32

from jaxcam.attribution import jaxprs

# fmt: off
UNARY = frozenset({
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "cbrt", "ceil", "convert_element_type",
    "copy", "copy_p", "cos", "cosh", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor",
    "integer_pow", "is_finite", "log", "log1p", "logistic", "name", "neg", "not", "reduce_precision",
    "round", "rsqrt", "sign", "sin", "sinh", "sqrt", "square", "stop_gradient", "tan", "tanh",
})
# fmt: on
# fmt: off
MANY = frozenset({
    "add", "add_any", "and", "atan2", "clamp", "div", "eq", "ge", "gt", "le", "lt", "max", "min", "mul",
    "ne", "nextafter", "or", "pow", "rem", "select_n", "sub", "xor",
})
# fmt: on
ADDITIVE = frozenset({"add", "add_any", "sub"})
UNCHANGED = frozenset({"convert_element_type", "copy", "copy_p", "name", "reduce_precision"})
REDUCTIONS = frozenset({"reduce_sum", "reduce_max", "reduce_min"})
WINDOWS = frozenset({"reduce_window_max", "reduce_window_min", "reduce_window_sum"})


@dataclass(frozen=True)
class Rows:
    """What is known of a value whose every element, for image i, depends on one channel of image i's activations."""

    channel: np.ndarray
    """that channel, in the shape of the value without its first axis"""
    slope: float | None = 1.0
    """how much every element grows when its channel grows by one everywhere; None where that is not a constant"""


@dataclass(frozen=True)
class Contraction:
    """A head cut at its first dense layer: `before` acts channel by channel, `after` takes the layer's product."""

    before: jaxprs.Program
    after: jaxprs.Program
    kernel: jaxprs.Program
    """without arguments: the layer's kernel, which does not depend on the activations"""
    equation: jaxprs.Equation
    rows_first: bool
    """whether the product has the images in its first axis (else in its last)"""
    channels: int
    layout: tuple[int, int]
    """values of one channel stand at `lead * channels * trail + channel * trail + position`: (lead, trail)"""
    slope: float | None

    def product(self, activations: Float[Array, "n h w c"]) -> jax.Array:
        """The layer's product, as the head has it."""
        values, kernel = jaxprs.run(self.before, activations)[0], self._kernel()
        operands = (values, kernel) if self.rows_first else (kernel, values)
        return jaxprs.bound(self.equation, operands, self.equation.params)[0]

    def wide_values(self, activations: Float[Array, "n h w c"]) -> Float32[Array, "n a c b"]:
        """The dense layer's input in float32, sorted by channel: (n, lead, channels, trail)."""
        values = jaxprs.run_in_float32(self.before, activations)[0].astype(jnp.float32)
        lead, trail = self.layout
        return values.reshape(values.shape[0], lead, self.channels, trail)

    def wide_kernel(self) -> Float32[Array, "a c b f"]:
        """The kernel in float32 in the same order, its outputs in one axis."""
        kernel = jaxprs.run_in_float32(self.kernel)[0]
        return self._sorted(kernel).astype(jnp.float32)

    def summed_kernel(self) -> Float32[Array, "c f"]:
        """Per channel the kernel's sum over positions: the layer's answer to that channel raised by one everywhere."""
        kernel = self._sorted(self._kernel())
        ones = jnp.ones((kernel.shape[0], kernel.shape[2]), kernel.dtype)
        # A product with ones: XLA's sum over leading axes takes 60 times as long on a CPU.
        return jnp.einsum("ab,acbf->cf", ones, kernel, precision="highest", preferred_element_type=jnp.float32)

    def rows(self, product: jax.Array) -> Float[Array, "n f"]:
        """A product with the images first and one axis of outputs."""
        product = product if self.rows_first else jnp.moveaxis(product, -1, 0)
        return product.reshape(product.shape[0], -1)

    def unrows(self, rows: Float[Array, "n f"]) -> jax.Array:
        """The inverse of `rows`, for any number of images."""
        shape = shape_of(self.equation.outvars[0])
        outputs = shape[1:] if self.rows_first else shape[:-1]
        product = rows.reshape(rows.shape[0], *outputs)
        return product if self.rows_first else jnp.moveaxis(product, 0, -1)

    def _kernel(self):
        return jaxprs.run(self.kernel)[0]

    def _sorted(self, kernel):
        (left, right), _ = self.equation.params["dimension_numbers"]
        own, other = (left, right) if self.rows_first else (right, left)
        # Contracted axes in the order in which they stand in the values, then the kernel's outputs.
        contracted = [other[own.index(axis)] for axis in sorted(own)]
        outputs = [axis for axis in range(kernel.ndim) if axis not in contracted]
        lead, trail = self.layout
        return jnp.transpose(kernel, (*contracted, *outputs)).reshape(lead, self.channels, trail, -1)


def contraction(head: Callable[..., Any], activations: Float[Array, "n h w c"]) -> Contraction | None:
    """The head cut at its first dense layer; None where it does more before that layer, or goes round it."""
    program, tree = jaxprs.traced(head, activations)
    program = jaxprs.inlined(program, lambda equation: equation.primitive.name in jaxprs.PLAIN_CALLS)
    if tree != jax.tree.structure(0):
        return None
    known = {program.jaxpr.invars[0]: whole(activations.shape)}
    for equation in program.jaxpr.eqns:
        mine = [i for i, atom in enumerate(equation.invars) if isinstance(atom, core.Var) and atom in known]
        if not mine:
            continue
        if equation.primitive.name == "dot_general" and len(mine) == 1:
            return cut_at(program, equation, mine[0], known[equation.invars[mine[0]]], activations.shape)
        rows = rule(equation, [known.get(a) if isinstance(a, core.Var) else None for a in equation.invars])
        if rows is None:
            return None
        known[equation.outvars[0]] = rows
    return None


def whole(shape: tuple[int, ...]) -> Rows:
    """The activations themselves."""
    return Rows(np.broadcast_to(np.arange(shape[-1]), shape[1:]))


def cut_at(program, equation, position: int, rows: Rows, shape: tuple[int, ...]) -> Contraction | None:
    """The contraction, if the layer takes in everything but the image axis and nothing else is needed after it."""
    (left, right), (batch, _) = equation.params["dimension_numbers"]
    own = (left, right)[position]
    values, kernel = equation.invars[position], equation.invars[1 - position]
    if batch or sorted(own) != list(range(1, len(shape_of(values)))):
        return None
    layout = layout_of(rows.channel.reshape(-1), shape[-1])
    argument, product = program.jaxpr.invars[0], equation.outvars[0]
    after, besides = jaxprs.part(program, [product], program.jaxpr.outvars)
    constant, touched = jaxprs.part(program, [], [kernel])
    if layout is None or besides or touched:
        return None
    before, _ = jaxprs.part(program, [argument], [values])
    return Contraction(before, after, constant, equation, position == 0, shape[-1], layout, rows.slope)


def shape_of(atom: Any) -> tuple[int, ...]:
    return atom.aval.shape


def layout_of(channel: np.ndarray, channels: int) -> tuple[int, int] | None:
    """(lead, trail) of values that stand channels last, channels first or between; None for any other order."""
    if channel.size == 0 or channel.size % channels:
        return None
    changes = np.flatnonzero(np.diff(channel))
    trail = int(changes[0]) + 1 if len(changes) else channel.size
    lead = channel.size // (channels * trail) if channel.size % (channels * trail) == 0 else 0
    regular = np.broadcast_to(np.arange(channels)[:, None], (max(lead, 1), channels, trail)).reshape(-1)
    return (lead, trail) if lead and np.array_equal(channel, regular) else None


def rule(equation: jaxprs.Equation, operands: list[Rows | None]) -> Rows | None:
    """What is known of an equation's result; None where it mixes channels or images, or may."""
    name, params = equation.primitive.name, equation.params
    inner = jaxprs.called(equation)
    if inner is not None:
        return through(inner, operands)
    images = next(shape_of(a)[0] for a, o in zip(equation.invars, operands, strict=True) if o is not None)
    rows = next(o for o in operands if o is not None)
    shape = shape_of(equation.outvars[0])
    if name in UNARY:
        return Rows(rows.channel, -rows.slope if name == "neg" and rows.slope else kept(rows, name in UNCHANGED))
    if name in MANY:
        return combined(name, equation, operands, shape)
    if not shape or shape[0] != images:
        return None
    if name == "reshape" and params.get("dimensions") is None:
        return Rows(rows.channel.reshape(shape[1:]), rows.slope)
    if name == "transpose" and params["permutation"][0] == 0:
        return Rows(rows.channel.transpose([axis - 1 for axis in params["permutation"][1:]]), rows.slope)
    if name == "squeeze" and 0 not in params["dimensions"]:
        return Rows(rows.channel.reshape(shape[1:]), rows.slope)
    if name == "broadcast_in_dim" and params["broadcast_dimensions"][:1] == (0,):
        narrow = [1] * (len(shape) - 1)
        for axis, size in zip(params["broadcast_dimensions"][1:], rows.channel.shape, strict=True):
            narrow[axis - 1] = size
        return Rows(np.broadcast_to(rows.channel.reshape(narrow), shape[1:]), rows.slope)
    if name == "slice":
        limits = zip(
            params["start_indices"], params["limit_indices"], params["strides"] or [1] * len(shape), strict=True
        )
        slices = [slice(*limit) for limit in limits]
        return Rows(rows.channel[tuple(slices[1:])], rows.slope) if slices[0] == slice(0, images, 1) else None
    if name in REDUCTIONS and 0 not in params["axes"]:
        return reduced(rows, tuple(int(axis) - 1 for axis in params["axes"]), name)
    if name in WINDOWS:
        return pooled(rows, params, name, shape)
    return None


def kept(rows: Rows, unchanged: bool) -> float | None:
    return rows.slope if unchanged else None


def through(inner: jaxprs.Program, operands: list[Rows | None]) -> Rows | None:
    """A call's result, from its own equations; they may also mix constants, which stay constants."""
    known = {v: rows for v, rows in zip(inner.jaxpr.invars, operands, strict=True) if rows is not None}
    for equation in inner.jaxpr.eqns:
        mine = [known.get(a) if isinstance(a, core.Var) else None for a in equation.invars]
        if any(rows is not None for rows in mine):
            rows = rule(equation, mine)
            if rows is None:
                return None
            known[equation.outvars[0]] = rows
    results = inner.jaxpr.outvars
    return known.get(results[0]) if len(results) == 1 and isinstance(results[0], core.Var) else None


def combined(name: str, equation, operands: list[Rows | None], shape: tuple[int, ...]) -> Rows | None:
    """Elementwise functions of several values: all of the same channel in every place."""
    rows = [operand for operand in operands if operand is not None]
    if any(r.channel.shape != shape[1:] or not np.array_equal(r.channel, rows[0].channel) for r in rows):
        return None
    slopes = [None if operand is None else operand.slope for operand in operands]
    if any(r.slope is None for r in rows):
        return Rows(rows[0].channel, None)
    if name in ADDITIVE:
        first, second = (slope or 0.0 for slope in slopes)
        return Rows(rows[0].channel, first - second if name == "sub" else first + second)
    if name in ("max", "min") and len(rows) == 2 and slopes[0] == slopes[1]:
        return Rows(rows[0].channel, slopes[0])
    slope = rows[0].slope
    number = next((float(a.val) for a in equation.invars if isinstance(a, core.Literal) and np.ndim(a.val) == 0), None)
    if (
        number is not None
        and slope is not None
        and len(rows) == 1
        and (name == "mul" or (name == "div" and operands[0] is not None))
    ):
        return Rows(rows[0].channel, slope * number if name == "mul" else slope / number)
    return Rows(rows[0].channel, None)


def reduced(rows: Rows, axes: tuple[int, ...], name: str) -> Rows | None:
    low, high = rows.channel.min(axes), rows.channel.max(axes)
    if not np.array_equal(low, high):
        return None
    count = prod(rows.channel.shape[axis] for axis in axes) if name == "reduce_sum" else 1
    return Rows(low, None if rows.slope is None else rows.slope * count)


def pooled(rows: Rows, params: dict[str, Any], name: str, shape: tuple[int, ...]) -> Rows | None:
    """Pooling over positions; a sum over windows that reach beyond the border has no constant slope."""
    window, padding = params["window_dimensions"], params["padding"]
    wide = tuple(axis - 1 for axis, size in enumerate(window) if size > 1 or params["window_strides"][axis] > 1)
    dilated = any(size != 1 for size in (*params["base_dilation"], *params["window_dilation"]))
    if dilated or window[0] != 1 or -1 in wide or padding[0] != (0, 0):
        return None
    if any(padding[axis + 1] != (0, 0) and axis not in wide for axis in range(rows.channel.ndim)):
        return None
    one = reduced(rows, wide, name) if wide else rows
    if one is None:
        return None
    channel = np.broadcast_to(np.expand_dims(one.channel, wide), shape[1:])
    padded = any(tuple(pair) != (0, 0) for pair in padding)
    if name != "reduce_window_sum":
        return Rows(channel, rows.slope)
    return Rows(channel, None if padded or rows.slope is None else rows.slope * prod(window))
