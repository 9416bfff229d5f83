"""Class activation maps from the first principal component: Eigen-CAM and Eigen-Grad-CAM.

The component's sign has no meaning of its own: LAPACK's, and so pytorch-grad-cam's, comes out either way. Here the
value that lies farthest from zero is positive, the rule of Seg-Eigen-CAM (Chung and Ying, 2025, equation 13).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32

from jaxcam.attribution.activation.cam import finished
from jaxcam.attribution.activation.pullback import Head, has_target_axis, pulled_back
from jaxcam.attribution.targets import Targets

STEPS = 24
"""squarings at most: two components are told apart if their variances differ by 1e-6 of themselves"""


def eigen_cam(activations: Float[Array, "n h w c"], *, relu: bool = True) -> Float32[Array, "n h w"]:
    """Eigen-CAM (Muhammad and Yeasin, 2020): the activations along their first principal component, for no class.

    Positions are the samples, channels are centred. Zero for activations that are the same at every position. Cost:
    one forward to the layer.
    """
    return finished(principal(activations.astype(jnp.float32))[:, None], relu=relu, keep=False)


def eigen_grad_cam(
    head: Head, activations: Float[Array, "n h w c"], targets: Targets, *, relu: bool = True
) -> Float32[Array, "n ..."]:
    """Eigen-Grad-CAM (pytorch-grad-cam): the first principal component of gradient times activation.

    Cost: one forward and one backward of the head for each target, and the component: at 14x14 positions about .001
    forwards of VGG16.
    """
    wide = activations.astype(jnp.float32)
    _, maps = pulled_back(head, activations, targets, lambda gradient: principal(gradient * wide))
    return finished(maps, relu=relu, keep=has_target_axis(head, activations, targets))


def principal(values: Float32[Array, "n h w c"]) -> Float32[Array, "n h w"]:
    """Each image's values along their first principal component; see the module for the sign."""
    n, h, w, c = values.shape
    rows = values.reshape(n, h * w, c)
    rows = rows - rows.mean(1, keepdims=True)
    # Scaled, so that products of small gradients do not vanish in float32.
    peak = jnp.abs(rows).max((1, 2), keepdims=True, initial=0.0)
    unit = rows / jnp.where(peak == 0, 1.0, peak)
    if h * w <= c:
        gram = jnp.einsum("npc,nqc->npq", unit, unit, precision="highest")
        direction = jnp.einsum("npc,np->nc", unit, leading(gram), precision="highest")
        length = jnp.linalg.norm(direction, axis=1, keepdims=True)
        direction = direction / jnp.where(length == 0, 1.0, length)
    else:
        direction = leading(jnp.einsum("npc,npd->ncd", unit, unit, precision="highest"))
    along = jnp.einsum("npc,nc->np", rows, direction, precision="highest")
    upright = jnp.where(-along.min(1, initial=0.0) > along.max(1, initial=0.0), -1.0, 1.0)
    return (along * upright[:, None]).reshape(n, h, w)


def leading(gram: Float32[Array, "n m m"]) -> Float32[Array, "n m"]:
    """Unit vector of the largest eigenvalue of positive semi-definite matrices; zero for a zero matrix.

    By repeated squaring until one column is left, which is products of matrices only: on a CPU 20 times as fast as
    `eigh`, and the same on every device.
    """

    def scaled(matrix):
        trace = jnp.trace(matrix, axis1=1, axis2=2)[:, None, None]
        return matrix / jnp.where(trace == 0, 1.0, trace)

    def unfinished(state) -> Bool[Array, ""]:
        step, matrix = state
        # The sum of squared entries is 1 once only one eigenvalue is left; NaN counts as finished.
        rest = (1 - (matrix**2).sum((1, 2))) > 1e-6
        return (step < STEPS) & jnp.any(rest & (jnp.trace(matrix, axis1=1, axis2=2) > 0))

    def squared(state):
        step, matrix = state
        return step + 1, scaled(jnp.einsum("nij,njk->nik", matrix, matrix, precision="highest"))

    _, matrix = jax.lax.while_loop(unfinished, squared, (jnp.int32(0), scaled(gram)))
    column = jnp.argmax(jnp.diagonal(matrix, axis1=1, axis2=2), axis=1)
    vector = jnp.take_along_axis(matrix, column[:, None, None], axis=2)[..., 0]
    length = jnp.linalg.norm(vector, axis=1, keepdims=True)
    return vector / jnp.where(length == 0, 1.0, length)
