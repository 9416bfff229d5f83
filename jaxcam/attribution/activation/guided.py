"""Guided Grad-CAM: the pixels of guided backpropagation where Grad-CAM is warm."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from jaxcam.attribution.activation.cam import grad_cam
from jaxcam.attribution.activation.pullback import Head
from jaxcam.attribution.gradient.rectifiers import guided_backprop
from jaxcam.attribution.resize import Rule, resize
from jaxcam.attribution.targets import Targets


def guided_grad_cam(
    features: Callable[[Float[Array, "n H W i"]], Float[Array, "n h w c"]],
    head: Head,
    images: Float[Array, "n H W i"],
    targets: Targets,
    *,
    rule: Rule | str = "bilinear",
) -> Float32[Array, "n ..."]:
    """Guided Grad-CAM (Selvaraju et al., 2017): guided backpropagation times enlarged Grad-CAM, for every input value.

    The network is `head(features(images))`; see `split` and `at_stage` for such pairs. `rule="nearest"` is captum's.
    Returns (n, H, W, i), or (n, t, H, W, i). Signed. Cost: one forward and one backward of the whole network for each
    target.
    """
    maps = resize(grad_cam(head, features(images), targets), (images.shape[1], images.shape[2]), rule)
    guided = guided_backprop(lambda values: head(features(values)), images, targets)
    return jnp.expand_dims(maps, -1) * guided
