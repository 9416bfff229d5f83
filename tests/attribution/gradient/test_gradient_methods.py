"""What every method of the gradient family has in common: form, targets, plain, jitted, mapped and sharded results."""

import inspect
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gradient_family import METHODS, attributions, fast_jit, network, pictures

from jaxcam import attribution, devices
from jaxcam.attribution.gradient.samples import logits_shape
from jaxcam.attribution.targets import difference, probability
from jaxcam.errors import UserError

TARGETS = jnp.array([0, 3, 4, 1])
every_method = pytest.mark.parametrize("method", METHODS)


@cache
def compiled(method, kind=None):
    """The method on the small network, compiled; each form of targets once."""
    fn = network()
    if kind is not None:
        return fast_jit(lambda x, a, b: attributions(method, fn, x, kind(a, b)))
    return fast_jit(lambda x, t: attributions(method, fn, x, t))


@pytest.mark.parametrize("name", METHODS)
def test_public_form(name):
    method = getattr(attribution, name)
    parameters = list(inspect.signature(method).parameters.values())
    assert [p.name for p in parameters[:3]] == ["fn", "images", "targets"]
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[3:])
    assert all(p.default is p.empty for p in parameters if p.name in ("key", "baselines", "references"))
    for part in ("Source:", "Cost:", "(n, h, w, c)", "(n, t, h, w, c)", "igned"):
        assert part in method.__doc__, part


@every_method
def test_jit_vmap_and_sharded_equal_plain(method):
    images, run = pictures(), compiled(method)
    plain = run(images, TARGETS)
    assert plain.shape == images.shape
    assert plain.dtype == jnp.float32
    assert float(jnp.abs(plain).max()) > 1e-4
    # Each image by itself, as a batch of one.
    mapped = jax.vmap(lambda x, t: run(x[None], t[None])[0])(images, TARGETS)
    sharded = run(*devices.shard((images, TARGETS)))
    assert len(sharded.sharding.device_set) == 2
    for other in (mapped, sharded):
        np.testing.assert_allclose(plain, other, rtol=1e-4, atol=2e-6)


def test_without_jit():
    images = pictures()
    found = attributions("relevance", network(), images, TARGETS)
    np.testing.assert_allclose(found, compiled("relevance")(images, TARGETS), rtol=1e-4, atol=2e-6)


@every_method
def test_several_targets_are_one_at_a_time(method):
    images, run = pictures(), compiled(method)
    targets = jnp.array([[4, 0, 4], [1, 2, 3], [3, 3, 0], [2, 1, 0]])
    together = run(images, targets)
    assert together.shape == (4, 3, *images.shape[1:])
    for t in range(3):
        np.testing.assert_allclose(together[:, t], run(images, targets[:, t]), rtol=1e-4, atol=2e-6)


@every_method
def test_functions_of_the_logits(method):
    images, other = pictures(), jnp.array([1, 1, 0, 2])
    contrast = compiled(method, difference)(images, TARGETS, other)
    assert contrast.shape == images.shape
    if method in ("saliency", "input_x_gradient", "integrated_gradients", "expected_gradients", "deep_lift"):
        apart = [compiled(method)(images, t) for t in (TARGETS, other)]
        np.testing.assert_allclose(contrast, apart[0] - apart[1], rtol=1e-3, atol=2e-5)


@every_method
def test_nan_pixels_stay_with_their_image(method):
    images, run = pictures(), compiled(method)
    spoiled = run(images.at[1, 2, 3, 0].set(jnp.nan), TARGETS)
    assert np.isnan(spoiled[1]).all()
    np.testing.assert_allclose(np.delete(spoiled, 1, 0), np.delete(run(images, TARGETS), 1, 0), rtol=1e-5, atol=1e-6)


@every_method
def test_a_class_that_there_is_not_gives_nan_where_it_cannot_be_refused(method):
    found = compiled(method)(pictures(), jnp.array([5, 1, -1, 0]))
    np.testing.assert_array_equal(np.isnan(found).all((1, 2, 3)), [True, False, True, False])
    assert np.isfinite(found[1]).all()
    with pytest.raises(ValueError, match=r"targets must lie in 0\.\.4, got 5"):
        attributions(method, lambda x: x.mean((1, 2))[:, :1] * jnp.ones(5), pictures(2), jnp.array([5, 1]))


@pytest.mark.parametrize("method", ["guided_backprop", "deconvnet", "relevance", "deep_lift"])
def test_a_dead_network(method):
    dead = lambda x: jax.nn.relu(-1 - jnp.abs(x)).sum((1, 2))
    found = fast_jit(lambda x: attributions(method, dead, x, jnp.array([0, 1])))(pictures(2))
    # The deconvolution network does not ask whether a unit was active.
    assert np.isfinite(found).all()
    assert (np.abs(found).max() > 0) == (method == "deconvnet")


@every_method
def test_wrong_calls_are_refused(method):
    images, fn = pictures(2), lambda x: x.mean((1, 2))
    with pytest.raises(ValueError, match=r"targets must be \(2,\)"):
        attributions(method, fn, images, jnp.array([1]))
    with pytest.raises(ValueError, match=r"fn must give scores \(2, k\), got \(2,\)"):
        attributions(method, lambda x: fn(x)[:, 0], images, jnp.array([0, 0]))


@pytest.mark.parametrize("method", ["guided_backprop", "deconvnet", "relevance", "deep_lift"])
def test_inputs_that_are_no_pictures(method):
    weights = jax.random.normal(jax.random.key(0), (6, 3))
    rows = pictures(4, (1, 2)).reshape(4, 6)
    found = fast_jit(lambda x: attributions(method, lambda x: jax.nn.relu(x @ weights), x, jnp.zeros(4, int)))(rows)
    assert found.shape == (4, 6)


@every_method
def test_half_precision_is_close_and_comes_out_in_float32(method):
    images = pictures().astype(jnp.bfloat16)
    fn = network(dtype=jnp.bfloat16)
    half = fast_jit(lambda x: attributions(method, fn, x, TARGETS))(images)
    assert half.dtype == jnp.float32
    exact = compiled(method)(images.astype(jnp.float32), TARGETS)
    assert np.corrcoef(np.ravel(half), np.ravel(exact))[0, 1] > 0.99


def test_probability_of_several_classes():
    images, targets = pictures(), jnp.array([[0, 1], [2, 3], [4, 0], [1, 1]])
    fn = network()
    found = fast_jit(lambda x: attribution.input_x_gradient(fn, x, probability(targets)))(images)
    assert found.shape == (4, 2, *images.shape[1:])


def test_integers_are_refused_with_advice():
    with pytest.raises(UserError, match="images are uint8; a gradient needs floats"):
        inspect.unwrap(logits_shape)(lambda x: x, jnp.zeros((1, 2), jnp.uint8))


def test_channels():
    values = jnp.array([[[1.0, -3.0, 1.0]], [[0.0, jnp.nan, 1.0]]])
    np.testing.assert_array_equal(attribution.channel_sum(values), [[-1], [np.nan]])
    np.testing.assert_array_equal(attribution.channel_max_abs(values), [[3], [np.nan]])
    assert attribution.channel_sum(jnp.ones((1, 1, 1, 4096), jnp.bfloat16)).item() == 4096
