"""Integrated and expected gradients: PAIR's case, completeness, convergence, expectation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gradient_family import CLASS_0, REFERENCES, fast_jit, network, pictures

from jaxcam.attribution import expected_gradients, integrated_gradients
from jaxcam.attribution.gradient.path import RULES, draws, quadrature
from jaxcam.errors import UserError

KEY = jax.random.key(0)
pair = lambda x: (5 * x[..., 0] + jnp.square(x[..., 1]) + jnp.sin(x[..., 2])).sum((1, 2))[:, None]


@pytest.mark.parametrize("rule", RULES)
def test_case_30_pair(rule):
    """f = 5x + y^2 + sin z at [1, 2, 3] from [.5, 1, 1]; PAIR has 1000 steps and two decimals."""
    found = integrated_gradients(
        pair, jnp.array([[[[1.0, 2.0, 3.0]]]]), CLASS_0, baselines=jnp.array([0.5, 1.0, 1.0]), steps=1000, rule=rule
    )
    np.testing.assert_allclose(found.attributions[0, 0, 0], [2.5, 3, -0.70035], atol=0.005)
    np.testing.assert_allclose(found.expected, [2.5 + 3 + np.sin(3) - np.sin(1)], rtol=1e-5)
    np.testing.assert_allclose(found.error, found.attributions.sum() - found.expected[0], atol=1e-4)


def test_gauss_legendre_needs_few_steps_where_a_riemann_sum_needs_many():
    run = lambda steps, rule: integrated_gradients(
        pair, jnp.array([[[[1.0, 2.0, 3.0]]]]), CLASS_0, baselines=0.0, steps=steps, rule=rule
    ).error.item()
    assert abs(run(5, "gauss_legendre")) < 1e-4
    assert abs(run(5, "riemann_left")) > 0.1


@pytest.mark.parametrize("rule", RULES)
def test_weights_add_up(rule):
    places, weights = quadrature(rule, 7)
    np.testing.assert_allclose(weights.sum(), 1)
    assert ((places >= 0) & (places <= 1)).all()


def test_completeness_on_a_network():
    fn, images, targets = network(), pictures(), jnp.array([[0, 1], [2, 3], [4, 0], [1, 1]])
    run = fast_jit(lambda x, b: integrated_gradients(fn, x, targets, baselines=b, steps=200, memory=2**24))
    for baselines in (jnp.zeros(()), jnp.array([0.1, 0.2, 0.3]), pictures(8)[4:]):
        found = run(images, baselines)
        given = jnp.broadcast_to(baselines, images.shape)
        expected = jnp.take_along_axis(fn(images) - fn(given), targets, axis=1)
        np.testing.assert_allclose(found.expected, expected, rtol=1e-4, atol=1e-5)
        assert found.error.shape == (4, 2)
        assert float(jnp.abs(found.error).max()) < 0.02 * float(jnp.abs(expected).max())


def test_expected_gradients_average_over_references():
    """Towards integrated gradients, averaged over the references; on a quadratic the answer is known."""
    square = lambda x: jnp.square(x).sum((1, 2, 3))[:, None]
    images = pictures(2)
    run = lambda x: expected_gradients(square, x, CLASS_0.repeat(2), key=KEY, references=REFERENCES, samples=600)
    found = fast_jit(run)(images)
    exact = jnp.square(images) - jnp.square(REFERENCES).mean(0)
    away = np.abs(found.attributions - exact)
    assert away.mean() < 0.05
    assert away.max() < 0.4
    np.testing.assert_allclose(found.expected, exact.sum((1, 2, 3)), rtol=1e-4)
    assert float(jnp.abs(found.error).max()) < 2


def test_one_reference_and_many_samples_is_integrated_gradients():
    fn, images, targets = network(), pictures(2), jnp.array([3, 0])
    sampled = fast_jit(
        lambda x: expected_gradients(fn, x, targets, key=KEY, references=REFERENCES[:1], samples=400, memory=2**24)
    )(images)
    exact = fast_jit(lambda x: integrated_gradients(fn, x, targets, baselines=REFERENCES[0], steps=100))(images)
    np.testing.assert_allclose(sampled.attributions, exact.attributions, atol=0.02)


def test_draws_are_spread_over_the_line_and_the_references():
    places, choices = draws(KEY, 100, 30)
    np.testing.assert_array_equal(np.sort(np.floor(np.asarray(places) * 100)), np.arange(100))
    assert set(np.bincount(choices, minlength=30)) == {3, 4}
    assert abs(np.corrcoef(places, choices)[0, 1]) < 0.3


def test_wrong_calls():
    images = pictures(2)
    with pytest.raises(UserError, match=r"baselines \(5,\) do not broadcast to the images \(2, 8, 12, 3\)"):
        integrated_gradients(pair, images, CLASS_0.repeat(2), baselines=jnp.zeros(5))
    with pytest.raises(ValueError, match="too few steps"):
        integrated_gradients(pair, images, CLASS_0.repeat(2), baselines=0.0, steps=0)
    for references in (jnp.zeros((0, 8, 12, 3)), jnp.zeros((2, 8, 11, 3))):
        with pytest.raises(UserError, match=r"references must be \(m, 8, 12, 3\), at least one"):
            expected_gradients(pair, images, CLASS_0.repeat(2), key=KEY, references=references)
