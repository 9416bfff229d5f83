"""Saliency, input times gradient and SmoothGrad by hand, by identity and in expectation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gradient_family import CLASS_0, fast_jit, network, pictures

from jaxcam.attribution import input_x_gradient, saliency, smooth_grad
from jaxcam.attribution.gradient.samples import fold

KEY = jax.random.key(5)
quadratic = lambda x: (jnp.array([1.0, 2.0, 3.0]) * jnp.square(x)).sum((1, 2, 3))[:, None]


def test_by_hand():
    image = jnp.array([[[[1.0, -2.0, 0.5]]]])
    np.testing.assert_allclose(saliency(quadratic, image, CLASS_0)[0, 0, 0], [2, -8, 3])
    np.testing.assert_allclose(saliency(quadratic, image, CLASS_0, absolute=True)[0, 0, 0], [2, 8, 3])
    np.testing.assert_allclose(input_x_gradient(quadratic, image, CLASS_0)[0, 0, 0], [2, 16, 1.5])


def test_smooth_grad_in_expectation():
    """For a quadratic the gradient is linear in the noise: its mean is the gradient, its variance (2 w sigma)^2."""
    images = jnp.stack([jnp.full((1, 2, 3), 1.0).at[0, 0, 0].set(3.0), jnp.zeros((1, 2, 3)).at[0, 1, 2].set(-5.0)])
    weights, sigma = np.array([1.0, 2.0, 3.0]), np.array([0.2 * 2, 0.2 * 5])[:, None, None, None]
    expected = 2 * weights * np.asarray(images)
    spread = 2 * weights * sigma * np.ones(images.shape)
    run = lambda kind: smooth_grad(quadratic, images, CLASS_0.repeat(2), key=KEY, samples=4000, noise=0.2, kind=kind)
    assert (np.abs(run("mean") - expected) < 5 * spread / np.sqrt(4000)).all()
    np.testing.assert_allclose(run("variance"), spread**2, rtol=0.15)
    np.testing.assert_allclose(run("squared"), spread**2 + expected**2, rtol=0.15)


def test_the_kinds_are_moments_of_the_same_samples():
    images, targets = pictures(2), jnp.array([1, 2])
    fn = network()
    run = fast_jit(
        lambda x: [smooth_grad(fn, x, targets, key=KEY, samples=6, kind=k) for k in ("mean", "squared", "variance")]
    )
    mean, squared, variance = run(images)
    np.testing.assert_allclose(variance, squared - jnp.square(mean), rtol=1e-3, atol=1e-6)


def test_variance_does_not_cancel_where_the_gradient_is_large():
    steep = lambda x: (1e4 * x + 0.5 * jnp.square(x)).sum((1, 2, 3))[:, None]
    image = jnp.zeros((1, 2, 2, 1)).at[0, 0, 0, 0].set(1.0)
    found = smooth_grad(steep, image, CLASS_0, key=KEY, samples=500, noise=1.0, kind="variance")
    np.testing.assert_allclose(found, np.ones(image.shape), rtol=0.3)


@pytest.mark.parametrize("memory", [1, 200_000, 2**30])
def test_memory_changes_no_number(memory):
    images, targets, fn = pictures(2), jnp.array([[1, 2, 0], [0, 4, 3]]), network()
    run = lambda memory: smooth_grad(fn, images, targets, key=KEY, samples=7, memory=memory)
    np.testing.assert_allclose(fast_jit(lambda: run(memory))(), fast_jit(lambda: run(100_000))(), rtol=1e-4, atol=1e-6)


def test_the_budget_bounds_what_is_kept():
    """The compiled program's memory does not grow with the number of samples."""
    fn, images = network(), pictures(2)

    def size(samples, memory):
        run = lambda x: smooth_grad(fn, x, jnp.array([0, 1]), key=KEY, samples=samples, memory=memory)
        return fast_jit(run).lower(images).compile().memory_analysis().temp_size_in_bytes

    assert size(64, 100_000) < 1.2 * size(16, 100_000)
    assert size(64, 2**30) > 3 * size(64, 100_000)


def test_keys_for_each_image():
    fn, images, targets = network(), pictures(2), jnp.array([1, 1])
    same = jnp.stack([images[0], images[0]])
    run = fast_jit(lambda x, t, key: smooth_grad(fn, x, t, key=key, samples=2))
    one = run(same, targets, KEY)
    np.testing.assert_allclose(one[0], one[1], rtol=1e-4, atol=1e-6)
    keys = jax.random.split(KEY, 2)
    own = run(same, targets, keys)
    assert float(jnp.abs(own[0] - own[1]).max()) > 1e-3
    alone = run(same[:1], targets[:1], keys[1])
    np.testing.assert_allclose(own[1], alone[0], rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="one for each of 2 images"):
        smooth_grad(fn, same, targets, key=jax.random.split(KEY, 3))


def test_wrong_options():
    with pytest.raises(ValueError, match="samples must be at least 1"):
        smooth_grad(quadratic, jnp.ones((1, 1, 1, 3)), CLASS_0, key=KEY, samples=0)


@pytest.mark.parametrize(("samples", "at_once"), [(1, 1), (7, 3), (8, 4), (50, 48), (5, 100), (13, 1)])
def test_fold_visits_every_sample_once(samples, at_once):
    step = lambda seen, numbers: seen.at[numbers].add(1)
    np.testing.assert_array_equal(fold(step, jnp.zeros(samples, int), samples, at_once), np.ones(samples))


def test_constant_images_and_empty_batches():
    flat = jnp.full((1, 2, 2, 3), 0.5)
    exact = saliency(quadratic, flat, CLASS_0)
    np.testing.assert_allclose(smooth_grad(quadratic, flat, CLASS_0, key=KEY, samples=2), exact, rtol=1e-6)
    assert saliency(quadratic, jnp.zeros((0, 2, 2, 3)), jnp.zeros(0, int)).shape == (0, 2, 2, 3)
