"""Class activation maps: where a class's evidence stands in the last maps.

Functions take `head`, any function from activations (n, h, w, c) to scores (n, k), and return raw maps at the
activations' resolution, float32, never normalised. `targets` is (n,) for one map an image, giving (n, h, w), or
(n, t) for several, giving (n, t, h, w). They are pure and work under `jit`, `vmap` and sharding.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int

Head = Callable[[Float[Array, "n h w c"]], Float[Array, "n k"]]


def check_targets(targets: Int[Array, "..."], images: int) -> None:
    """Refuse a number of targets that does not match the images; broadcasting would hide it."""
    if targets.ndim not in (1, 2) or targets.shape[0] != images:
        raise ValueError(f"targets must be ({images},) or ({images}, t), got {targets.shape}")


def class_gradients(
    head: Head, activations: Float[Array, "n h w c"], targets: Int[Array, "n t"]
) -> tuple[Float32[Array, "n t"], Float32[Array, "n t c"]]:
    """Scores of the targets and, per channel, the mean of their gradient over positions; one forward of the head."""
    scores, pullback = jax.vjp(head, activations)
    directions = jax.nn.one_hot(targets.T, scores.shape[-1], dtype=scores.dtype)

    def mean_gradient(direction):
        # Averaged here, so that the gradients of many targets never stand in memory together.
        return pullback(direction)[0].astype(jnp.float32).mean((1, 2))

    chosen = jnp.take_along_axis(scores, targets, axis=1).astype(jnp.float32)
    return chosen, jnp.moveaxis(jax.vmap(mean_gradient)(directions), 0, 1)


def grad_cam(
    head: Head, activations: Float[Array, "n h w c"], targets: Int[Array, "..."], *, relu: bool = True
) -> Float32[Array, "n ..."]:
    """Grad-CAM (Selvaraju et al., 2017): channels weighted by the mean gradient of the target's score.

    `relu=False` keeps the sign, as captum does. Cost: one forward and one backward of the head for each target.

    >>> head = lambda a: a.sum((1, 2))
    >>> grad_cam(head, jnp.ones((1, 2, 2, 3)), jnp.array([0])).shape
    (1, 2, 2)
    """
    check_targets(targets, activations.shape[0])
    _, weights = class_gradients(head, activations, targets.reshape(targets.shape[0], -1))
    maps = jnp.einsum("nhwc,ntc->nthw", activations.astype(jnp.float32), weights)
    maps = jax.nn.relu(maps) if relu else maps
    return maps if targets.ndim == 2 else maps[:, 0]


def cam(
    activations: Float[Array, "n h w c"], weights: Float[Array, "c k"], targets: Int[Array, "..."]
) -> Float32[Array, "n ..."]:
    """CAM (Zhou et al., 2016): the maps before global average pooling, weighted by the linear layer behind it.

    `weights` is that layer's kernel (c, k); the identity where the maps are the classes' own. Signed. Equals h * w
    times Grad-CAM without ReLU.
    """
    check_targets(targets, activations.shape[0])
    chosen = weights.astype(jnp.float32).T[targets.reshape(targets.shape[0], -1)]
    maps = jnp.einsum("nhwc,ntc->nthw", activations.astype(jnp.float32), chosen)
    return maps if targets.ndim == 2 else maps[:, 0]


def contrast(maps: Float[Array, "n k h w"], targets: Int[Array, " _"]) -> Float32[Array, "n h w"]:
    """Maps of all classes to one map an image: the target's minus the mean over the classes, signed.

    Softmax sees differences of logits only: adding the same map to every class changes no answer, and this map neither.
    """
    check_targets(targets, maps.shape[0])
    maps = maps.astype(jnp.float32)
    return jnp.take_along_axis(maps, targets[:, None, None, None], axis=1)[:, 0] - maps.mean(1)
