"""Class activation maps whose channel weights come from the gradient at every position: Grad-CAM++ and XGrad-CAM."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from jaxcam.attribution.activation.cam import weighted_sum
from jaxcam.attribution.activation.pullback import Head, has_target_axis, pulled_back
from jaxcam.attribution.targets import Targets


def grad_cam_pp(
    head: Head, activations: Float[Array, "n h w c"], targets: Targets, *, relu: bool = True, eps: float = 1e-6
) -> Float32[Array, "n ..."]:
    """Grad-CAM++ (Chattopadhay et al., 2018): channels weighted by their positive gradients, few strong positions most.

    With gradient g and activations A of a channel its weight is the sum over positions of
    `max(g, 0) * g**2 / (2 * g**2 + sum(A) * g**3 + eps)`: equation 19 of the paper for a score under an exponential,
    with the sum over all positions in the denominator. `eps` is pytorch-grad-cam's; below gradients of about .001 it
    outweighs the formula, and `eps=0` is the paper's form, max(g, 0) / (2 + sum(A) * g). Cost: one forward and one
    backward of the head for each target.
    """
    wide = activations.astype(jnp.float32)
    totals = wide.sum((1, 2), keepdims=True)

    def weights(gradient):
        squares = gradient**2
        below = 2 * squares + totals * squares * gradient + eps
        shares = jnp.where(gradient > 0, squares / jnp.where(below == 0, 1.0, below), 0.0)
        return (jnp.maximum(gradient, 0.0) * shares).sum((1, 2))

    _, chosen = pulled_back(head, activations, targets, weights)
    return weighted_sum(activations, chosen, relu=relu, keep=has_target_axis(head, activations, targets))


def xgrad_cam(
    head: Head, activations: Float[Array, "n h w c"], targets: Targets, *, relu: bool = True, eps: float = 1e-7
) -> Float32[Array, "n ..."]:
    """XGrad-CAM (Fu et al., 2020): channels weighted by their gradient averaged over where they are active.

    A channel's weight is `sum(g * A) / (sum(A) + eps)` over positions, so that, for a head that is linear in the
    activations, the map sums to the score. A dead channel has weight 0. Where a layer has negative values the sum may
    come near zero and the weight grows without bound. Cost: one forward and one backward of the head for each target.
    """
    wide = activations.astype(jnp.float32)
    totals = wide.sum((1, 2)) + eps

    def weights(gradient):
        return (gradient * wide).sum((1, 2)) / jnp.where(totals == 0, 1.0, totals)

    _, chosen = pulled_back(head, activations, targets, weights)
    return weighted_sum(activations, chosen, relu=relu, keep=has_target_axis(head, activations, targets))
