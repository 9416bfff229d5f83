"""Ablation-CAM, exact, for the price of the first dense layer and what follows it."""

from collections.abc import Callable
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from jaxcam.attribution import jaxprs
from jaxcam.attribution.activation.cam import weighted_sum
from jaxcam.attribution.activation.channelwise import Contraction, contraction
from jaxcam.attribution.activation.pullback import Head, has_target_axis
from jaxcam.attribution.targets import Targets, chosen_scores


def ablation_cam(
    head: Head,
    activations: Float[Array, "n h w c"],
    targets: Targets,
    *,
    relu: bool = True,
    relative: bool = True,
    memory: int = 2**29,
) -> Float32[Array, "n ..."]:
    """Ablation-CAM (Ramaswamy and Desai, 2020): channels weighted by the drop of the score when they are set to zero.

    A channel's weight is `(score - score without it) / score`. A negative score turns the map over and a score of
    zero makes it infinite or NaN; `relative=False` leaves the division out. Channels are set to zero in every layer,
    as in the paper (pytorch-grad-cam sets them to -1e7 below the minimum where a layer has negative values).

    Nothing before the layer is computed again. Where the head acts channel by channel up to a dense layer (pools,
    means, ReLUs, reshapes), one product gives that layer for all channels, and only what follows is computed for
    each: VGG16's 512 channels cost 1.7 forwards together, where running the network for each costs 513. Other heads
    are run for every channel. The head is evaluated in float32 whatever it computes in: a bfloat16 score cannot show
    the drop of one channel in 512. All targets come from the same evaluations. `memory` bounds, in bytes, what stands
    in memory at a time.
    """
    drops, scores = channel_drops(head, activations, targets, memory=memory)
    weights = drops / scores[..., None] if relative else drops
    return weighted_sum(activations, weights, relu=relu, keep=has_target_axis(head, activations, targets))


def channel_drops(
    head: Head, activations: Float[Array, "n h w c"], targets: Targets, *, memory: int = 2**29
) -> tuple[Float32[Array, "n t c"], Float32[Array, "n t"]]:
    """How much each target's score drops without each channel, and the scores themselves; exact."""
    cut = contraction(head, activations)
    if cut is None:
        scores, without, each = by_the_head(head, activations, targets)
    else:
        scores, without, each = by_the_dense_layer(cut, activations, targets)
    channels = activations.shape[-1]
    rounds = min(max(1, -(-channels * each * 4 // memory)), max(channels, 1))
    size = -(-channels // rounds)
    if rounds == 1:
        remaining = without(0, channels)
    else:
        # The last round may do channels of the one before again.
        first = np.minimum(np.arange(0, channels, size), channels - size)
        number = np.minimum(np.arange(channels) // size, len(first) - 1)
        blocks = jax.lax.map(lambda start: without(start, size), jnp.asarray(first))
        remaining = blocks[number, np.arange(channels) - first[number]]
    return scores[..., None] - jnp.moveaxis(remaining, 0, -1), scores


Without = Callable[[Any, int], Float32[Array, "c n t"]]
"""(first channel, how many) to the scores without each of them"""


def by_the_head(
    head: Head, activations: Float[Array, "n h w c"], targets: Targets
) -> tuple[Float32[Array, "n t"], Without, int]:
    """The scores, the scores without each channel by running the head, and the values that takes for a channel."""
    program, _ = jaxprs.traced(head, activations)
    wide = activations.astype(jnp.float32)
    channel = jnp.arange(wide.shape[-1])

    def scores(values):
        return chosen_scores(jaxprs.run_in_float32(program, values)[0].astype(jnp.float32), targets)

    def without(first, size):
        # A choice, not a product with zero: a NaN of the channel goes too.
        return jax.vmap(lambda index: scores(jnp.where(channel == index, 0.0, wide)))(first + jnp.arange(size))

    return scores(wide), without, 3 * prod(activations.shape)


def by_the_dense_layer(
    cut: Contraction, activations: Float[Array, "n h w c"], targets: Targets
) -> tuple[Float32[Array, "n t"], Without, int]:
    """The same from the head's first dense layer, which is linear in what a channel puts in."""
    kernel = cut.wide_kernel()
    values = cut.wide_values(activations)
    # What is left of a channel that is zero: a layer in between may turn 0 into something else.
    left = cut.wide_values(jnp.zeros_like(activations))
    shares = values - left
    product = jnp.einsum("nacb,acbf->nf", values, kernel, precision="highest")

    def scores(rows):
        return chosen_scores(jaxprs.run_in_float32(cut.after, cut.unrows(rows))[0].astype(jnp.float32), targets)

    def without(first, size):
        own, weights = shares, kernel
        if size < kernel.shape[1]:
            own = jax.lax.dynamic_slice_in_dim(shares, first, size, axis=2)
            weights = jax.lax.dynamic_slice_in_dim(kernel, first, size, axis=1)
        lost = jnp.einsum("nacb,acbf->cnf", own, weights, precision="highest")
        return jax.vmap(scores)(product - lost)

    lead, _, trail, width = kernel.shape
    return scores(product), without, (3 * product.shape[0] + lead * trail) * width
