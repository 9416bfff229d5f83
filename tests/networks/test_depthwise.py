"""The sum of shifted products against XLA's own depthwise convolution: values, gradients, every way to call it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcam import attribution
from jaxcam.attribution import interpret
from jaxcam.networks.convolution import convolution, one_operation

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
pytestmark = pytest.mark.usefixtures("quick_compilation")


def pair(height=7, width=10, channels=3, kernel=(3, 3), seed=0):
    keys = jax.random.split(jax.random.key(seed))
    return jax.random.normal(keys[0], (2, height, width, channels)), jax.random.normal(keys[1], (*kernel, 1, channels))


def depthwise(x, kernel, strides=(1, 1), padding="SAME"):
    return convolution(x, kernel, strides, padding, groups=x.shape[-1])


def reference(x, kernel, strides, padding):
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=DIMENSIONS, feature_group_count=x.shape[-1]
    )


@pytest.mark.parametrize(
    ("strides", "padding", "kernel"),
    [
        ((1, 1), "SAME", (3, 3)),
        ((2, 2), "SAME", (3, 3)),
        ((1, 3), "VALID", (5, 2)),
        ((2, 2), ((0, 1), (1, 0)), (3, 3)),
        ((2, 1), ((-1, 2), (3, -2)), (3, 2)),
    ],
)
def test_values_and_gradients_are_the_convolutions(strides, padding, kernel):
    x, weights = pair(kernel=kernel)

    def both(function):
        return jax.jit(jax.value_and_grad(lambda *a: (function(*a, strides, padding) ** 2).sum(), (0, 1)))(x, weights)

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5), both(depthwise), both(reference))


def test_half_precision_is_rounded_once():
    x, weights = (value.astype(jnp.bfloat16) for value in pair())
    got = depthwise(x, weights)
    exact = reference(x.astype(jnp.float32), weights.astype(jnp.float32), (1, 1), "SAME")
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got.astype(jnp.float32), exact, rtol=2**-8)


def test_under_jit_vmap_and_a_sharded_batch():
    x, weights = pair()
    expected = depthwise(x, weights)
    mesh = jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.device_put(x, jax.NamedSharding(mesh, jax.P("batch")))
    for got in (
        jax.jit(depthwise)(x, weights),
        jax.vmap(lambda image: depthwise(image[None], weights)[0])(x),
        jax.jit(depthwise)(spread, weights),
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


def test_readers_of_programs_meet_one_convolution_even_when_jit_saw_the_sum():
    x, weights = pair()
    jitted = jax.jit(depthwise)
    jitted(x, weights)
    program, _ = interpret.trace(jitted, x, weights)
    assert [o.primitive.name for o in program.operations].count("conv_general_dilated") == 1
    np.testing.assert_allclose(program.evaluate(x, weights)[0], jitted(x, weights), rtol=1e-6, atol=1e-6)
    with one_operation():
        assert "conv_general_dilated" in str(jax.make_jaxpr(depthwise)(x, weights))


def test_incremental_occlusion_is_exact_through_it():
    x, weights = pair(16, 20)
    head = jax.random.normal(jax.random.key(3), (3, 4))

    def network(images):
        maps = jax.nn.relu(depthwise(images, weights, (2, 2)))
        return depthwise(maps, weights).mean((1, 2)) @ head

    targets = jnp.array([[0], [3]])
    options = {"window": (4, 4), "stride": (2, 2)}
    brute = attribution.occlusion(network, x, targets, **options, engine="brute")
    got = attribution.occlusion(network, x, targets, **options)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), got, brute)
