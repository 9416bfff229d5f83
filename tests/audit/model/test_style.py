"""Borrowed detail and colour are the lender's, what is shown stays."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.fft import dctn

from jaxcam.audit.model.style import bands, with_colour, with_detail
from jaxcam.data import drawn
from jaxcam.data.planted.cues import Cue, put_on

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def pictures():
    return np.stack([drawn.draw(label, np.random.default_rng(label), size=48) for label in (2, 9, 20)])


def energy(picture, low, high):
    waves = dctn(picture.astype(np.float64), axes=(0, 1), norm="ortho")
    radius = np.hypot(np.arange(48)[:, None], np.arange(48)[None]) / 96
    return float((waves[(radius >= low) & (radius < high)] ** 2).sum())


def test_bands_do_not_overlap():
    for size in ((48, 48), (7, 30), (1, 2)):
        total = bands(size).sum(0)
        assert total.shape == size
        assert set(np.unique(total).tolist()) <= {0.0, 1.0}
        assert total[0, 0] == 0


def test_its_own_detail_changes_nothing(pictures):
    images = jnp.asarray(pictures, jnp.float32)
    assert np.abs(np.asarray(with_detail(images, images)) - pictures).max() < 0.05


def test_detail_and_colour_are_the_lenders(pictures):
    noise = np.random.default_rng(0).normal(0, 15, pictures[0].shape)
    sharp = np.clip(pictures[0] + noise, 0, 255).astype(np.uint8)
    images = jnp.asarray(sharp[None], jnp.float32)
    coarse = put_on(Cue(kind="low_resolution", factor=0.3), sharp)
    changed = np.asarray(with_detail(images, jnp.asarray(coarse[None], jnp.float32)))[0]
    fine = lambda picture: energy(picture.astype(np.float64), 0.32, 0.8)
    assert fine(coarse) < 0.1 * fine(sharp)
    assert fine(changed) < 0.2 * fine(sharp)
    tinted = put_on(Cue(kind="tint", shift=(30, 0, -30)), pictures[0])
    changed = np.asarray(with_colour(images, jnp.asarray(tinted[None], jnp.float32)))[0]
    assert np.abs(changed.mean((0, 1)) - tinted.mean((0, 1))).max() < 2
    centred = [(picture - picture.mean((0, 1))).ravel() for picture in (changed, sharp)]
    assert np.corrcoef(*centred)[0, 1] > 0.99


def test_flat_pictures_stay_finite():
    flat = jnp.full((1, 16, 16, 3), 100.0)
    noise = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 3)), jnp.float32)
    for one, two in ((flat, noise), (noise, flat), (flat, flat)):
        assert np.isfinite(np.asarray(with_detail(one, two))).all()
