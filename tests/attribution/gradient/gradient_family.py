"""What the tests of the gradient family share: captum's small network, a small chain, and every method with options."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxcam import attribution
from jaxcam.networks.chain import Chain
from jaxcam.networks.layers import Conv, Dense, Dropout, Flatten, GlobalAveragePool, MaxPool

# The programs are small and run once or twice: what costs is compiling them.
fast_jit = partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
)

NHWC = ("NHWC", "HWIO", "NHWC")
IMAGE = jnp.arange(16.0).reshape(1, 4, 4, 1)
CLASS_0 = jnp.array([0])


def conv_net(image):
    """captum's BasicModel_ConvNet_One_Conv; it flattens channels first and ends in a ReLU."""
    maps = lax.conv_general_dilated(image, jnp.ones((3, 3, 1, 2)), (1, 1), "VALID", dimension_numbers=NHWC)
    maps = jax.nn.relu(maps + jnp.array([-50.0, -75.0]))
    weights = jnp.tile(jnp.array([1.0, 1, 1, 1, 1, -1, -1, -1])[:, None], (1, 4))
    return jax.nn.relu(maps.transpose(0, 3, 1, 2).reshape(image.shape[0], -1) @ weights)


def small_chain(head="flatten", dtype=jnp.float32):
    """Two convolutions with a pool, then a dense layer with ReLU or a class activation head."""
    if head == "cam":
        top = (("conv_last", Conv(5, relu=False, dtype=dtype)), ("gap", GlobalAveragePool()))
    else:
        top = (
            ("flatten", Flatten()),
            ("fc1", Dense(8, relu=True, dtype=dtype)),
            ("dropout", Dropout(0.5)),
            ("predictions", Dense(5, dtype=dtype)),
        )
    base = (("conv1", Conv(6, dtype=dtype)), ("pool", MaxPool()), ("conv2", Conv(4, padding="VALID", dtype=dtype)))
    return Chain((*base, *top))


@cache
def network(head="flatten", size=(8, 12), dtype=jnp.float32):
    """A function with fixed parameters; its biases are not zero."""
    chain = small_chain(head, dtype)
    shapes = jax.tree.leaves(chain.abstract((1, *size, 3)))
    rng = np.random.default_rng(1)
    values = [rng.normal(0, (3 / np.prod(s.shape[:-1])) ** 0.5 if len(s.shape) > 1 else 0.1, s.shape) for s in shapes]
    values = [jnp.asarray(value, jnp.float32) for value in values]
    params = jax.tree.unflatten(jax.tree.structure(chain.abstract((1, *size, 3))), values)
    return attribution.named_stages(chain, params)


def pictures(count=4, size=(8, 12)):
    """Random images, not square."""
    return jnp.asarray(np.random.default_rng(7).normal(size=(count, *size, 3)), jnp.float32)


REFERENCES = pictures(7)[4:]

METHODS = {
    "saliency": attribution.saliency,
    "input_x_gradient": attribution.input_x_gradient,
    "guided_backprop": attribution.guided_backprop,
    "deconvnet": attribution.deconvnet,
    "smooth_grad": partial(attribution.smooth_grad, key=jax.random.key(3), samples=3),
    "integrated_gradients": partial(attribution.integrated_gradients, baselines=0.1, steps=4),
    "expected_gradients": partial(
        attribution.expected_gradients, key=jax.random.key(4), references=REFERENCES, samples=5
    ),
    "relevance": attribution.relevance,
    "deep_lift": partial(attribution.deep_lift, baselines=0.1),
}


def attributions(method, fn, images, targets):
    """The method's attributions, out of the result object where there is one."""
    found = METHODS[method](fn, images, targets)
    return found if isinstance(found, jax.Array) else found.attributions
