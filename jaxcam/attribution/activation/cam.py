"""Class activation maps: where a class's evidence stands in the last maps.

Functions take `head`, any function from activations (n, h, w, c) to scores (n, k), and return raw maps at the
activations' resolution, float32, never normalised; sums are float32 whatever the network computes in. `targets` (see
`targets`) decides between (n, h, w) and, for t targets an image, (n, t, h, w). They are pure and work under `jit`,
`vmap` and sharding. In one `jit` the methods share their forward and backward passes.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int

from jaxcam.attribution import jaxprs
from jaxcam.attribution.activation.channelwise import contraction
from jaxcam.attribution.activation.pullback import Head, has_target_axis, pulled_back
from jaxcam.attribution.targets import Targets, check_targets


def channel_gradients(
    head: Head, activations: Float[Array, "n h w c"], targets: Targets
) -> tuple[Float32[Array, "n t"], Float32[Array, "n t c"]]:
    """Scores of the targets and, for each channel, the mean of their gradient over positions: Grad-CAM's weights.

    The mean over positions is the score's answer to a channel that is raised by the same amount everywhere. Through
    pools, reshapes and a dense layer that answer does not depend on the image, so for heads that begin with these
    (`channelwise`) the gradient ends at the dense layer's product and is never computed for every position. VGG16's
    last convolution: 0.0013 forwards a class instead of 0.008. Other heads take the whole gradient.
    """
    positions = activations.shape[1] * activations.shape[2]
    cut = contraction(head, activations)
    if cut is None or cut.slope is None:
        return pulled_back(head, activations, targets, lambda gradient: gradient.mean((1, 2)))
    answer = cut.summed_kernel() * (cut.slope / positions)

    def weights(gradient):
        return jnp.einsum("nf,cf->nc", gradient, answer, precision="highest")

    after = lambda rows: jaxprs.run(cut.after, cut.unrows(rows))[0]
    return pulled_back(after, cut.rows(cut.product(activations)), targets, weights)


def weighted_sum(
    activations: Float[Array, "n h w c"], weights: Float32[Array, "n t c"], *, relu: bool, keep: bool
) -> Float32[Array, "n ..."]:
    """Channels times weights, summed in float32."""
    activations = activations.astype(jnp.float32)
    return finished(jnp.einsum("nhwc,ntc->nthw", activations, weights, precision="highest"), relu=relu, keep=keep)


def finished(maps: Float32[Array, "n t h w"], *, relu: bool, keep: bool) -> Float32[Array, "n ..."]:
    """Maps as they are given back; `keep` keeps the axis t."""
    maps = jax.nn.relu(maps) if relu else maps
    return maps if keep else maps[:, 0]


def grad_cam(
    head: Head, activations: Float[Array, "n h w c"], targets: Targets, *, relu: bool = True
) -> Float32[Array, "n ..."]:
    """Grad-CAM (Selvaraju et al., 2017): channels weighted by the mean gradient of the target's score.

    `relu=False` keeps the sign, as captum does. Cost at VGG16's last convolution: 1.01 forwards for one class, 1.15
    for 100; for heads that begin with a convolution one backward pass of the head a class.

    >>> head = lambda a: a.sum((1, 2))
    >>> grad_cam(head, jnp.ones((1, 2, 2, 3)), jnp.array([0])).shape
    (1, 2, 2)
    """
    _, weights = channel_gradients(head, activations, targets)
    return weighted_sum(activations, weights, relu=relu, keep=has_target_axis(head, activations, targets))


def cam(
    activations: Float[Array, "n h w c"],
    weights: Float[Array, "c k"],
    targets: Int[Array, "..."],
    *,
    relu: bool = False,
) -> Float32[Array, "n ..."]:
    """CAM (Zhou et al., 2016): the maps before global average pooling, weighted by the linear layer behind it.

    `weights` is that layer's kernel (c, k); the identity where the maps are the classes' own. Signed unless
    `relu=True`. Equals h * w times Grad-CAM without ReLU. Cost: one forward to the maps.
    """
    check_targets(targets, activations.shape[0], weights.shape[1])
    columns = jnp.take(weights.astype(jnp.float32).T, targets.reshape(targets.shape[0], -1), axis=0, mode="fill")
    return weighted_sum(activations, columns, relu=relu, keep=targets.ndim == 2)


def contrast(maps: Float[Array, "n k h w"], targets: Int[Array, " _"]) -> Float32[Array, "n h w"]:
    """Maps of all classes to one map an image: the target's minus the mean over the classes, signed.

    Softmax sees differences of logits only: adding the same map to every class changes no answer, and this map neither.
    """
    check_targets(targets, maps.shape[0], maps.shape[1])
    maps = maps.astype(jnp.float32)
    return jnp.take_along_axis(maps, targets[:, None, None, None], axis=1)[:, 0] - maps.mean(1)
