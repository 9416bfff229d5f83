"""Statistics of channels, the book's pictures, dreams beside SciPy's arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxcam.attribution.features.dream import ascend, dream, octave_sizes, pyramid, resized, stages_score
from jaxcam.attribution.features.statistics import (
    channel_picture,
    channel_statistics,
    deprocess,
    strongest_channel,
)
from jaxcam.networks.chain import Chain
from jaxcam.networks.layers import Conv, MaxPool

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_statistics_beside_numpy():
    maps = np.maximum(np.random.default_rng(0).normal(size=(3, 5, 4, 6)), 0).astype(np.float32)
    maps[..., 2] = 0
    found = channel_statistics(jnp.asarray(maps))
    np.testing.assert_allclose(found.mean, maps.mean((1, 2)), rtol=1e-6)
    np.testing.assert_allclose(found.peak, maps.max((1, 2)))
    np.testing.assert_allclose(found.zeros, (maps == 0).mean((1, 2)), rtol=1e-6)
    assert strongest_channel(found).tolist() == maps.mean((1, 2)).argmax(1).tolist()
    assert strongest_channel(found, by="peak").tolist() == maps.max((1, 2)).argmax(1).tolist()
    means = maps.mean((1, 2))
    spread = np.where(means.std(0) > 0, means.std(0), np.inf)
    expected = np.where(means.std(0) > 0, (means - means.mean(0)) / spread, -np.inf).argmax(1)
    assert strongest_channel(found, by="contrast").tolist() == expected.tolist()
    half = channel_statistics(jnp.asarray(maps, jnp.bfloat16))
    assert half.mean.dtype == jnp.float32


def test_the_books_pictures():
    rng = np.random.default_rng(1)
    channel = rng.normal(size=(6, 7)).astype(np.float32)
    book = channel - channel.mean()
    book /= book.std()
    book *= 64
    book += 128
    assert (channel_picture(channel) == np.clip(book, 0, 255).astype("uint8")).all()
    assert not channel_picture(np.zeros((3, 3), np.float32)).any()
    assert not channel_picture(np.full((3, 3), 7.0, np.float32)).any()
    channel[0, 0] = np.nan
    assert channel_picture(channel)[0, 0] == 0
    x = rng.uniform(0, 200, (5, 5, 3))
    own = x.copy()
    own -= own.mean()
    own /= own.std() + 1e-5
    own *= 0.1
    own += 0.5
    own = np.clip(own, 0, 1) * 255
    assert (deprocess(x) == np.clip(own, 0, 255).astype("uint8")).all()
    assert not deprocess(np.full((2, 2, 3), np.nan)).any()


def test_dream_beside_a_plain_loop():
    chain = Chain((("a", Conv(4)), ("pool", MaxPool()), ("b", Conv(3))))
    params = chain.init(jax.random.key(0), (1, 8, 8, 3))
    weights = {"b": 0.5, "a": 2.0}
    image = np.random.default_rng(0).uniform(0, 255, (1, 21, 25, 3)).astype(np.float32)
    sizes = octave_sizes((21, 25), 2, 1.4)

    def loss(x):
        total = 0.0
        for stage, weight in weights.items():
            values = chain.apply(params, x, stop=stage)
            inner = values[:, 2:-2, 2:-2] if min(values.shape[1:3]) > 4 else values
            total = total + weight * jnp.square(inner).sum() / values[0].size
        return total

    zoom = lambda x, size: scipy.ndimage.zoom(x, (1, size[0] / x.shape[1], size[1] / x.shape[2], 1), order=1)
    expected, shrunk = zoom(image, sizes[0]), zoom(image, sizes[0])
    for size in sizes:
        expected = zoom(expected, size)
        for _ in range(3):
            slope = np.asarray(jax.grad(loss)(jnp.asarray(expected)))
            expected = expected + 1.275 * slope / max(np.abs(slope).mean(), 1e-7)
        expected = expected + zoom(image, size) - zoom(shrunk, size)
        shrunk = zoom(image, size)
    score = stages_score(chain, params, weights)
    grow = jax.jit(lambda x: ascend(score, x, steps=3))
    np.testing.assert_allclose(dream(grow, jnp.asarray(image), sizes), expected, rtol=1e-3, atol=0.05)


def test_where_an_ascent_stops():
    score = lambda x: x.mean((1, 2, 3))
    images = jnp.stack([jnp.zeros((4, 4, 3)), jnp.full((4, 4, 3), 9.0)])
    found = ascend(score, images, steps=5, step_size=1.0, most=8.0)
    np.testing.assert_allclose(found[:, 0, 0, 0], [5, 9], rtol=1e-6)
    moved = ascend(score, images, steps=2, step_size=1.0, shift=2, key=jax.random.key(0))
    np.testing.assert_allclose(moved[:, 0, 0, 0], [2, 11], rtol=1e-5)
    with pytest.raises(ValueError, match="key"):
        ascend(score, images, shift=1)


def test_pyramids_and_sizes():
    seen = []
    grown = pyramid(lambda x: (seen.append(x.shape[1:3]), x)[1], jnp.ones((1, 4, 6, 3)), octave_sizes((9, 14), 3, 1.5))
    assert seen == [(4, 6), (6, 9), (9, 14)]
    np.testing.assert_allclose(grown, 1, rtol=1e-5)
    assert resized(grown, (9, 14)) is not None
    for octaves, scale in ((0, 1.4), (2, 1.0)):
        with pytest.raises(ValueError, match="octaves"):
            octave_sizes((9, 9), octaves, scale)
