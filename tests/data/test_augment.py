"""The warp against numpy and scipy, and what the ranges mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxcam.data.augment import Augment, affine, augment, warp

IMAGE = np.random.default_rng(0).uniform(0, 255, (12, 17, 3)).astype(np.float32)
EVERYTHING = Augment(
    rotation=40, width_shift=0.2, height_shift=0.2, shear=20, zoom=0.2, horizontal_flip=True, brightness=0.2
)


def test_nothing_asked_changes_nothing():
    pixels = IMAGE[None].astype(np.uint8)
    np.testing.assert_array_equal(augment(Augment(), jax.random.key(0), jnp.asarray(pixels)), pixels.astype(np.float32))
    assert not Augment().active
    assert EVERYTHING.active


@pytest.mark.parametrize("seed", range(5))
def test_warp_equals_scipys_bilinear_transform(seed):
    matrix = np.asarray(affine(EVERYTHING, jax.random.key(seed), IMAGE.shape[:2]), np.float64)
    centre = (np.array(IMAGE.shape[:2]) - 1) / 2
    offset = matrix[:, :2] @ -centre + matrix[:, 2] + centre
    expected = np.stack(
        [ndimage.affine_transform(IMAGE[..., c], matrix[:, :2], offset, order=1, mode="nearest") for c in range(3)], -1
    )
    np.testing.assert_allclose(warp(jnp.asarray(IMAGE), jnp.asarray(matrix, jnp.float32)), expected, atol=0.05)


def test_a_flip_mirrors_half_of_the_images():
    pixels = np.broadcast_to(IMAGE.astype(np.uint8), (64, *IMAGE.shape))
    out = np.asarray(augment(Augment(horizontal_flip=True), jax.random.key(1), jnp.asarray(pixels)))
    same = np.array([np.allclose(one, pixels[0], atol=0.01) for one in out])
    mirrored = np.array([np.allclose(one, pixels[0][:, ::-1], atol=0.01) for one in out])
    assert (same | mirrored).all()
    assert 16 < mirrored.sum() < 48


def test_a_shift_moves_by_at_most_its_share():
    matrices = jax.vmap(lambda k: affine(Augment(width_shift=0.1, height_shift=0.3), k, (100, 200)))(
        jax.random.split(jax.random.key(0), 200)
    )
    down, right = np.abs(np.asarray(matrices[:, 0, 2])), np.abs(np.asarray(matrices[:, 1, 2]))
    assert 25 < down.max() <= 30
    assert 17 < right.max() <= 20


def test_colours_turn_around_grey_and_light_is_a_factor():
    grey = jnp.full((8, 2, 2, 3), 90, jnp.uint8)
    turned = augment(Augment(hue=180, saturation=0.9), jax.random.key(0), grey)
    np.testing.assert_allclose(turned, grey, atol=0.01)
    red = jnp.zeros((16, 1, 1, 3), jnp.uint8).at[..., 0].set(120)
    hues = np.asarray(augment(Augment(hue=180), jax.random.key(1), red))
    assert (hues.argmax(-1) != 0).any()
    lighter = np.asarray(augment(Augment(brightness=0.5), jax.random.key(2), red))[:, 0, 0, 0]
    assert 59 < lighter.min() < 100 < 140 < lighter.max() < 181


def test_each_image_has_its_own_draw_and_the_key_decides():
    pixels = jnp.asarray(np.broadcast_to(IMAGE.astype(np.uint8), (3, *IMAGE.shape)))
    vary = jax.jit(lambda key: augment(EVERYTHING, key, pixels))
    first = np.asarray(vary(jax.random.key(0)))
    assert not np.allclose(first[0], first[1])
    np.testing.assert_array_equal(first, vary(jax.random.key(0)))
    assert not np.allclose(first, vary(jax.random.key(1)))
    assert first.min() >= 0
    assert first.max() <= 255
