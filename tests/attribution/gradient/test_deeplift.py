"""DeepLIFT: by hand, what its attributions add up to, and functions of two values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gradient_family import CLASS_0, fast_jit, network, pictures
from jax import lax

from jaxcam.attribution import deep_lift
from jaxcam.attribution.targets import probability
from jaxcam.errors import UserError


def row(*values):
    return jnp.array([values], jnp.float32)


def test_by_hand():
    """The first example of the paper (figure 1): min(i1 + i2, 1), saturated."""
    saturated = lambda x: 1 - jax.nn.relu(1 - x.sum(-1, keepdims=True))
    found = deep_lift(saturated, row(1.0, 1.0), CLASS_0, baselines=0.0)
    np.testing.assert_allclose(found.attributions, [[0.5, 0.5]])
    np.testing.assert_allclose(found.expected, [1])


def test_a_maximum_rises_and_falls():
    largest = lambda x: x.max(-1, keepdims=True)
    rising = deep_lift(largest, row(5.0, 9.0), CLASS_0, baselines=row(5.0, 3.0))
    np.testing.assert_allclose(rising.attributions, [[0, 4]])
    falling = deep_lift(largest, row(5.0, 1.0), CLASS_0, baselines=row(5.0, 7.0))
    np.testing.assert_allclose(falling.attributions, [[0, -2]])
    smallest = deep_lift(lambda x: -x.min(-1, keepdims=True), row(-5.0, -1.0), CLASS_0, baselines=row(-5.0, -7.0))
    np.testing.assert_allclose(smallest.attributions, [[0, -2]])


def test_a_product_is_shared_by_the_midpoint():
    product = lambda x: x[:, :1] * x[:, 1:]
    found = deep_lift(product, row(3.0, 5.0), CLASS_0, baselines=row(1.0, 2.0))
    np.testing.assert_allclose(found.attributions, [[2 * 3.5, 3 * 2]])
    bilinear = lambda x: jnp.einsum("ni,nj->nij", x, jnp.tanh(x)).sum(-1)
    assert abs(deep_lift(bilinear, row(3.0, 5.0), CLASS_0, baselines=row(1.0, 2.0)).error.item()) < 1e-4


ACTIVATIONS = [
    jnp.tanh,
    jax.nn.silu,
    jax.nn.gelu,
    jax.nn.elu,
    jax.nn.relu6,
    jax.nn.softplus,
    jax.nn.hard_swish,
    jnp.abs,
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.__name__)
def test_any_nonlinearity_adds_up(activation):
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(6, 5, 3)), jnp.float32)
    fn = lambda x: activation(3 * x @ weights[:, :, 0] - 1) @ weights[:5, :3, 1]
    images, baselines = pictures(4, (1, 2)).reshape(4, 6), pictures(8, (1, 2))[4:].reshape(4, 6)
    found = fast_jit(lambda x: deep_lift(fn, x, jnp.array([0, 1, 2, 0]), baselines=baselines))(images)
    np.testing.assert_allclose(found.error, np.zeros(4), atol=3e-4)


def test_a_network_with_pools_adds_up_and_so_do_probabilities():
    fn, images, targets = network(), pictures(), jnp.array([[0, 1], [2, 3], [4, 0], [1, 1]])
    window = lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 1, 1, 1), "SAME")
    for wanted in (targets, probability(targets)):
        run = lambda x, wanted=wanted: deep_lift(lambda x: fn(window(x)), x, wanted, baselines=pictures(8)[4:])
        found = fast_jit(run)(images)
        assert found.attributions.shape == (4, 2, *images.shape[1:])
        np.testing.assert_allclose(found.error, np.zeros((4, 2)), atol=2e-5)


def test_gates_and_divisions_add_up():
    def fn(x):
        gate = jax.nn.sigmoid(x.mean((1, 2), keepdims=True))
        return (x * gate / (1 + jnp.abs(x).sum((1, 2), keepdims=True))).mean((1, 2))

    found = deep_lift(fn, pictures(2), jnp.array([0, 2]), baselines=0.1)
    np.testing.assert_allclose(found.error, [0, 0], atol=1e-6)


def test_equal_values_take_the_derivative():
    """An image that is its own baseline: multipliers are gradients, attributions zero."""
    images = pictures(2)
    found = fast_jit(lambda x: deep_lift(network(), x, jnp.array([0, 1]), baselines=x))(images)
    np.testing.assert_array_equal(found.attributions, np.zeros(images.shape))
    near = fast_jit(lambda x: deep_lift(lambda v: jnp.tanh(v).sum((1, 2)), x, jnp.array([0, 1]), baselines=x - 1e-7))
    assert np.isfinite(near(images).attributions).all()


@pytest.mark.parametrize(("fn", "named"), [(lambda x: lax.map(jnp.tanh, x), "scan"), (lambda x: jnp.sort(x), "sort")])
def test_what_has_no_rule_is_refused(fn, named):
    with pytest.raises(UserError, match=f"DeepLIFT has no rule for {named}"):
        deep_lift(fn, row(1.0, 2.0), CLASS_0, baselines=0.0)
