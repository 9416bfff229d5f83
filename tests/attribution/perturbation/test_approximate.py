"""Approximate occlusion: exact where it must be, and measured where it is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_occlusion import forms

from jaxcam.attribution.perturbation.agreement import agreement
from jaxcam.attribution.perturbation.approximate import (
    coarse_places,
    compare_with_exact,
    interpolation,
    occlusion_coarse_to_fine,
    occlusion_linear,
)
from jaxcam.attribution.perturbation.occlusion import occlusion
from jaxcam.attribution.perturbation.windows import window_grid
from jaxcam.attribution.targets import every_class, predicted

KERNEL = jax.random.normal(jax.random.key(0), (3, 3, 3, 4)) / 5
MIX = jax.random.normal(jax.random.key(1), (4, 5))


def features(x):
    return jax.nn.relu(
        jax.lax.conv_general_dilated(x, KERNEL, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    )


def head(activations):
    return jnp.tanh(activations.mean((1, 2)) @ MIX)


def net(x):
    return head(features(x))


@pytest.fixture(scope="module")
def images():
    """Dim noise with one bright spot, at another place in each image."""
    noise = 0.1 * jax.random.normal(jax.random.key(2), (3, 24, 30, 3))
    return noise.at[0, 3:9, 3:9].add(3).at[1, 14:20, 19:25].add(3).at[2, 9:15, 2:8].add(-3)


def test_coarse_places_and_interpolation():
    grid = window_grid((10, 9), (2, 3), (2, 1))
    first, rest = coarse_places(grid)
    assert grid.shape == (5, 7)
    assert sorted([*first, *rest]) == list(range(35))
    assert len(first) == 3 * 4
    plane = np.add.outer(np.arange(5) * 2.0, 3 * np.arange(7)).reshape(-1)
    np.testing.assert_allclose(plane[first] @ np.asarray(interpolation(grid, first)), plane, rtol=1e-6)


@pytest.mark.parametrize("fill", ["mean", 0.0])
def test_coarse_to_fine_is_exact_with_everything_kept_and_where_it_looks(images, fill):
    run = lambda x, keep: occlusion_coarse_to_fine(net, x, every_class, 4, 3, fill, keep=keep, engine="brute")
    exact, whole, some, none = jax.jit(
        lambda x: (occlusion(net, x, every_class, 4, 3, fill, engine="brute"), run(x, 1), run(x, 0.25), run(x, 0))
    )(images)
    np.testing.assert_allclose(whole, exact, atol=1e-6)
    same = np.isclose(some, exact, atol=1e-6).all(1)
    first, rest = coarse_places(window_grid((24, 30), (4, 4), (3, 3)))
    assert (same.reshape(3, -1).sum(1) >= len(first) + round(0.25 * len(rest))).all()
    quality, worse = (agreement(maps, exact).summary() for maps in (some, none))
    for name in ("rank", "ssim", "top"):
        assert quality[name] > max(0.6, worse[name])
    assert np.abs(some - exact).mean() < 0.6 * np.abs(none - exact).mean()


def test_coarse_to_fine_in_all_forms(images):
    method = lambda x, t: occlusion_coarse_to_fine(net, x, t, 6, 6, keep=0.3, engine="brute")
    results = list(forms(method, images, jnp.array([1, 0, 4])))
    for other in results[1:]:
        np.testing.assert_allclose(results[0], other, atol=1e-5)


def test_linear_is_exact_for_a_linear_head_and_gradient_times_change_at_the_input(images):
    linear = lambda activations: activations.mean((1, 2)) @ MIX
    whole = lambda x: linear(features(x))
    targets = jnp.array([[0, 3], [1, 2], [4, 4]])

    @jax.jit
    def maps(x):
        run = lambda first, last: occlusion_linear(first, last, x, targets, 6, 6, 0.5, engine="brute")
        slope = jax.grad(lambda x: jnp.take_along_axis(net(x), targets, 1)[:, 1].sum())(x)
        return {
            "linear head": (run(features, linear), occlusion(whole, x, targets, 6, 6, 0.5, engine="brute")),
            "at the logits": (run(net, lambda logits: logits), occlusion(net, x, targets, 6, 6, 0.5, engine="brute")),
            "at the input": (
                run(lambda x: x, net)[:, 1],
                ((x - 0.5) * slope).sum(3).reshape(3, 4, 6, 5, 6).sum((2, 4)),
            ),
        }

    for ours, expected in maps(images).values():
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_coarse_to_fine_with_the_incremental_engine(images):
    run = lambda x, engine: occlusion_coarse_to_fine(net, x, predicted, 6, 5, "mean", keep=0.4, engine=engine)
    ours, brute = jax.jit(lambda x: (run(x, "incremental"), run(x, "brute")))(images)
    np.testing.assert_allclose(ours, brute, atol=1e-5)


def test_linear_with_the_incremental_engine(images):
    run = lambda x, engine: occlusion_linear(features, head, x, jnp.array([0, 1, 2]), 6, 6, "mean", engine=engine)
    ours, brute = jax.jit(lambda x: (run(x, "incremental"), run(x, "brute")))(images)
    np.testing.assert_allclose(ours, brute, rtol=1e-4, atol=1e-6)


def test_agreement_is_measured_against_the_exact_maps(images):
    close = lambda x, t, *numbers: occlusion_linear(features, head, x, t, *numbers, engine="brute")
    found = compare_with_exact(close, net, images, jnp.array([0, 1, 2]), 4, 3, engine="brute")
    assert found.rank.shape == (3,)
    assert 0.8 < found.rank.min() <= 1
    assert 0.8 < found.ssim.min() < 1
    assert "worst" in str(found)


def test_agreement_of_known_maps():
    from scipy.stats import spearmanr

    random = np.random.default_rng(0)
    true = random.normal(size=(2, 3, 10, 12))
    other = true + random.normal(size=true.shape)
    found = agreement(other, true)
    assert found.rank.shape == (6,)
    assert found.rank[4] == pytest.approx(spearmanr(other[1, 1].ravel(), true[1, 1].ravel()).statistic)
    assert 0 < found.ssim.mean() < 0.95
    assert 0 < found.top.mean() < 1
    same = agreement(true, true).summary()
    np.testing.assert_allclose([same[name] for name in ("rank", "ssim", "top", "worst_rank")], 1)
    opposite = agreement(-true, true)
    np.testing.assert_allclose(opposite.rank, -1)
    np.testing.assert_array_equal(opposite.top, 0)
    flat = agreement(np.zeros((2, 2)), np.zeros((2, 2)))
    assert np.isnan([flat.rank[0], flat.ssim[0]]).all()
    assert np.isnan(flat.summary()["rank"])
    assert np.isnan(agreement(np.full((4, 4), np.nan), np.ones((4, 4))).top).all()
    with pytest.raises(ValueError, match="one shape"):
        agreement(true, true[0])


def test_what_does_not_fit_is_refused(images):
    with pytest.raises(ValueError, match="keep must lie"):
        occlusion_coarse_to_fine(net, images, predicted, 4, 3, keep=2)
    with pytest.raises(ValueError, match="larger than the image"):
        occlusion_linear(features, head, images, predicted, 40, 3)
