"""Maps beside masks: cases of others, cases by hand, and what is not defined."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxcam.attribution.judging import localisation
from jaxcam.attribution.judging.localisation import (
    box_masks,
    dilated,
    heat_in_mask,
    pointing_game,
    relevance_mass,
    relevance_rank,
    top_k_intersection,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")

MEASURES = {
    "heat_in_mask": heat_in_mask,
    "relevance_mass": relevance_mass,
    "relevance_rank": relevance_rank,
    "top_k_intersection": lambda maps, masks: top_k_intersection(maps, masks, 5),
    "pointing_game": lambda maps, masks: pointing_game(maps, masks, tolerance=1.5),
}
every = jax.jit(lambda maps, masks: {name: measure(maps, masks) for name, measure in MEASURES.items()})


@pytest.fixture(scope="module")
def case_37():
    """Quantus: attribution in rows 0 to 100, columns 75 to 100, mask rows 0 to 50, columns 50 to 100."""
    heat, mask = np.zeros((1, 224, 224), np.float32), np.zeros((1, 224, 224), bool)
    heat[0, 0:100, 75:100], mask[0, 0:50, 50:100] = 1, True
    return jnp.asarray(heat), jnp.asarray(mask)


def test_case_37(case_37):
    top = jax.jit(top_k_intersection, static_argnums=2)
    # The mask holds 2500 pixels too, so that the rank is the same. Of 2500 equal values 1000 are asked for then: half
    # of any 1000 lie inside on average, whatever their order.
    for measure in (
        heat_in_mask,
        relevance_mass,
        relevance_rank,
        lambda m, k: top(m, k, 2500),
        lambda m, k: top(m, k, 1000),
    ):
        np.testing.assert_allclose(jax.jit(measure)(*case_37), [0.5], rtol=1e-6)


def test_ties_count_by_their_mean_share():
    top_k_intersection = jax.jit(localisation.top_k_intersection, static_argnums=2)
    maps = jnp.array([[[3.0, 2, 2, 2, 1]]])
    mask = jnp.array([[[True, True, False, False, False]]])
    np.testing.assert_allclose(top_k_intersection(maps, mask, 1), [1.0])
    np.testing.assert_allclose(top_k_intersection(maps, mask, 2), [(1 + 1 / 3) / 2], rtol=1e-6)
    np.testing.assert_allclose(top_k_intersection(maps, mask, 4), [2 / 4], rtol=1e-6)


def test_without_ties_it_is_a_count():
    random = np.random.default_rng(0)
    maps, masks = random.normal(size=(4, 9, 11)).astype(np.float32), random.random((4, 9, 11)) < 0.3
    order = np.argsort(-maps.reshape(4, -1), axis=1)
    inside = np.take_along_axis(masks.reshape(4, -1), order, axis=1)
    found = top_k_intersection(jnp.asarray(maps), jnp.asarray(masks), 20)
    np.testing.assert_allclose(found, inside[:, :20].mean(1), rtol=1e-6)
    expected = [row[: mask.sum()].mean() for row, mask in zip(inside, masks, strict=True)]
    np.testing.assert_allclose(relevance_rank(jnp.asarray(maps), jnp.asarray(masks)), expected, rtol=1e-6)


def test_an_even_map_scores_the_area_and_negative_heat_does_not_count():
    mask = jnp.zeros((2, 20, 40), bool).at[:, :5].set(True)
    heat = jnp.ones((2, 4, 8)).at[1, 2:].set(-7.0)
    shares = jax.jit(heat_in_mask)(heat, mask)
    np.testing.assert_allclose(shares[0], 0.25, rtol=1e-6)
    assert shares[1] > 0.4


@pytest.mark.parametrize("radius", [0.9, 1, 1.5, 3.2, 50])
def test_dilated_is_the_distance_to_the_mask(radius):
    masks = np.random.default_rng(1).random((3, 13, 9)) < 0.05
    masks[2] = False
    expected = [(ndimage.distance_transform_edt(~m) <= radius) if m.any() else m for m in masks]
    grown = jax.jit(dilated, static_argnums=1)(jnp.asarray(masks), radius)
    np.testing.assert_array_equal(grown, np.stack(expected))


def test_pointing_game():
    maps = jnp.zeros((4, 8, 8)).at[0, 1, 1].set(1.0).at[1, 7, 7].set(1.0).at[2, 0, 0].set(1.0).at[2, 7, 7].set(1.0)
    masks = jnp.zeros((4, 8, 8), bool).at[:, :3, :3].set(True)
    game = jax.jit(pointing_game, static_argnames="tolerance")
    # In it; far from it; one of two equal maxima; the same everywhere, which Quantus would count.
    np.testing.assert_array_equal(game(maps, masks, tolerance=0), [1, 0, 0.5, np.nan])
    np.testing.assert_array_equal(game(maps, masks, tolerance=8), [1, 1, 1, np.nan])
    np.testing.assert_allclose(game(-maps, masks, tolerance=0)[0], 8 / 63, rtol=1e-6)
    empty = game(maps, jnp.zeros_like(masks), tolerance=0)
    assert np.isnan(empty).all()


def test_undefined_rows_are_nan_and_do_not_disturb_the_others():
    random = np.random.default_rng(2)
    maps = jnp.asarray(random.random((4, 3, 5)), jnp.float32)
    masks = jnp.asarray(random.random((4, 6, 10)) < 0.4).at[1].set(False)
    maps = maps.at[2].set(0).at[3, 1, 2].set(jnp.nan)
    found, alone = every(maps, masks), every(maps[:1], masks[:1])
    mapped = jax.jit(jax.vmap(lambda m, k: {name: f(m[None], k[None])[0] for name, f in MEASURES.items()}))(maps, masks)
    for name, values in found.items():
        assert np.isnan(values[2:]).all()
        # Heat in an empty mask is zero; a share of nothing is none.
        assert values[1] == 0 if name == "heat_in_mask" else np.isnan(values[1])
        np.testing.assert_allclose(values[0], alone[name][0], rtol=1e-5)
        np.testing.assert_allclose(mapped[name], values, rtol=1e-5)


def test_half_precision_maps():
    maps = jnp.asarray(np.random.default_rng(3).random((2, 4, 4)), jnp.bfloat16)
    masks = jnp.zeros((2, 8, 8), bool).at[:, :4].set(True)
    half, whole = every(maps, masks), every(maps.astype(jnp.float32), masks)
    for name, values in half.items():
        assert values.dtype == jnp.float32
        np.testing.assert_allclose(values, whole[name], rtol=1e-6)


def test_boxes_and_mistakes():
    masks = box_masks(jnp.array([[2, 1, 5, 4], [3, 3, 3, 9]]), (6, 7))
    assert masks.sum((1, 2)).tolist() == [9, 0]
    assert bool(masks[0, 2, 1])
    assert not bool(masks[0, 5, 3])
    with pytest.raises(ValueError, match=r"k must lie in 1\.\.4"):
        top_k_intersection(jnp.ones((1, 2, 2)), jnp.ones((1, 2, 2), bool), 5)
    with pytest.raises(ValueError, match="tolerance"):
        localisation.pointing_game(jnp.ones((1, 2, 2)), jnp.ones((1, 2, 2), bool), tolerance=-1)
