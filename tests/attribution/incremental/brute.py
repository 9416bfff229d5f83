"""The reference: every window of every image through the whole function."""

import jax
import jax.numpy as jnp
import numpy as np


def replaced(images, window, corner, fill):
    """Images with one window replaced; numpy, so that it shares nothing with the code under test."""
    images, (y, x), (height, width) = np.array(images), corner, window
    if np.ndim(fill) >= 3 and fill.shape[-3:-1] == images.shape[1:3]:
        fill = np.asarray(fill)[..., y : y + height, x : x + width, :]
    images[:, y : y + height, x : x + width] = fill
    return images


def brute_force(fn, images, window, offsets, fill=0.0):
    """(n, p, ...), every output leaf."""
    fn = jax.jit(fn)
    outputs = [fn(jnp.asarray(replaced(images, window, corner, fill))) for corner in offsets]
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves], axis=1), *outputs)


def assert_equal(ours, theirs, tolerance=2e-5):
    """Equal up to rounding, measured at the largest finite value."""

    def check(one, other):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        finite = np.isfinite(other)
        scale = np.abs(other[finite]).max(initial=1e-6)
        np.testing.assert_allclose(np.asarray(one), other, rtol=0, atol=tolerance * float(scale))

    jax.tree.map(check, ours, theirs)


def border_windows(size, window, extra=()):
    """Corners at every border and corner of the image, in the middle, and `extra` ones."""
    last = [size[i] - window[i] for i in range(2)]
    axes = [sorted({0, min(1, last[i]), last[i] // 2, max(0, last[i] - 1), last[i]}) for i in range(2)]
    corners = [(y, x) for y in axes[0] for x in axes[1]]
    return np.asarray([*corners, *extra])
