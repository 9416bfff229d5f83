"""What the ranges mean, that nothing asked changes nothing, and that the key decides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from jaxcam import devices
from jaxcam.data import augment as module
from jaxcam.data.augment import Augment, affine
from jaxcam.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 17, 3)).astype(np.uint8)
BATCH = np.broadcast_to(PIXELS, (64, *PIXELS.shape))
augment = jax.jit(module.augment, static_argnums=0)
draws = jax.jit(module.draws, static_argnums=(0, 2, 3))
EVERYTHING = Augment(
    rotation=40,
    width_shift=0.2,
    height_shift=0.2,
    shear=20,
    zoom=0.2,
    horizontal_flip=True,
    vertical_flip=True,
    fill="reflect",
    brightness=0.2,
    contrast=0.2,
    saturation=0.3,
    hue=20,
)


def test_nothing_asked_changes_nothing():
    out = augment(Augment(), jax.random.key(0), jnp.asarray(BATCH))
    np.testing.assert_array_equal(out, BATCH.astype(np.float32))
    assert not Augment(fill="wrap", zoom=(1, 1), brightness=(1.0, 1.0)).active
    assert EVERYTHING.active


@pytest.mark.parametrize(
    ("config", "turned"),
    [(Augment(horizontal_flip=True), PIXELS[:, ::-1]), (Augment(vertical_flip=True), PIXELS[::-1])],
)
def test_a_flip_mirrors_half_of_the_images_and_keeps_every_value(config, turned):
    out = np.asarray(augment(config, jax.random.key(1), jnp.asarray(BATCH)))
    same = (out == PIXELS).all((1, 2, 3))
    mirrored = (out == turned).all((1, 2, 3))
    assert (same | mirrored).all()
    assert 16 < mirrored.sum() < 48


def test_flips_are_drawn_apart_from_each_other():
    place, _ = draws(Augment(horizontal_flip=True, vertical_flip=True), jax.random.key(2), 400, (8, 8))
    pairs = np.asarray(place.mirrored) * 2 + np.asarray(place.upside_down)
    assert np.bincount(pairs, minlength=4).min() > 60


def test_a_flip_beside_a_warp_is_the_flipped_warp():
    """A flip comes last, as in Keras: the warped picture is mirrored."""
    plain = Augment(rotation=30, shear=10, zoom=0.2, fill="constant")
    flipping = Augment(rotation=30, shear=10, zoom=0.2, fill="constant", horizontal_flip=True)
    key = jax.random.key(3)
    straight, out = (np.asarray(augment(c, key, jnp.asarray(BATCH[:16]))) for c in (plain, flipping))
    mirrored = np.asarray(draws(flipping, key, 16, (12, 17))[0].mirrored)
    assert 0 < mirrored.sum() < 16
    expected = np.where(mirrored[:, None, None, None], straight[:, :, ::-1], straight)
    assert np.isclose(out, expected, atol=0.1).mean() > 0.995  # a place on the border may be filled in one of them


def test_a_shift_below_one_is_a_share_and_from_one_on_pixels():
    def shifts(config):
        keys = jax.random.split(jax.random.key(0), 200)
        matrices = jax.jit(jax.vmap(lambda k: affine(config, k, (100, 200))))(keys)
        return np.abs(np.asarray(matrices[:, :, 2])).max(0)

    down, right = shifts(Augment(width_shift=0.1, height_shift=0.3))
    assert 25 < down <= 30
    assert 17 < right <= 20
    down, right = shifts(Augment(width_shift=5))
    assert down == 0
    assert 4.5 < right <= 5


def test_zoom_takes_a_number_or_a_range_and_each_axis_its_own():
    for config, low, high in ((Augment(zoom=0.2), 0.8, 1.2), (Augment(zoom=(0.5, 0.9)), 0.5, 0.9)):
        place, _ = draws(config, jax.random.key(0), 500, (10, 10))
        for factors in (np.asarray(place.wide), np.asarray(place.tall)):
            assert low <= factors.min() < low + 0.01
            assert high - 0.01 < factors.max() <= high
        assert abs(np.corrcoef(place.wide, place.tall)[0, 1]) < 0.2


def test_more_is_shown_where_the_factor_is_above_one():
    """Keras: a zoom of 2 shows twice as many rows, so that things look half as large."""
    image = np.zeros((1, 9, 9, 3), np.uint8)
    image[:, 4, 6] = 200
    out = np.asarray(augment(Augment(zoom=(2.0, 2.0)), jax.random.key(0), jnp.asarray(image)))
    assert out[0, 4, 5, 0] == 200


def test_colours_turn_around_grey_and_light_is_a_factor():
    grey = jnp.full((8, 2, 2, 3), 90, jnp.uint8)
    turned = augment(Augment(hue=180, saturation=0.9, contrast=0.5), jax.random.key(0), grey)
    np.testing.assert_allclose(turned, grey, atol=0.01)
    red = jnp.zeros((16, 1, 1, 3), jnp.uint8).at[..., 0].set(120)
    hues = np.asarray(augment(Augment(hue=180), jax.random.key(1), red))
    assert (hues.argmax(-1) != 0).any()
    lighter = np.asarray(augment(Augment(brightness=0.5), jax.random.key(2), red))[:, 0, 0, 0]
    assert 59 < lighter.min() < 100 < 140 < lighter.max() < 181
    darker = np.asarray(augment(Augment(brightness=(0.25, 0.5)), jax.random.key(2), red))[:, 0, 0, 0]
    assert 29 < darker.min() < darker.max() < 61


def test_each_image_has_its_own_draw_and_the_key_decides():
    pixels = jnp.asarray(BATCH[:3])
    first = np.asarray(augment(EVERYTHING, jax.random.key(0), pixels))
    assert not np.allclose(first[0], first[1])
    np.testing.assert_array_equal(first, augment(EVERYTHING, jax.random.key(0), pixels))
    assert not np.allclose(first, augment(EVERYTHING, jax.random.key(1), pixels))
    assert first.min() >= 0
    assert first.max() <= 255


def test_two_devices_draw_what_one_draws():
    pixels, key = np.array(BATCH[:6]), jax.random.key(4)
    split = augment(EVERYTHING, key, devices.shard(pixels))
    assert jax.device_count() > 1
    assert split.sharding.spec == PartitionSpec("data")
    np.testing.assert_allclose(split, augment(EVERYTHING, key, jnp.asarray(pixels)), atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "fill"),
    [((0, 5, 5, 3), "nearest"), ((1, 1, 1, 3), "wrap"), ((1, 1, 1, 3), "reflect"), ((2, 1, 7, 3), "constant")],
)
def test_odd_sizes(shape, fill):
    config = Augment(rotation=180, width_shift=3, height_shift=0.9, zoom=(0.1, 9), fill=fill, contrast=0.5)
    images = jnp.full(shape, 100, jnp.uint8)
    out = np.asarray(augment(config, jax.random.key(0), images))
    assert out.shape == shape
    assert np.isfinite(out).all()
    if fill != "constant":
        np.testing.assert_allclose(out, 100, atol=0.01)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.int32])
def test_other_dtypes_give_float32(dtype):
    out = augment(EVERYTHING, jax.random.key(0), jnp.asarray(BATCH[:2]).astype(dtype))
    assert out.dtype == jnp.float32
    expected = augment(EVERYTHING, jax.random.key(0), jnp.asarray(BATCH[:2]))
    np.testing.assert_allclose(out, expected, atol=3 if dtype == jnp.bfloat16 else 0.1)


@pytest.mark.parametrize(
    "values",
    [
        {"rotation": -5},
        {"shear": 90},
        {"zoom": 1.0},
        {"zoom": (0.0, 2.0)},
        {"zoom": (1.2, 0.8)},
        {"brightness": 1.5},
        {"contrast": (0.5, float("inf"))},
        {"width_shift": float("nan")},
        {"hue": float("inf")},
        {"fill_value": 256},
    ],
)
def test_a_range_that_cannot_be_is_told(values):
    with pytest.raises(UserError, match=rf"^augment\.{'fill' if 'fill_value' in values else next(iter(values))} is "):
        Augment(**values)
