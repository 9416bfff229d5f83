"""LIME and KernelSHAP against captum's numbers, scikit-learn and Shapley's formula."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_occlusion import forms, linear_relu

from jaxcam.attribution.perturbation.regression import constrained, lasso, rank_correlation, ridge
from jaxcam.attribution.perturbation.segments import grid_segments, paint, segment_means, superpixels
from jaxcam.attribution.perturbation.shapley import drawn_combinations, kernel_shap
from jaxcam.attribution.perturbation.surrogate import lime
from jaxcam.attribution.targets import every_class

KEY = jax.random.key(0)
CLASS_0 = jnp.array([0])


def test_case_18_captum_lime():
    """Lasso with alpha 1, cosine kernel of width 10; the expected values are captum's, its tolerance is 1."""
    settings = {"samples": 500, "alpha": 1.0, "width": 10.0, "convention": "captum"}

    def method(images, targets):
        run = lambda fill: lime(
            linear_relu, images, targets, key=KEY, segments=np.array([0, 0, 1]), fill=fill, **settings
        )
        return run(0.0).coefficients, run(4.0).coefficients

    for black, four in forms(method, jnp.array([[20.0, 50, 30]]), CLASS_0):
        np.testing.assert_allclose(black[:, [0, 0, 1]], [[271, 271, 111]], atol=1)
        np.testing.assert_allclose(four[:, [0, 0, 1]], [[244, 244, 100]], atol=1)


def problem(seed=0, samples=200, parts=7, targets=3):
    random = np.random.default_rng(seed)
    design = (random.random((samples, parts)) > 0.5).astype(np.float32)
    weights = random.random(samples).astype(np.float32)
    values = random.normal(size=(targets, parts)) @ design.T + 0.3 * random.normal(size=(targets, samples)) + 5
    return design, weights, values.astype(np.float32)


@pytest.mark.parametrize("alpha", [0.05, 1.0])
def test_ridge_and_lasso_are_scikit_learns(alpha):
    from sklearn.linear_model import Lasso, Ridge

    design, weights, values = problem()
    for ours, theirs in ((ridge, Ridge(alpha=alpha)), (lasso, Lasso(alpha=alpha, tol=1e-8, max_iter=10**5))):
        coefficients, intercepts = jax.jit(lambda *rows, solve=ours: solve(*rows, alpha))(design, weights, values)
        for i in range(3):
            theirs.fit(design.astype(float), values[i].astype(float), sample_weight=weights.astype(float))
            np.testing.assert_allclose(coefficients[i], theirs.coef_, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(intercepts[i], theirs.intercept_, rtol=1e-4)


def test_a_column_that_never_changes_gets_nothing():
    design, weights, values = problem()
    design[:, 2] = 1
    for solve in (ridge, lasso):
        coefficients, _ = solve(jnp.asarray(design), jnp.asarray(weights), jnp.asarray(values), 0.1)
        np.testing.assert_allclose(coefficients[:, 2], 0, atol=1e-4)
        assert jnp.isfinite(coefficients).all()
        assert jnp.isnan(solve(jnp.asarray(design), jnp.asarray(weights) * jnp.nan, jnp.asarray(values), 0.1)[0]).all()


def test_constrained_sums_up_and_leaves_unused_columns_at_zero():
    design, weights, values = problem()
    used, total = jnp.array([1.0, 1, 0, 1, 1, 1, 1]), jnp.array([1.0, 2, 3])
    found = constrained(jnp.asarray(design), jnp.asarray(weights), jnp.asarray(values), used, total)
    np.testing.assert_allclose(found.sum(1), total, rtol=1e-5)
    np.testing.assert_array_equal(found[:, 2], 0)


def test_rank_correlation_is_scipys():
    from scipy.stats import spearmanr

    random = np.random.default_rng(0)
    first, second = random.integers(0, 6, (2, 5, 20)).astype(np.float32)
    expected = [spearmanr(a, b).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(jnp.asarray(first), jnp.asarray(second)), expected, rtol=1e-5)
    assert jnp.isnan(rank_correlation(jnp.ones(3), jnp.arange(3.0)))


def parts_model(images):
    """Scores that add up over a 2x2 grid of parts, for images that are constant there: weights 1, -2, 0, 4."""
    return jnp.stack([weighted(images), -weighted(images)], axis=1)


def weighted(images):
    quarters = images.reshape(len(images), 2, images.shape[1] // 2, 2, -1).mean((2, 4))
    return (quarters * jnp.array([[1.0, -2], [0, 4]])).sum((1, 2))


@pytest.mark.parametrize("convention", ["lime", "captum", "xplique"])
def test_lime_finds_an_additive_model_and_is_sure_of_it(convention):
    images, segments = jnp.ones((2, 4, 6, 1)), grid_segments((4, 6), (2, 2))
    settings = {"convention": convention, "samples": 300, "alpha": 1e-4, "fill": 0.0}
    found = jax.jit(lambda x: lime(parts_model, x, every_class, key=KEY, segments=segments, **settings))(images)
    expected = np.array([1.0, -2, 0, 4])
    np.testing.assert_allclose(found.coefficients, np.tile([expected, -expected], (2, 1, 1)), atol=0.02)
    np.testing.assert_allclose(found.intercepts, 0, atol=0.02)
    np.testing.assert_allclose(found.fit, 1, atol=0.01)
    np.testing.assert_allclose(found.stability, 1, atol=0.01)
    assert found.errors.max() < 0.01
    maps = paint(found.coefficients, segments)
    np.testing.assert_allclose(maps[1, 0], np.kron([[1, -2], [0, 4]], np.ones((2, 3))), atol=0.02)


def test_errors_tell_how_far_the_coefficients_scatter():
    weights = jax.random.normal(jax.random.key(3), (16, 24))
    fn = lambda x: jnp.tanh(x.reshape(len(x), -1) @ weights).sum(1, keepdims=True)
    images, segments = jax.random.normal(jax.random.key(4), (1, 4, 4, 1)), np.arange(16).reshape(4, 4)
    run = jax.jit(lambda key: lime(fn, images, CLASS_0, key=key, segments=segments, samples=80, fill=0.0))
    found = [run(jax.random.key(seed)) for seed in range(12)]
    scatter = np.std([one.coefficients[0] for one in found], axis=0, ddof=1).mean()
    claimed = np.mean([one.errors[0] for one in found])
    assert 0.5 < claimed / scatter < 2
    assert 0 < np.mean([one.stability[0] for one in found]) < 1


def test_segments_of_single_images_and_unused_numbers():
    """An image with fewer parts than another gets zeros, and the same values as alone."""
    images = jnp.ones((2, 4, 6, 1))
    numbers = np.stack([grid_segments((4, 6), (2, 2)), grid_segments((4, 6), (2, 2)) // 2])
    run = jax.jit(
        lambda images, segments, **settings: (
            lime(parts_model, images, every_class, key=KEY, segments=segments, samples=64, fill=0.0, count=4),
            kernel_shap(parts_model, images, every_class, key=KEY, segments=segments, fill=0.0, count=4),
        )
    )
    linear, shap = run(images, jnp.asarray(numbers))
    np.testing.assert_array_equal(linear.coefficients[1, :, 2:], 0)
    np.testing.assert_array_equal(shap.coefficients[1, :, 2:], 0)
    np.testing.assert_allclose(shap.coefficients[0, 0], [1, -2, 0, 4], atol=1e-4)
    np.testing.assert_allclose(shap.coefficients[1, 0], [-1, 4, 0, 0], atol=1e-4)


def shapley(fn, row):
    """Shapley values of the entries of one row by the formula."""
    n = len(row)
    subsets = [subset for size in range(n + 1) for subset in itertools.combinations(range(n), size)]
    inputs = np.array([[row[i] if i in subset else 0 for i in range(n)] for subset in subsets], np.float32)
    value = dict(zip(subsets, np.asarray(fn(jnp.asarray(inputs))), strict=True))
    out = np.zeros((value[()].shape[0], n))
    for i in range(n):
        for subset in subsets:
            if i not in subset:
                share = math.factorial(len(subset)) * math.factorial(n - len(subset) - 1) / math.factorial(n)
                out[:, i] += share * (value[tuple(sorted((*subset, i)))] - value[subset])
    return out


def test_kernel_shap_is_exact_for_few_parts_and_near_it_for_a_sample():
    mix, out = jax.random.normal(jax.random.key(1), (6, 8)), jax.random.normal(jax.random.key(2), (8, 3))
    fn = lambda x: jnp.tanh(x @ mix) @ out
    images = jax.random.normal(jax.random.key(3), (2, 6))
    run = lambda x, samples: kernel_shap(fn, x, every_class, key=KEY, segments=np.arange(6), fill=0.0, samples=samples)
    exact, drawn = jax.jit(lambda x: (run(x, 64), run(x, 60)))(images)
    expected = np.stack([shapley(fn, np.asarray(row)) for row in images])
    np.testing.assert_allclose(exact.coefficients, expected, atol=1e-4)
    assert (exact.errors == 0).all()
    assert (exact.stability == 1).all()
    whole = fn(images) - fn(jnp.zeros_like(images))
    for found in (exact, drawn):
        np.testing.assert_allclose(found.coefficients.sum(2), whole, atol=1e-4)
        np.testing.assert_allclose(found.intercepts, fn(jnp.zeros((2, 6))), atol=1e-6)
    np.testing.assert_allclose(drawn.coefficients, expected, atol=0.6)
    assert np.abs(drawn.coefficients - expected).mean() < 2 * drawn.errors.mean()


def test_captums_kernel_shap_number_and_a_single_part():
    """captum tests/attr/test_kernel_shap.py: the same model and input."""
    image = jnp.array([[20.0, 50, 30]])
    run = lambda segments: kernel_shap(linear_relu, image, CLASS_0, key=KEY, segments=segments, fill=0.0)
    three, one = jax.jit(lambda: (run(np.arange(3)), run(np.zeros(3, int))))()
    np.testing.assert_allclose(three.coefficients, [[76.66667, 196.66667, 116.66667]], rtol=1e-5)
    np.testing.assert_allclose(one.coefficients, [[390]], rtol=1e-5)


def test_drawn_combinations_follow_the_kernel():
    rows = np.asarray(drawn_combinations(KEY, 6, 4000))
    np.testing.assert_array_equal(rows[::2] + rows[1::2], 1)
    expected = np.array([1 / (k * (6 - k)) for k in range(1, 6)])
    np.testing.assert_allclose(np.bincount(rows.sum(1).astype(int))[1:6] / 8000, expected / expected.sum(), atol=0.02)
    np.testing.assert_allclose(rows.mean(0), 0.5, atol=1e-6)


def test_grids_superpixels_and_means():
    assert grid_segments((5, 7), 6).max() == 5
    assert grid_segments((3, 3), 100).tolist() == np.arange(9).reshape(3, 3).tolist()
    images = np.zeros((2, 24, 30, 3), np.uint8)
    images[0, :, 15:], images[1, 12:] = 200, (255, 0, 0)
    for method in ("slic", "quickshift", "felzenszwalb"):
        numbers = superpixels(images, method=method, parts=8)
        assert numbers.shape == (2, 24, 30)
        for i in range(2):
            assert set(np.unique(numbers[i])) == set(range(numbers[i].max() + 1))
        # The edge of the colours is an edge of the parts.
        assert not set(numbers[1, :11].ravel()) & set(numbers[1, 13:].ravel())
    values = jax.random.normal(KEY, (2, 24, 30, 3))
    means = segment_means(values, jnp.asarray(numbers), int(numbers.max()) + 1)
    inside = numbers[0] == numbers[0, 5, 5]
    np.testing.assert_allclose(means[0, 5, 5], np.asarray(values)[0][inside].mean(0), atol=1e-5)
    with pytest.raises(ValueError, match="method must be one of"):
        superpixels(images, method="voronoi")
    with pytest.raises(ValueError, match="rows and columns"):
        grid_segments((3, 3), (4, 1))


def test_what_does_not_fit_is_refused():
    images, segments = jnp.ones((2, 4, 6, 1)), grid_segments((4, 6), (2, 2))
    run = lambda **options: lime(parts_model, images, every_class, key=KEY, **{"segments": segments} | options)
    with pytest.raises(ValueError, match="convention must be"):
        run(convention="shap")
    with pytest.raises(ValueError, match="kernel must be"):
        run(kernel="box")
    with pytest.raises(ValueError, match="at least 16 samples"):
        run(samples=3)
    with pytest.raises(ValueError, match="segments must be"):
        run(segments=segments[:3])
    with pytest.raises(ValueError, match="number the parts from 0"):
        run(segments=segments - 1)
    with pytest.raises(ValueError, match="count is 2"):
        run(count=2)
    with pytest.raises(ValueError, match="count="):
        jax.jit(lambda segments: run(segments=segments))(jnp.asarray(segments))
    with pytest.raises(ValueError, match="24 parts need at least 98 samples"):
        kernel_shap(parts_model, images, every_class, key=KEY, segments=grid_segments((4, 6), 24), samples=50)
