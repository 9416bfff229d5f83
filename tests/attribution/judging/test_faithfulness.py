"""Insertion, deletion, drop in confidence, and the contrast of maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from scipy import special

from jaxcam import devices
from jaxcam.attribution import contrast
from jaxcam.attribution.judging.faithfulness import confidence_change, deletion, insertion

pytestmark = pytest.mark.usefixtures("quick_compilation")

RANDOM = np.random.default_rng(0)
IMAGES = jnp.asarray(RANDOM.normal(size=(4, 6, 9, 3)), jnp.float32)
MAPS = jnp.asarray(RANDOM.normal(size=(4, 3, 4)), jnp.float32)
TARGETS = jnp.array([0, 2, 1, 1])
WEIGHTS = jnp.asarray(RANDOM.normal(size=(6 * 9 * 3, 3)), jnp.float32)


def fn(images):
    """Logits that are linear in the pixels."""
    return images.reshape(images.shape[0], -1).astype(jnp.float32) @ WEIGHTS


def test_case_32():
    """torch-cam: deletion [1, .3, 0], area .4; insertion [0, .7, 1], area .6."""
    x = jnp.array([[[0.4, 0.3], [0.2, 0.1]]])[..., None]
    score = lambda images: images.sum((1, 2))
    options = {"steps": 2, "fill": 0.0, "score": "logit"}
    removed = jax.jit(lambda x: deletion(score, x, x[..., 0], jnp.array([0]), **options))(x)
    np.testing.assert_allclose(removed.shares, [0, 0.5, 1])
    np.testing.assert_allclose(removed.scores, [[1, 0.3, 0]], atol=1e-6)
    np.testing.assert_allclose(removed.area, [0.4], rtol=1e-6)
    shown = jax.jit(lambda x: insertion(score, x, x[..., 0], lambda logits: logits[:, 0], **options))(x)
    np.testing.assert_allclose(shown.scores, [[0, 0.7, 1]], atol=1e-6)
    np.testing.assert_allclose(shown.area, [0.6], rtol=1e-6)


@pytest.mark.parametrize(("measure", "fill"), [(deletion, "mean"), (insertion, "blur")])
def test_the_curve_is_the_score_of_images_made_by_hand(measure, fill):
    from jaxcam.attribution.perturbation.forwards import filled

    curve = jax.jit(lambda x, m, t: measure(fn, x, m, t, steps=5, fill=fill))(IMAGES, MAPS, TARGETS)
    large = np.asarray(jax.image.resize(MAPS, (4, 6, 9), "linear"))
    other = np.broadcast_to(np.asarray(filled(fill, IMAGES)), IMAGES.shape)
    for row in range(4):
        order = np.argsort(-large[row].reshape(-1), kind="stable")
        for step in range(6):
            count = round(step * 54 / 5)
            first, second = (IMAGES[row], other[row]) if measure is deletion else (other[row], IMAGES[row])
            image = np.array(first).reshape(54, 3)
            image[order[:count]] = np.asarray(second).reshape(54, 3)[order[:count]]
            share = special.softmax(image.reshape(1, -1) @ np.asarray(WEIGHTS))[0, TARGETS[row]]
            np.testing.assert_allclose(curve.scores[row, step], share, atol=1e-5)
    np.testing.assert_allclose(curve.area, np.trapezoid(curve.scores, curve.shares, axis=1), rtol=1e-5)


def test_the_best_order_beats_every_other():
    """For a linear score the pixels' own contributions are the best order, and their opposite the worst."""
    worth = (IMAGES.reshape(4, -1) * WEIGHTS[:, TARGETS].T).reshape(IMAGES.shape).sum(-1)
    areas = {}
    judge = jax.jit(
        lambda maps: [
            measure(fn, IMAGES, maps, TARGETS, steps=54, fill=0.0, score="logit").area
            for measure in (deletion, insertion)
        ]
    )
    for name, maps in (
        ("best", worth),
        ("other", jax.random.normal(jax.random.key(0), worth.shape)),
        ("worst", -worth),
    ):
        areas[name] = judge(maps)
    assert (areas["best"][0] < areas["other"][0]).all()
    assert (areas["other"][0] < areas["worst"][0]).all()
    assert (areas["best"][1] > areas["other"][1]).all()
    # What deletion takes first insertion shows first: for a linear score the two areas add up to the score.
    np.testing.assert_allclose(areas["best"][0] + areas["best"][1], chosen(fn(IMAGES)), rtol=1e-4, atol=1e-4)


def chosen(logits):
    return jnp.take_along_axis(logits, TARGETS[:, None], axis=1)[:, 0]


def test_little_memory_vmap_and_two_devices_change_nothing():
    whole = jax.jit(lambda x, m, t: insertion(fn, x, m, t, steps=7, key=jax.random.key(1)))
    plain = whole(IMAGES, MAPS, TARGETS)
    chunks = jax.jit(lambda x, m, t: insertion(fn, x, m, t, steps=7, key=jax.random.key(1), memory=1))
    np.testing.assert_allclose(chunks(IMAGES, MAPS, TARGETS).scores, plain.scores, atol=1e-6)
    one = lambda x, m, t: insertion(fn, x[None], m[None], t[None], steps=7, key=jax.random.key(1)).scores[0]
    np.testing.assert_allclose(jax.jit(jax.vmap(one))(IMAGES, MAPS, TARGETS), plain.scores, atol=1e-6)
    split = whole(*devices.shard((np.asarray(IMAGES), np.asarray(MAPS), np.asarray(TARGETS))))
    assert split.area.sharding.spec == PartitionSpec("data")
    np.testing.assert_allclose(split.scores, plain.scores, atol=1e-6)


def test_undefined_maps_are_nan_and_do_not_disturb_the_others():
    maps = MAPS.at[1].set(0.0).at[2, 0, 0].set(jnp.nan)
    judge = jax.jit(
        lambda maps: (
            deletion(fn, IMAGES, maps, TARGETS, steps=3).area,
            insertion(fn, IMAGES, maps, TARGETS, steps=3).area,
            confidence_change(fn, IMAGES, jnp.abs(maps), TARGETS),
        )
    )
    *areas, change = judge(maps)
    for area, plain in zip(areas, judge(MAPS), strict=False):
        assert np.isnan(area[1:3]).all()
        np.testing.assert_allclose(np.delete(area, (1, 2)), np.delete(plain, (1, 2)), rtol=1e-5)
    assert np.isnan(change.drop[1:3]).all()
    assert np.isfinite(np.delete(change.drop, (1, 2))).all()
    assert np.isfinite(change.before).all()


def test_drop_in_confidence_by_hand():
    images = jnp.full((3, 2, 2, 1), 2.0)
    score = lambda images: images.sum((1, 2))  # 8
    maps = jnp.array([[[1.0, 1], [1, 1]], [[2, 1], [0, -5]], [[-1, -1], [-1, -2]]])
    change = confidence_change(score, images, maps, jnp.zeros(3, jnp.int32), score="logit")
    np.testing.assert_allclose(change.after, [8, 3, np.nan])
    np.testing.assert_allclose(change.drop, [0, 5 / 8, np.nan])
    np.testing.assert_array_equal(change.increase, [0, 0, np.nan])
    # What is not shown is the fill: here it is worth more.
    change = confidence_change(score, images, maps, jnp.zeros(3, jnp.int32), score="logit", fill=10.0)
    np.testing.assert_allclose(change.after, [8, 2 + 6 + 10 + 10, np.nan])
    np.testing.assert_array_equal(change.increase, [0, 1, np.nan])


def test_integer_images_and_half_precision():
    """uint8 images go to functions that normalise themselves."""
    pixels = jnp.asarray(RANDOM.integers(0, 256, (2, 6, 9, 3)), jnp.uint8)
    small = lambda images: fn(images.astype(jnp.float32) / 255)
    curve = jax.jit(lambda x: deletion(small, x, MAPS[:2], TARGETS[:2], steps=4, fill="mean"))(pixels)
    assert np.isfinite(curve.area).all()
    half = jax.jit(lambda x, m: deletion(fn, x, m, TARGETS, steps=4))(
        IMAGES.astype(jnp.bfloat16), MAPS.astype(jnp.float16)
    )
    assert half.scores.dtype == jnp.float32
    assert np.isfinite(half.area).all()
    assert (
        jax.eval_shape(lambda x: confidence_change(small, x, MAPS[:2], TARGETS[:2]), pixels).after.dtype == jnp.float32
    )


def test_mistakes_are_told():
    for wrong, words in (
        ({"steps": 0}, "steps must lie in 1..54"),
        ({"steps": 55}, "steps must lie in 1..54"),
        ({"targets": jnp.array([[0, 1]] * 4)}, "one target an image"),
        ({"targets": jnp.array([0, 1])}, "targets must be"),
        ({"targets": jnp.array([0, 1, 2, 3])}, "targets must lie in 0..2"),
        ({"fn": lambda x: fn(x)[:, :1], "targets": jnp.zeros(4, jnp.int32)}, "one logit has no probability"),
    ):
        values = {"fn": fn, "images": IMAGES, "maps": MAPS, "targets": TARGETS} | wrong
        with pytest.raises(ValueError, match=words):
            deletion(**values)


def test_contrast_does_not_see_what_softmax_does_not_see():
    maps = jax.random.normal(jax.random.key(0), (3, 4, 5, 6))
    common = jax.random.normal(jax.random.key(1), (3, 1, 5, 6))
    targets = jnp.array([0, 3, 1])
    np.testing.assert_allclose(contrast(maps, targets), contrast(maps + common, targets), atol=1e-5)
    np.testing.assert_allclose(contrast(maps, targets)[1], maps[1, 3] - maps[1].mean(0), atol=1e-6)
    with pytest.raises(ValueError, match="targets must be"):
        contrast(maps, jnp.array([0]))
