"""Normalising against what Keras and torchvision document."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam.errors import UserError
from jaxcam.preprocessing import Preprocessing

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)


def test_keras_is_bgr_minus_imagenets_mean():
    expected = PIXELS[..., ::-1].astype(np.float32) - np.array([103.939, 116.779, 123.68], np.float32)
    np.testing.assert_allclose(Preprocessing.named("keras").normalise(jnp.asarray(PIXELS)), expected, rtol=1e-6)


def test_torchvision_is_standardised_rgb():
    expected = (PIXELS / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(
        Preprocessing.named("torchvision").normalise(jnp.asarray(PIXELS)), expected, rtol=1e-4, atol=1e-6
    )


def test_raw_unit_and_tf():
    pixels = jnp.asarray(PIXELS)
    np.testing.assert_array_equal(Preprocessing.named("raw").normalise(pixels), PIXELS.astype(np.float32))
    np.testing.assert_allclose(Preprocessing.named("unit").normalise(pixels), PIXELS / 255, rtol=1e-6)
    np.testing.assert_allclose(Preprocessing.named("tf").normalise(pixels), PIXELS / 127.5 - 1, rtol=1e-4, atol=1e-6)


def test_under_jit_and_with_another_size():
    preprocessing = Preprocessing.named("keras", size=(4, 5))
    assert preprocessing.size == (4, 5)
    np.testing.assert_allclose(
        jax.jit(preprocessing.normalise)(PIXELS), preprocessing.normalise(jnp.asarray(PIXELS)), rtol=1e-6
    )


def test_an_unknown_name_lists_the_known():
    with pytest.raises(UserError, match="there are: keras, torchvision, raw, unit, tf"):
        Preprocessing.named("imagenet")
