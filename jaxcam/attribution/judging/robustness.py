"""Does a map stay when nothing changes, and does it foretell what a change does? Two measures of Yeh et al. (2019)."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Key, Num, PRNGKeyArray

from jaxcam.attribution.gradient.samples import fold, image_keys
from jaxcam.attribution.judging.faithfulness import Measure, scored, scores_of
from jaxcam.attribution.judging.ranking import enlarged, flat
from jaxcam.attribution.perturbation.forwards import MEMORY, Fill, Function, chunk_size, chunked, filled
from jaxcam.attribution.targets import Targets

Perturb = Callable[[PRNGKeyArray, Num[Array, "h w c"]], tuple[Float[Array, "..."], Num[Array, "h w c"]]]
"""(key, image) -> what the map is multiplied with, (h, w) or (h, w, c), and the changed image"""


def max_sensitivity(
    explain: Callable[[Num[Array, "n h w c"]], Float[Array, "n ..."]],
    images: Num[Array, "n h w c"],
    *,
    key: Key[Array, "..."],
    radius: float = 0.02,
    samples: int = 10,
) -> Float32[Array, " n"]:
    """Max-sensitivity: the largest relative change of the map under small changes of the image; smaller is better.

    max over `samples` draws of |explain(x + d) - explain(x)| / |explain(x)| (Euclidean norms), every value of d even in
    -radius..radius, which is in the images' units (of integers the nearest that there is). 0 for a map that never
    changes; NaN for a zero map. `explain` should hold its targets fixed. Cost: `samples + 1` times that of `explain`.
    """
    if samples < 1 or not radius > 0:
        raise ValueError(f"samples must be at least 1 and radius above 0, got {samples} and {radius}")
    rows = lambda maps: flat(maps).astype(jnp.float32)
    here, keys = rows(explain(images)), image_keys(key, images.shape[0])

    def step(largest, numbers):
        def draw(k):
            k = jax.random.fold_in(k, numbers[0])
            return jax.random.uniform(k, images.shape[1:], minval=-radius, maxval=radius)

        moved = _as(images.dtype, images.astype(jnp.float32) + jax.vmap(draw)(keys))
        return jnp.maximum(largest, jnp.linalg.norm(rows(explain(moved)) - here, axis=1))

    largest = fold(step, jnp.zeros(images.shape[0]), samples, 1)
    norm = jnp.linalg.norm(here, axis=1)
    return jnp.where(norm > 0, largest / jnp.where(norm > 0, norm, 1), jnp.nan)


def _as(dtype: jnp.dtype, values: Float32[Array, "..."]) -> Num[Array, "..."]:
    """Values in an image's type: integers rounded and inside its range."""
    if jnp.issubdtype(dtype, jnp.integer):
        values = jnp.clip(jnp.round(values), float(jnp.iinfo(dtype).min), float(jnp.iinfo(dtype).max))
    return values.astype(dtype)


def gaussian(deviation: float) -> Perturb:
    """Noise: the map is multiplied with what is taken away from the image (for gradients; captum's usual choice)."""

    def perturb(key, image):
        change = deviation * jax.random.normal(key, image.shape)
        return change, (image.astype(jnp.float32) - change).astype(image.dtype)

    return perturb


def squares(size: tuple[int, int], fill: Fill = 0.0) -> Perturb:
    """A rectangle at a random place becomes `fill` (a number or a colour); the map is summed over it.

    For maps that say how much each pixel adds to the score (occlusion, input times gradient, integrated gradients,
    Shapley values), and, up to a factor, for class activation maps.
    """

    def perturb(key, image):
        height, width, _ = image.shape
        rows, columns = (
            (jnp.arange(length) - jax.random.randint(k, (), 0, max(1, length - side + 1)))
            for k, length, side in zip(jax.random.split(key), (height, width), size, strict=True)
        )
        hidden = ((rows >= 0) & (rows < size[0]))[:, None] & ((columns >= 0) & (columns < size[1]))
        other = filled(fill, image[None])
        other = other[0] if other.ndim == 4 else other
        return hidden.astype(jnp.float32), jnp.where(hidden[..., None], other, image)

    return perturb


def infidelity(
    fn: Function,
    images: Num[Array, "n h w c"],
    attributions: Float[Array, "n ..."],
    targets: Targets,
    *,
    key: Key[Array, "..."],
    perturb: Perturb,
    samples: int = 50,
    scale: Literal["none", "best", "share"] = "none",
    score: Measure = "logit",
    memory: int = MEMORY,
) -> Float32[Array, " n"]:
    """Infidelity: how badly the map foretells the score's drop, mean of (sum(I * map) - drop)^2; smaller is better.

    `attributions` are (n, h, w, c), or maps (n, h, w), which are enlarged; `perturb` is `squares` or `gaussian`, or
    your own. `scale="best"` first multiplies each map with the factor that fits best (captum's `normalize=True`), for
    maps that are right up to a factor; `share` also divides by the mean squared drop: 0 foretells every drop, 1 none,
    the only one of the three that can be compared between images. NaN where nothing drops.

    Cost: `samples + 1` forwards.
    """
    if samples < 1 or scale not in ("none", "best", "share"):
        raise ValueError(f"samples must be at least 1 and scale none, best or share; got {samples} and {scale!r}")
    count, height, width, _ = images.shape
    if attributions.shape not in (images.shape, (count, *attributions.shape[1:3])):
        raise ValueError(f"attributions must be {images.shape} or maps (n, h, w), got {attributions.shape}")
    values = attributions.astype(jnp.float32)
    values = enlarged(values, (height, width)) if values.ndim == 3 else values
    targets, before = scored(fn, images, targets, score)
    keys = jax.vmap(lambda k: jax.random.split(k, samples))(image_keys(key, count))

    def step(numbers):
        weights, changed = jax.vmap(jax.vmap(perturb, in_axes=(0, None)))(keys[:, numbers], images)
        if weights.ndim - 1 != values.ndim:
            raise ValueError(f"maps {values.shape[1:]} cannot be multiplied with changes {weights.shape[2:]}")
        foretold = (weights * values[:, None]).reshape(count, numbers.shape[0], -1).sum(2)
        return foretold, before[:, None] - scores_of(fn, changed, targets)

    foretold, drops = chunked(step, jnp.arange(samples), chunk_size(fn, images, samples, memory))
    if scale != "none":
        foretold = foretold * _fit(foretold, drops)[:, None]
    error = ((foretold - drops) ** 2).mean(1)
    if scale == "share":
        largest = (drops**2).mean(1)
        return jnp.where(largest > 0, error / jnp.where(largest > 0, largest, 1), jnp.nan)
    return error


def _fit(foretold: Float32[Array, "n s"], drops: Float32[Array, "n s"]) -> Float32[Array, " n"]:
    """The factor on `foretold` that comes closest to the drops; 1 where it foretells nothing at all."""
    energy = (foretold**2).sum(1)
    return jnp.where(energy > 0, (foretold * drops).sum(1) / jnp.where(energy > 0, energy, 1), 1)
