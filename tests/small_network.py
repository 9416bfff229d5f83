"""captum's BasicModel_ConvNet_One_Conv, whose numbers methods.md lists, and heads of every kind on random maps."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from jaxcam.networks.layers import max_pool_2x2

IMAGE = jnp.arange(16.0).reshape(1, 4, 4, 1)
DENSE = jnp.tile(jnp.array([1.0, 1, 1, 1, 1, -1, -1, -1])[:, None], (1, 4))
CLASS_0 = jnp.array([0])
LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv1(image):
    """The first layer, before its ReLU."""
    return lax.conv_general_dilated(
        image, jnp.ones((3, 3, 1, 2)), (1, 1), "VALID", dimension_numbers=LAYOUT
    ) + jnp.array([-50.0, -75.0])


def relu1(image):
    return jax.nn.relu(conv1(image))


def after_relu(activations):
    """The rest of the model from `relu1`; it flattens channels first."""
    return jax.nn.relu(activations.transpose(0, 3, 1, 2).reshape(activations.shape[0], -1) @ DENSE)


def after_conv(activations):
    return after_relu(jax.nn.relu(activations))


MAPS = jax.nn.relu(jax.random.normal(jax.random.key(0), (3, 4, 6, 8)))
WIDE = jax.random.normal(jax.random.key(1), (2 * 3 * 8, 10))
LAST = jax.random.normal(jax.random.key(2), (10, 5))
MEANS = jax.random.normal(jax.random.key(3), (8, 5))
KERNEL = jax.random.normal(jax.random.key(4), (3, 3, 8, 5))


def flat(x):
    return x.reshape(x.shape[0], -1)


def mean_pool(x):
    return lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4


def dense_top(x):
    return jax.nn.relu(flat(max_pool_2x2(x)) @ WIDE) @ LAST


def channels_first(x):
    rows = flat(max_pool_2x2(x).transpose(0, 3, 1, 2))
    return jax.nn.gelu(jnp.einsum("km,nm->kn", WIDE.T, rows)).T @ LAST


CUT = {
    "dense": dense_top,
    "jit": jax.jit(dense_top),
    "remat": jax.checkpoint(dense_top),
    "window pool": lambda x: jax.nn.relu(flat(nn.max_pool(x, (2, 2), (2, 2))) @ WIDE) @ LAST,
    "mean pool": lambda x: (
        jax.nn.relu(flat(lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4) @ WIDE) @ LAST
    ),
    "padded pool": lambda x: jax.nn.relu(flat(nn.max_pool(x, (3, 3), (2, 2), padding="SAME")) @ WIDE) @ LAST,
    "mean": lambda x: x.mean((1, 2)) @ MEANS,
    "maximum": lambda x: x.max((1, 2)) @ MEANS + 1.0,
    "one for zero": lambda x: jnp.exp(jax.nn.relu(x * 2.0 - 1.0)).mean((1, 2)) @ MEANS,
    "channels first": channels_first,
    "tensor": lambda x: jnp.tensordot(max_pool_2x2(x), WIDE.reshape(2, 3, 8, 10), 3) @ LAST,
}
"""heads that act channel by channel until a dense layer"""

WHOLE = {
    "convolution": lambda x: lax.conv_general_dilated(x, KERNEL, (1, 1), "SAME", dimension_numbers=LAYOUT).mean((1, 2)),
    "round the layer": lambda x: jax.nn.relu(x.mean((1, 2)) @ MEANS) + x.max((1, 2))[:, :5],
    "channels mixed": lambda x: (x * jax.nn.softmax(x, -1)).mean((1, 2)) @ MEANS,
    "images mixed": lambda x: (x - x.mean(0)).mean((1, 2)) @ MEANS,
    "positions per channel": lambda x: x.reshape(x.shape[0], 6, 4, 8).cumsum(3).mean((1, 2)) @ MEANS,
}
"""heads that do something else"""
