"""The stages of a classifier at which maps can be made."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float32

from jaxcam.classifier import Classifier
from jaxcam.errors import UserError
from jaxcam.networks.layers import GlobalAveragePool


def default_stage(classifier: Classifier) -> str:
    """The last convolution below the head."""
    base = classifier.network.base_names()
    with_params = [name for name in base if name in classifier.params]
    return with_params[-1] if with_params else base[-1]


def cam_stage(classifier: Classifier) -> str:
    """The stage whose maps are averaged by the head; `UserError` where CAM is not defined."""
    stages = dict(classifier.chain.stages)
    names = list(stages)
    pools = [name for name in names if isinstance(stages[name], GlobalAveragePool)]
    behind = [name for name in names[names.index(pools[-1]) + 1 :] if name in classifier.params] if pools else []
    if not pools or len(behind) > 1:
        raise UserError(
            "cam needs a head that ends in global average pooling and at most one dense layer; use grad_cam"
        )
    return names[names.index(pools[-1]) - 1]


def cam_weights(classifier: Classifier, params: Mapping[str, Any]) -> Float32[Array, "c k"]:
    """The linear layer behind the pooling; the identity where the pooled maps are the classes' own."""
    names = classifier.chain.names
    behind = [name for name in names[names.index(cam_stage(classifier)) + 1 :] if name in params]
    if not behind:
        return jnp.eye(len(classifier.class_names))
    kernel = params[behind[0]]["kernel"]
    # One sigmoid unit stands for two classes: its number counts half for one and half against the other.
    return kernel if kernel.shape[1] == len(classifier.class_names) else kernel * jnp.asarray([[-0.5, 0.5]])
