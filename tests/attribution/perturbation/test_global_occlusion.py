"""Occlusion over a whole set, and erasing the strongest window."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam import devices
from jaxcam.attribution.perturbation.erasure import erase_strongest, erasure_shares
from jaxcam.attribution.perturbation.global_occlusion import OcclusionTotals, global_maps, occlusion_totals
from jaxcam.attribution.perturbation.occlusion import grid_for, occluded_logits

totals_of = jax.jit(occlusion_totals)
erase = jax.jit(lambda base, occluded, key, by: erase_strongest(base, occluded, key=key, by=by))
GRID = grid_for(jnp.zeros((1, 8, 12, 3)), (2, 3), (2, 3))


def cheat(images):
    """Class 1 where the upper right corner is bright, else class 0; a little noise from everywhere keeps it honest."""
    mark = images[:, :2, 9:].mean((1, 2, 3)) - 0.5
    return jnp.stack([-10 * mark, 10 * mark, -20 + images.mean((1, 2, 3))], axis=1)


@pytest.fixture(scope="module")
def marked():
    """60 noisy images, every second one with a bright mark in its upper right corner, which is its class."""
    images = 0.3 * jax.random.uniform(jax.random.key(0), (60, 8, 12, 3))
    labels = jnp.arange(60) % 2
    images = jnp.where((labels == 1)[:, None, None, None], images.at[:, :2, 9:].set(1.0), images)
    base, occluded = jax.jit(lambda x: occluded_logits(cheat, x, GRID, engine="brute"))(images)
    return images, labels, base, occluded


def test_a_planted_mark_shows_where_it_stands_and_for_its_class(marked):
    _, labels, base, occluded = marked
    maps = global_maps(totals_of(base, occluded, labels))
    assert (maps.images, maps.accuracy, maps.balanced_accuracy) == (60, 1.0, 1.0)
    expected = np.zeros(GRID.shape)
    expected[0, 3] = 0.5
    np.testing.assert_allclose(maps.accuracy_lost, expected)
    np.testing.assert_allclose(maps.balanced_accuracy_lost, expected)
    np.testing.assert_allclose(maps.accuracy_lost_by_class[0], 0 * expected)
    np.testing.assert_allclose(maps.accuracy_lost_by_class[1], 2 * expected)
    assert np.isnan(maps.accuracy_lost_by_class[2]).all()
    assert maps.flips[0, 3] == 0.5
    assert maps.z[0, 3] == pytest.approx(30**0.5)
    for values in (maps.probability_lost, maps.drop):
        assert np.unravel_index(values.argmax(), values.shape) == (0, 3)


def test_totals_are_what_counting_gives(marked):
    _, _, base, occluded = marked
    labels = np.random.default_rng(0).integers(-1, 3, 60)
    totals = totals_of(base, occluded, jnp.asarray(labels, jnp.int32)).on_host()
    base, occluded = np.asarray(base, np.float64), np.asarray(occluded, np.float64)
    soft = lambda logits: np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    for label in range(3):
        rows = labels == label
        before, after = base[rows].argmax(-1), occluded[rows].argmax(-1)
        right = (before == label)[:, None, None]
        assert totals.images[label] == rows.sum()
        assert totals.right[label] == right.sum()
        np.testing.assert_array_equal(totals.lost[label], (right & (after != label)).sum(0))
        np.testing.assert_array_equal(totals.gained[label], (~right & (after == label)).sum(0))
        np.testing.assert_array_equal(totals.flips[label], (after != before[:, None, None]).sum(0))
        np.testing.assert_allclose(totals.probability[label], soft(base[rows])[:, label].sum(), rtol=1e-4)
        faded = soft(occluded[rows])[..., label].sum(0)
        np.testing.assert_allclose(totals.probability_hidden[label], faded, rtol=1e-4, atol=1e-5)
        drops = base[rows][:, None, None, label] - occluded[rows][..., label]
        np.testing.assert_allclose(totals.drop[label], drops.sum(0), rtol=1e-4, atol=1e-4)


def test_batches_shards_and_stored_totals_add_up(marked):
    _, labels, base, occluded = marked
    whole = global_maps(totals_of(base, occluded, labels))
    padded = [jnp.concatenate([rows[40:], rows[:20]]) for rows in (base, occluded)]
    counted = jnp.concatenate([labels[40:], jnp.full(20, -1)])
    first = totals_of(*devices.shard((base[:40], occluded[:40], labels[:40]))).on_host()
    stored = OcclusionTotals(**{name: values.copy() for name, values in first.arrays().items()})
    parts = global_maps(stored + totals_of(*padded, counted).on_host())
    np.testing.assert_allclose(parts.accuracy_lost, whole.accuracy_lost)
    np.testing.assert_allclose(parts.probability_lost, whole.probability_lost, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(parts.drop_by_class, whole.drop_by_class, rtol=1e-5, atol=1e-5)


def test_totals_that_do_not_belong_together_are_refused(marked):
    _, labels, base, occluded = marked
    totals = totals_of(base, occluded, labels)
    with pytest.raises(ValueError, match="another grid"):
        totals + totals_of(base, occluded[:, :2], labels)
    with pytest.raises(ValueError, match="no image with a known label"):
        global_maps(totals_of(base, occluded, jnp.full(60, -1)))
    with pytest.raises(ValueError, match="base and labels must be"):
        occlusion_totals(base, occluded, labels[:3])


def test_erasing_the_mark_flips_its_class_and_a_random_window_does_not(marked):
    _, labels, base, occluded = marked
    erasure = erase(base, occluded, jax.random.key(3), None)
    ones = np.asarray(labels) == 1
    assert (np.asarray(erasure.place)[ones] == 3).all()
    np.testing.assert_array_equal(erasure.flipped, ones)
    assert not np.asarray(erasure.random_flipped).any()
    assert (np.asarray(erasure.random_place) != np.asarray(erasure.place)).all()
    assert len(set(np.asarray(erasure.random_place).tolist())) > 10
    np.testing.assert_allclose(erasure.any_flipped, ones / GRID.count)
    np.testing.assert_array_equal(erase(base, occluded, jax.random.key(3), None).random_place, erasure.random_place)
    shares = erasure_shares(erasure)
    assert (shares.images, shares.strongest, shares.random) == (60, 0.5, 0.0)
    assert 0.37 < shares.strongest_interval[0] < 0.5 < shares.strongest_interval[1] < 0.63
    assert 0 < shares.random_interval[1] < 0.07
    assert erasure_shares(erasure, ones).strongest == 1
    with pytest.raises(ValueError, match="no image"):
        erasure_shares(erasure, np.zeros(60, bool))


def test_any_map_may_choose_the_window(marked):
    _, _, base, occluded = marked
    by = jnp.zeros((60, *GRID.shape)).at[:, 2, 1].set(1).at[:, 0, 0].set(jnp.nan)
    erasure = erase(base, occluded, jax.random.key(0), by)
    assert (np.asarray(erasure.place) == 9).all()
    assert not np.asarray(erasure.flipped).any()
    one = erase(base, occluded[:, :1, :1], jax.random.key(0), None)
    assert (np.asarray(one.random_place) == 0).all()
    with pytest.raises(ValueError, match="a value for every window"):
        erase_strongest(base, occluded, key=jax.random.key(0), by=by[:, 0])
