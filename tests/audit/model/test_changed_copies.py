import jax
import jax.numpy as jnp
import known_classifiers as known
import numpy as np
import pytest

from jaxcam import devices
from jaxcam.audit.model import intervals, measured, variants
from jaxcam.audit.model.measured import in_part, measure, partners
from jaxcam.audit.model.places import coarse, place_words
from jaxcam.audit.model.program import ARMS, ASIDE, audit_program, random_heads, settings_for
from jaxcam.audit.model.scenes import find_scenes
from jaxcam.audit.sample import Sample
from jaxcam.progress import Progress

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_the_middle_is_half_of_the_picture():
    mask = variants.middle((200, 300), soft=0)
    assert mask.mean() == pytest.approx(0.49, abs=0.01)
    assert (mask[0] == 0).all()
    assert mask[100, 150] == 1
    np.testing.assert_allclose(mask, mask[::-1, ::-1])


def test_hottest_cells_are_as_many_in_every_map_and_moved_ones_keep_their_number():
    maps = np.random.default_rng(0).random((6, 7, 9)).astype(np.float32)
    maps[1] = 0
    hot = np.asarray(variants.hottest(jnp.asarray(maps), jax.random.key(0)))
    assert (hot.sum((1, 2)) == round(0.2 * 63)).all()
    for i in (0, 2, 5):
        assert maps[i][hot[i]].min() >= maps[i][~hot[i]].max()
    keys = variants.keys_of(jnp.arange(6), 0, 1)
    moved = np.asarray(variants.moved(jnp.asarray(hot), keys))
    assert (moved.sum((1, 2)) == hot.sum((1, 2))).all()
    assert (moved != hot).any((1, 2)).all()
    again = variants.moved(jnp.asarray(hot[3:]), variants.keys_of(jnp.arange(3, 6), 0, 1))
    np.testing.assert_array_equal(np.asarray(again), moved[3:])


def test_shuffled_tiles_hold_the_same_pixels():
    pictures = np.random.default_rng(0).random((2, 18, 21, 3)).astype(np.float32)
    found = np.asarray(variants.shuffled_tiles(jnp.asarray(pictures), variants.keys_of(jnp.arange(2), 0, 1)))
    assert (found != pictures).any()
    np.testing.assert_array_equal(np.sort(found.reshape(2, -1), 1), np.sort(pictures.reshape(2, -1), 1))
    np.testing.assert_array_equal(found[:, 16:], pictures[:, 16:])
    small = jnp.asarray(pictures[:, :3])
    np.testing.assert_array_equal(variants.shuffled_tiles(small, variants.keys_of(jnp.arange(2), 0, 1)), small)


@pytest.mark.parametrize(("length", "cells"), [(7, 4), (4, 7), (32, 8)])
def test_means_over_cells(length, cells):
    fine = np.random.default_rng(0).random(length)
    many = np.repeat(fine, cells)  # length * cells positions divide evenly
    np.testing.assert_allclose(fine @ variants.shares(length, cells), many.reshape(cells, length).mean(1), rtol=1e-5)


def test_coarse_maps_keep_all_heat():
    maps = np.random.default_rng(1).random((3, 5, 7))
    found = coarse(maps)
    np.testing.assert_allclose(found.sum((1, 2)), 1)
    rows = np.repeat(np.repeat(maps, 4, 1), 4, 2).reshape(3, 4, 5, 4, 7).sum((2, 4))
    np.testing.assert_allclose(found, rows / rows.sum((1, 2), keepdims=True), rtol=1e-6)


def test_places_have_names():
    names = [place_words((r + 0.5) / 4, (c + 0.5) / 4) for r, c in ((0, 0), (0, 1), (3, 3), (1, 0), (2, 2))]
    assert names == ["upper left", "upper edge", "lower right", "left", "centre"]


def test_what_is_new_goes_before_another_scene():
    pixels, labels = known.staged_pictures(40)
    found = Sample(np.arange(40), pixels, labels.astype(np.int32), tuple(map(str, range(40))))
    fixed = find_scenes(found, 2, 0)
    assert fixed.mean_new() == pytest.approx(36 / 1024, abs=0.005)
    np.testing.assert_array_equal(fixed.rival, 1 - labels)
    own, other = fixed.medians[labels], fixed.medians[fixed.rival]
    as_floats = [jnp.asarray(values, jnp.float32) for values in (pixels, own, other)]
    np.testing.assert_allclose(variants.before_scene(as_floats[0], as_floats[1], as_floats[1]), pixels, atol=1)
    swapped = np.asarray(variants.before_scene(*as_floats))
    far = np.abs(pixels.astype(int) - own).max(-1) == 0
    assert np.abs(swapped - other)[:, 0].max() < 1
    assert np.abs(swapped - other)[far].mean() < 8
    new = np.abs(pixels.astype(int) - own).max(-1) > 40
    np.testing.assert_allclose(swapped[new], pixels[new], atol=60)


def test_partners_are_others_of_the_right_class():
    labels = np.array([0] * 6 + [1] * 6 + [2] * 2 + [3], np.int32)
    found = partners(labels, 0, few=5)
    for place, label in enumerate(labels.tolist()):
        assert (labels[found.other[place]] != label).all()
        assert np.isin(labels[found.other[place]], [0, 1]).all()
        same = found.same[place]
        assert (same == -1).all() if label == 3 else ((labels[same] == label) & (same != place)).all()
    assert (partners(np.zeros(4, np.int32), 0).other == -1).all()


def test_intervals():
    labels = np.array([0] * 50 + [1] * 10)
    values = np.zeros((60, 2))
    values[:25, 0] = values[50:, 0] = 1
    means = intervals.class_means(values, labels, [0, 1])
    np.testing.assert_allclose(means, [0.75, 0])
    low, high = intervals.bootstrap(values, labels, [0, 1], lambda m: m[:, 0] - m[:, 1])
    assert low < 0.75 < high
    # Of class 1 all agree; class 0's mean has a standard error of .5 / sqrt(50), and counts half.
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / 50**0.5 / 2, rel=0.15)
    low, high = intervals.bootstrap(np.ones((60, 1)), labels, [0, 1], lambda m: m[:, 0], bounds=(0, 1))
    assert (low, high) == (pytest.approx(intervals.share(np.ones(60, bool))[1][0]), 1)


def test_one_device_and_two_give_the_same(monkeypatch):
    pixels, labels = known.noisy_pictures(14, known.LOWER_LEFT)
    found = Sample(np.arange(14), pixels, labels.astype(np.int32), tuple(map(str, range(14))))
    classifier = known.reader(known.LOWER_LEFT)
    settings = settings_for(classifier, "hires_cam", None, 0)
    colour = np.full(3, 127, np.float32)
    assert jax.device_count() == 2
    two = measure(classifier, found, settings, colour=colour, batch_size=16, progress=Progress(quiet=True))
    pairs = two.pairs
    program = jax.jit(audit_program(classifier, settings))
    rows = np.arange(14, dtype=np.int32)
    one = program(
        classifier.params,
        random_heads(classifier, settings),
        pixels,
        found.labels,
        rows,
        pixels[pairs.same],
        pixels[pairs.other],
        None,
        colour,
    )
    assert devices.mesh().size == 2
    np.testing.assert_allclose(two.logits, one["logits"], atol=1e-4)
    np.testing.assert_allclose(two.maps, one["maps"], atol=1e-4)
    np.testing.assert_array_equal(two.predicted_arms, one["predicted"])
    np.testing.assert_allclose(two.head_maps, one["head_maps"], atol=1e-4)
    assert two.predicted_arms.shape == (14, len(ARMS))
    # Arms with a simple form, by NumPy.
    reads = lambda pictures: (pictures[:, 24:, :8, 0].mean((1, 2)) / 255 > 0.75).astype(int)
    mask = variants.middle((32, 32))[None, :, :, None]
    np.testing.assert_array_equal(two.arm("ring"), reads(pixels * (1 - mask) + 127 * mask))
    np.testing.assert_array_equal(two.arm("bgr"), reads(pixels[..., ::-1]))
    np.testing.assert_array_equal(two.arm("over_255"), 0)
    border = pixels[pairs.other[:, 1]]
    np.testing.assert_array_equal(two.arm("other_1"), reads(border + mask * (pixels.astype(float) - border)))


def test_a_part_of_a_large_sample_is_asked_everything(monkeypatch):
    pixels, labels = known.noisy_pictures(14, known.LOWER_LEFT)
    found = Sample(np.arange(14), pixels, labels.astype(np.int32), tuple(map(str, range(14))))
    classifier = known.reader(known.LOWER_LEFT)
    settings = settings_for(classifier, "hires_cam", None, 0)
    run = lambda: measure(
        classifier, found, settings, colour=np.full(3, 127, np.float32), batch_size=4, progress=Progress(quiet=True)
    )
    whole = run()
    monkeypatch.setattr(measured, "in_part", lambda labels: in_part(labels, most=4, few=1))
    some = run()
    part = some.part
    assert whole.part.all()
    assert part.sum() == 4
    assert set(labels[part].tolist()) == {0, 1}
    aside = np.isin(settings.arms, ASIDE)
    np.testing.assert_array_equal(some.predicted_arms[:, ~aside], whole.predicted_arms[:, ~aside])
    np.testing.assert_array_equal(some.predicted_arms[part], whole.predicted_arms[part])
    assert (some.predicted_arms[~part][:, aside] == -1).all()
    assert np.isnan(some.kept_arms[~part][:, aside]).all()
    np.testing.assert_allclose(some.maps, whole.maps, atol=1e-5)
    assert whole.forwards - some.forwards == 10 * aside.sum()
