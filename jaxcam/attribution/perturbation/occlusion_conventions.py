"""Occlusion maps as other tools compute them, number by number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Num

from jaxcam.attribution.perturbation.forwards import Fill, Function
from jaxcam.attribution.perturbation.occlusion import grid_for, occlusion
from jaxcam.attribution.perturbation.windows import per_pixel
from jaxcam.attribution.targets import Targets, probability


@dataclass(frozen=True)
class OcclusionConvention:
    """One tool's defaults and its rules."""

    window: int | None
    """pixels; None: a share of the image (`shares`)"""
    stride: int | None
    fill: Fill
    edges: str
    reduce: Literal["mean", "sum", "bicubic"]
    probability: bool = False
    """score is the softmax probability, not the logit"""
    shares: tuple[float, float] = (0.2, 0.1)
    """window and stride as shares of the image's sides"""


CONVENTIONS: dict[str, OcclusionConvention] = {
    "captum": OcclusionConvention(window=None, stride=1, fill=0.0, edges="cut", reduce="mean"),
    "matlab": OcclusionConvention(
        window=None, stride=None, fill="mean", edges="centred", reduce="bicubic", probability=True
    ),
    "pair": OcclusionConvention(window=15, stride=1, fill=0.0, edges="full", reduce="sum"),
    "xplique": OcclusionConvention(window=3, stride=3, fill=0.0, edges="full", reduce="sum"),
}


def occlusion_map(
    fn: Function,
    images: Num[Array, "n ..."],
    targets: Targets,
    window: int | Sequence[int] | None = None,
    stride: int | Sequence[int] | None = None,
    fill: Fill | None = None,
    *,
    convention: str = "captum",
    engine: str = "incremental",
    memory: int | None = None,
    value_range: tuple[Any, Any] | None = None,
) -> Float32[Array, "n ..."]:
    """Occlusion with one value a pixel, (n, h, w) or (n, t, h, w), by the rules of another tool.

    What is None is that tool's default. Always original minus occluded.

    - "captum" `Occlusion`: the last window is cut at the border, windows are averaged, fill 0, stride 1. It has no
      default window; 20 % of the sides stands for it here.
    - "matlab" `occlusionSensitivity`: windows of 20 % of the sides every 10 %, centred on the pixels of a grid that
      begins in the corner and cut at the border; filled with the image's mean colour; softmax probability of the
      targets, which must be class numbers; the values on the grid are enlarged to the image, bicubic.
    - "pair" (saliency `Occlusion`): window 15, stride 1, whole windows, fill 0, summed.
    - "xplique" `Occlusion`: window 3, stride 3, whole windows, fill 0, summed; the rim may stay 0.

    Cost: one forward for each window and one more.
    """
    if convention not in CONVENTIONS:
        raise ValueError(f"convention must be one of {', '.join(CONVENTIONS)}, got {convention!r}")
    rules = CONVENTIONS[convention]
    sides = images.shape[1:3] if images.ndim == 4 else images.shape[1:2]

    def share(given, default, part):
        chosen = default if given is None else given
        return tuple(max(1, round(part * side)) for side in sides) if chosen is None else chosen

    window = share(window, rules.window, rules.shares[0])
    stride = share(stride, rules.stride, rules.shares[1])
    if rules.probability:
        if callable(targets):
            raise ValueError(f"the convention {convention} takes class numbers as targets: its score is a probability")
        targets = probability(targets)
    grid = grid_for(images, window, stride, edges=rules.edges)
    drops = occlusion(
        fn,
        images,
        targets,
        window,
        stride,
        rules.fill if fill is None else fill,
        edges=rules.edges,
        engine=engine,
        memory=memory,
        value_range=value_range,
    )
    if rules.reduce == "bicubic":
        return enlarged(drops, tuple(sides))
    return per_pixel(drops, grid, how=rules.reduce)


def enlarged(values: Float[Array, "..."], size: tuple[int, ...]) -> Float32[Array, "..."]:
    """The last axes enlarged to `size`: half-pixel bicubic (Keys, 1981; a = -1/2), mirrored at the border."""
    rank = len(size)
    lead, small = values.shape[: values.ndim - rank], values.shape[values.ndim - rank :]
    margin = 3
    padded = jnp.pad(values.astype(jnp.float32), [(0, 0)] * len(lead) + [(margin, margin)] * rank, mode="symmetric")
    scales = jnp.array([after / before for after, before in zip(size, small, strict=True)], jnp.float32)
    axes = tuple(range(len(lead), values.ndim))
    return jax.image.scale_and_translate(
        padded, (*lead, *size), axes, scales, -margin * scales, method="cubic", antialias=False
    )
