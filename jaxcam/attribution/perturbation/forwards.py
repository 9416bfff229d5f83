"""What the perturbation methods share: shapes, fills, targets, and many forwards in little memory."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Num

from jaxcam.attribution.targets import Targets, chosen_scores

Function = Callable[[Num[Array, "n ..."]], Float[Array, "n k"]]
Fill = float | int | str | Num[Array, "..."] | np.ndarray
FILLS = ("mean", "blur", "black", "grey")
MEMORY = 2**30
"""Bytes of intermediate values that a batch of perturbed images may take on a CPU, by default."""


def lift(fn: Function, images: Num[Array, "n ..."]) -> tuple[Function, Num[Array, "n h w c"], int]:
    """The function and its inputs as images (n h w c), and the number of spatial axes they had.

    Sequences (n l c) become (n 1 l c), features (n f) become (n 1 f 1).
    """
    if not 2 <= images.ndim <= 4 or 0 in images.shape:
        raise ValueError(f"images must be (n h w c), (n l c) or (n f) with nothing of size 0, got {images.shape}")
    if images.ndim == 4:
        return fn, images, 2
    shape = images.shape[1:]
    lifted = images[:, None] if images.ndim == 3 else images[:, None, :, None]
    return lambda values: fn(values.reshape(values.shape[0], *shape)), lifted, 1


def checked_logits(logits: Array, images: Num[Array, "n ..."]) -> Float[Array, "n k"]:
    """The logits; ValueError unless they are (n, k)."""
    if not isinstance(logits, jax.Array) or logits.ndim != 2 or logits.shape[0] != images.shape[0]:
        raise ValueError(
            f"the function must give ({images.shape[0]}, classes) logits, got {jax.tree.map(jnp.shape, logits)}"
        )
    return logits


def settled(targets: Targets, logits: Float[Array, "n k"]) -> Targets:
    """Targets that hold for perturbed images too.

    A function with integer values (`predicted`, `every_class`) chooses classes: it is asked once, for the logits of the
    images as they are. Classes outside 0..k-1 raise ValueError where their values are known.
    """
    if callable(targets):
        if not jnp.issubdtype(jax.eval_shape(targets, logits).dtype, jnp.integer):
            return targets
        targets = targets(logits)
    elif not isinstance(targets, jax.core.Tracer) and targets.size:
        values = np.asarray(targets)  # not jnp: under jit its results are traced, of known values too
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= logits.shape[-1]:
            raise ValueError(f"targets must lie in 0..{logits.shape[-1] - 1}, got {low if low < 0 else high}")
    return targets


def variant_scores(logits: Float[Array, "n p k"], targets: Targets) -> Float32[Array, "n t p"]:
    """The targets' scores for `p` variants of every image."""
    return jax.vmap(lambda values: chosen_scores(values, targets), in_axes=1, out_axes=2)(logits)


def filled(
    fill: Fill,
    images: Num[Array, "n h w c"],
    *,
    value_range: tuple[Any, Any] | None = None,
    sigma: float | None = None,
) -> Num[Array, "..."]:
    """What stands in a hidden place, in the images' own dtype and range: (), (c,) or (n h w c).

    `fill`: a number; a colour (c,); another image (h w c) or one for each (n h w c); "mean", the mean colour of each
    image; "blur", the image under a Gaussian of `sigma` pixels (default: a sixteenth of the shorter side); "black" and
    "grey", the ends' lower and middle of `value_range`: two numbers, or two colours.
    """
    n, h, w, c = images.shape
    if isinstance(fill, str):
        if fill not in FILLS:
            raise ValueError(f"fill must be a number, a colour, an image or one of {', '.join(FILLS)}, got {fill!r}")
        if fill == "mean":
            colours = images.astype(jnp.float32).mean((1, 2), keepdims=True)
            return jnp.broadcast_to(_cast(colours, images.dtype), images.shape)
        if fill == "blur":
            return _cast(blurred(images, sigma or max(1.0, min(h, w) / 16)), images.dtype)
        if value_range is None:
            raise ValueError(f'fill="{fill}" needs value_range=(black, white) of the images as the function takes them')
        black, white = (jnp.asarray(end, jnp.float32) for end in value_range)
        fill = black if fill == "black" else (black + white) / 2
    values = jnp.asarray(fill)
    allowed = ((), (c,), (h, w, c), (n, h, w, c))
    if values.shape not in allowed:
        raise ValueError(f"fill must have one of the shapes {allowed} for images {images.shape}, got {values.shape}")
    values = _cast(values, images.dtype)
    return jnp.broadcast_to(values, images.shape) if values.ndim == 3 else values


def _cast(values: Num[Array, "..."], dtype: Any) -> Num[Array, "..."]:
    rounding = jnp.issubdtype(dtype, jnp.integer) and jnp.issubdtype(values.dtype, jnp.floating)
    return (jnp.round(values) if rounding else values).astype(dtype)


def blurred(images: Num[Array, "n h w c"], sigma: float) -> Float32[Array, "n h w c"]:
    """The images under a Gaussian of `sigma` pixels; at the border its weights are made to sum to one again."""
    if not sigma > 0:
        raise ValueError(f"sigma must be above 0, got {sigma}")
    rows, columns = (_gaussian(length, sigma) for length in images.shape[1:3])
    values = images.astype(jnp.float32)
    return jnp.einsum("hi,wj,nijc->nhwc", rows, columns, values, precision="highest", optimize="optimal")


def _gaussian(length: int, sigma: float) -> Float32[Array, "h h"]:
    places = np.arange(length)
    weights = np.exp(-((places[:, None] - places) ** 2) / (2 * sigma**2))
    return jnp.asarray(weights / weights.sum(1, keepdims=True), jnp.float32)


def forward_bytes(fn: Function, images: Num[Array, "n ..."]) -> int:
    """Bytes of intermediate values one image's forward takes: three times its largest one, from the traced program."""
    one = jax.ShapeDtypeStruct((1, *images.shape[1:]), images.dtype)
    largest = max(_largest(jax.make_jaxpr(fn)(one).jaxpr), int(np.prod(one.shape)) * images.dtype.itemsize)
    return 3 * largest


def _largest(jaxpr: Any) -> int:
    found = 0
    for equation in jaxpr.eqns:
        found = max(found, sum(_size(variable.aval) for variable in equation.outvars))
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda value: hasattr(value, "jaxpr")):
            closed = getattr(inner, "jaxpr", inner)
            if hasattr(closed, "eqns"):
                found = max(found, _largest(closed))
    return found


def _size(aval: Any) -> int:
    dtype = getattr(aval, "dtype", None)
    return int(np.prod(aval.shape)) * getattr(dtype, "itemsize", 4) if dtype is not None else 0


def budget(memory: int | None) -> int:
    """Bytes of intermediate values that a batch of perturbed images may take: 1 GiB on a CPU, else 8, if not given."""
    if memory is None:
        return MEMORY if jax.default_backend() == "cpu" else 8 * MEMORY
    if memory < 1:
        raise ValueError(f"memory must be a number of bytes above 0, got {memory}")
    return memory


def chunk_size(fn: Function, images: Num[Array, "n ..."], count: int, memory: int | None) -> int:
    """How many variants of every image go through `fn` at a time, to take about `memory` bytes; at least one."""
    fits = budget(memory) // (max(1, images.shape[0]) * forward_bytes(fn, images))
    chunks = -(-count // int(np.clip(fits, 1, count)))
    return -(-count // chunks)


def chunked(step: Callable[[Any], Any], inputs: Any, size: int) -> Any:
    """`step` over chunks of `size` rows of `inputs`, its results put together along axis 1.

    `step` takes a tree of arrays (size, ...) and gives a tree of arrays (n, size, ...). The last chunk is filled up by
    repeating the first rows, whose results are dropped.
    """
    count = jax.tree.leaves(inputs)[0].shape[0]
    if size >= count:
        return step(inputs)
    chunks = -(-count // size)
    order = np.arange(chunks * size) % count
    parts = jax.tree.map(lambda rows: rows[order].reshape(chunks, size, *rows.shape[1:]), inputs)
    results = jax.lax.map(step, parts)

    def joined(values):
        values = jnp.moveaxis(values, 0, 1)
        return values.reshape(values.shape[0], chunks * size, *values.shape[3:])[:, :count]

    return jax.tree.map(joined, results)


def forward(fn: Function, variants: Num[Array, "n p h w c"]) -> Float[Array, "n p k"]:
    """`fn` on every variant, as one batch; images come first, so that a batch split over devices stays split."""
    n, p = variants.shape[:2]
    flat = variants.reshape(n * p, *variants.shape[2:])
    logits = checked_logits(fn(flat), flat)
    return logits.reshape(n, p, logits.shape[1])
