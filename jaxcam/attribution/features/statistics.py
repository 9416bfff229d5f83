"""What the channels of a stage do on given images: how strong, how sparse, which are dead."""

from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, UInt8

from jaxcam.attribution.features.responses import per_position


class ChannelStatistics(NamedTuple):
    """Numbers for every image and channel; means are taken over the positions, in float32."""

    mean: Float32[Array, "n c"]
    """mean activation"""
    peak: Float32[Array, "n c"]
    """largest activation"""
    zeros: Float32[Array, "n c"]
    """share of positions that are exactly zero (what a ReLU made of everything negative)"""


def channel_statistics(activations: Float[Array, "n *rest"]) -> ChannelStatistics:
    """Mean, peak and share of zeros of every channel; `activations` (n, h, w, c), or (n, c) after pooling.

    >>> found = channel_statistics(jnp.array([[[[0.0, 2.0]], [[0.0, 0.0]]]]))
    >>> found.mean.tolist(), found.peak.tolist(), found.zeros.tolist()
    ([[0.0, 1.0]], [[0.0, 2.0]], [[1.0, 0.5]])
    """
    values = per_position(activations).astype(jnp.float32)
    return ChannelStatistics(values.mean(1), values.max(1), (values == 0).mean(1, dtype=jnp.float32))


def strongest_channel(
    statistics: ChannelStatistics, *, by: Literal["mean", "peak", "contrast"] = "mean"
) -> Int[Array, " n"]:
    """The channel that answers most to each image: by its mean, by its peak, or by how far it stands out.

    `contrast` compares each channel's mean with its own mean over the images, in its own standard deviations: a channel
    that is always on is not named for every image. One image alone has no contrast; its mean decides.
    """
    if by not in ("mean", "peak", "contrast"):
        raise ValueError(f"by must be mean, peak or contrast, got {by!r}")
    values = statistics.peak if by == "peak" else statistics.mean
    if by == "contrast" and len(values) > 1:
        spread = values.std(0)
        values = jnp.where(spread > 0, (values - values.mean(0)) / jnp.where(spread > 0, spread, 1), -jnp.inf)
    return jnp.nan_to_num(values, nan=-jnp.inf).argmax(1).astype(jnp.int32)


def channel_picture(values: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """One channel's map as grey levels: mean 128, one standard deviation 64 levels, cut off at 0 and 255.

    Source: Chollet, Deep Learning with Python (2017), section 5.4.1. There a channel without any variation gives NaN
    and a warning; here it is 0 everywhere, and so is what is NaN or infinite.

    >>> channel_picture(np.array([[0.0, 2.0]], np.float32)).tolist(), channel_picture(np.ones((1, 2))).tolist()
    ([[64, 192]], [[0, 0]])
    """
    known = np.isfinite(values)
    finite = np.where(known, values, values[known].mean() if known.any() else 0).astype(np.float32)
    if not known.any() or finite.min() == finite.max():
        return np.zeros(values.shape, np.uint8)
    finite = finite - finite.mean()
    finite /= finite.std()
    return np.where(known, np.clip(finite * 64 + 128, 0, 255), 0).astype(np.uint8)


def deprocess(pattern: Float[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """A pattern as a picture: mean grey, standard deviation 0.1 of the range.

    Source: Chollet, Deep Learning with Python (2017), section 5.4.2, whose arithmetic this is. A pattern that is not
    finite is black.

    >>> deprocess(np.zeros((1, 1, 3))).tolist()
    [[[127, 127, 127]]]
    """
    if not np.isfinite(pattern).all():
        return np.zeros(pattern.shape, np.uint8)
    values = pattern - pattern.mean()
    values = values / (values.std() + 1e-5) * 0.1
    values = np.clip(values + 0.5, 0, 1) * 255
    return np.clip(values, 0, 255).astype(np.uint8)
