"""Similarity of maps against scipy and scikit-image; randomised parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxcam.attribution.judging import sanity
from jaxcam.attribution.judging.sanity import (
    cascade,
    cascading_randomisation,
    label_randomisation,
    on_unit,
    shuffled,
    spearman,
    ssim,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")

RANDOM = np.random.default_rng(0)
PARAMS = {name: {"kernel": jnp.asarray(RANDOM.normal(size=(3, 3)), jnp.float32)} for name in ("one", "two", "three")}
IMAGES = jnp.asarray(RANDOM.normal(size=(5, 8, 9, 3)), jnp.float32)


@jax.jit
def explain(params):
    """A map that depends on the stages `one` and `two`, not on `three`."""
    return jnp.tanh(IMAGES @ params["one"]["kernel"] @ params["two"]["kernel"]).sum(-1)


def test_spearman_with_ties_is_scipys():
    first = RANDOM.integers(0, 6, (4, 7, 8)).astype(np.float32)
    second = first + RANDOM.integers(0, 6, (4, 7, 8))
    expected = [stats.spearmanr(a.ravel(), b.ravel())[0] for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(jax.jit(spearman)(jnp.asarray(first), jnp.asarray(second)), expected, atol=1e-5)


@pytest.mark.parametrize("size", [(14, 14), (7, 9), (4, 5), (30, 20)])
def test_ssim_is_scikit_images(size):
    metrics = pytest.importorskip("skimage.metrics")
    first = RANDOM.random((3, *size)).astype(np.float32)
    second = (first + RANDOM.random((3, *size)).astype(np.float32)) / 2
    window = min(7, size[0] - (1 - size[0] % 2))
    expected = [
        metrics.structural_similarity(a, b, win_size=window, data_range=1.0) for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(jax.jit(ssim)(jnp.asarray(first), jnp.asarray(second)), expected, atol=1e-4)


def test_similarity_of_a_map_with_itself_its_opposite_and_of_undefined_ones():
    maps = explain(PARAMS)
    similarity = jax.jit(sanity.similarity)
    same = similarity(maps, maps * 3 + 1)
    for values in (same.spearman, same.ssim):
        np.testing.assert_allclose(values, 1, atol=1e-5)
    opposite = similarity(maps, -maps)
    np.testing.assert_allclose(opposite.spearman, -1, atol=1e-5)
    np.testing.assert_allclose(opposite.spearman_absolute, 1, atol=1e-5)
    broken = maps.at[1].set(0.0).at[2, 0, 0].set(jnp.nan)
    found = similarity(maps, broken)
    for values in found:
        assert np.isnan(values[1:3]).all()
        assert np.isfinite(values[np.array([0, 3, 4])]).all()
    assert on_unit(maps).min() == 0
    assert on_unit(maps).max() == 1


def test_cascade_replaces_from_the_top_and_keeps_what_it_replaced():
    random = shuffled(PARAMS, jax.random.key(0))
    for name, kernel in PARAMS.items():
        before, after = np.asarray(kernel["kernel"]), np.asarray(random[name]["kernel"])
        assert not np.array_equal(before, after)
        np.testing.assert_array_equal(np.sort(before.ravel()), np.sort(after.ravel()))
    steps = list(cascade(PARAMS, random, ("three", "two")))
    assert [name for name, _ in steps] == ["three", "two"]
    assert steps[0][1]["two"] is PARAMS["two"]
    assert steps[1][1]["three"] is random["three"]
    assert steps[1][1]["one"] is PARAMS["one"]
    for order in (("three", "four"), ("two", "two")):
        with pytest.raises(ValueError, match="order must name stages"):
            list(cascade(PARAMS, random, order))


def test_maps_that_use_a_stage_change_with_it_and_others_do_not():
    random = shuffled(PARAMS, jax.random.key(1))
    names, found = cascading_randomisation(explain, PARAMS, random, ("three", "two", "one"))
    assert names == ("three", "two", "one")
    assert found.spearman.shape == (3, 5)
    np.testing.assert_allclose(found.spearman[0], 1, atol=1e-5)
    assert (np.asarray(found.spearman[1:]) < 0.99).all()
    edges = cascading_randomisation(lambda params: jnp.abs(IMAGES).sum(-1), PARAMS, random, ("two", "one"))[1]
    np.testing.assert_allclose(edges.ssim, 1, atol=1e-4)
    with pytest.raises(ValueError, match="no stage"):
        cascading_randomisation(explain, PARAMS, random, ())
    other = label_randomisation(explain, PARAMS, random)
    np.testing.assert_allclose(other.spearman, found.spearman[2], atol=1e-5)
