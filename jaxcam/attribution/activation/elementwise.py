"""Class activation maps that weight every position by its own gradient: HiResCAM and LayerCAM."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from jaxcam.attribution.activation.cam import finished
from jaxcam.attribution.activation.pullback import Head, has_target_axis, pulled_back
from jaxcam.attribution.targets import Targets


def hires_cam(
    head: Head, activations: Float[Array, "n h w c"], targets: Targets, *, relu: bool = True
) -> Float32[Array, "n ..."]:
    """HiResCAM (Draelos and Carin, 2020): gradient times activation, summed over channels.

    Where the head is one linear layer the signed map (`relu=False`) sums to the score less its constant. Cost: one
    forward and one backward of the head for each target.
    """
    wide = activations.astype(jnp.float32)
    _, maps = pulled_back(head, activations, targets, lambda gradient: (gradient * wide).sum(-1))
    return finished(maps, relu=relu, keep=has_target_axis(head, activations, targets))


def layer_cam(
    head: Head, activations: Float[Array, "n h w c"], targets: Targets, *, relu: bool = True
) -> Float32[Array, "n ..."]:
    """LayerCAM (Jiang et al., 2021): positive gradients times activations, summed over channels.

    Made for early layers, whose gradients differ between positions. Cost: one forward and one backward of the head
    for each target.
    """
    wide = activations.astype(jnp.float32)
    _, maps = pulled_back(head, activations, targets, lambda gradient: (jnp.maximum(gradient, 0.0) * wide).sum(-1))
    return finished(maps, relu=relu, keep=has_target_axis(head, activations, targets))
