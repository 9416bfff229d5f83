"""The warp against scipy, in every fill mode, and against Keras' own transform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxcam.data.warp import FILLS, affine_matrix, warp

IMAGE = np.random.default_rng(0).integers(0, 256, (12, 17, 3)).astype(np.uint8)
# In order: a little of everything, far outside on all sides, shifts by whole pixels and whole lengths, a strong zoom.
VIEWS = (
    {"rotation": 25.0, "shift": (2.5, -1.25), "shear": 15.0, "zoom": (0.8, 1.3), "flip": (True, False)},
    {"rotation": -130.0, "shift": (9.0, 22.5), "shear": -40.0, "zoom": (3.1, 2.7), "flip": (False, True)},
    {"shift": (3.0, -2.0)},
    {"shift": (-16.0, 11.0)},
    {"shift": (40.0, -50.0)},
    {"zoom": (0.3, 0.2)},
)


@jax.jit
def matrices(**angles):
    """One matrix for each angle, with shifts and zooms that grow."""
    steps = jnp.arange(len(angles["rotation"]), dtype=jnp.float32)
    return jax.vmap(
        lambda step, angle: affine_matrix(
            **angle, shift=(7 * jnp.sin(step), 5 * jnp.cos(step)), zoom=(0.3 + step % 4, 0.5 + step % 3)
        )
    )(steps, {name: values.astype(jnp.float32) for name, values in angles.items()})


def scipys(image, matrix, fill, value):
    matrix = np.asarray(matrix, np.float64)
    centre = (np.array(image.shape[:2]) - 1) / 2
    offset = matrix[:, 2] + centre - matrix[:, :2] @ centre
    channels = [
        ndimage.affine_transform(
            image[..., c].astype(np.float64), matrix[:, :2], offset, order=1, mode=fill, cval=value
        )
        for c in range(image.shape[2])
    ]
    return np.stack(channels, -1)


@pytest.mark.parametrize("fill", FILLS)
def test_equals_scipys_bilinear_transform(fill):
    view_through = jax.jit(lambda matrix: warp(jnp.asarray(IMAGE), matrix, fill=fill, fill_value=77.0))
    for view in VIEWS:
        matrix = affine_matrix(**view)
        np.testing.assert_allclose(
            view_through(matrix), scipys(IMAGE, matrix, fill, 77.0), atol=0.05, err_msg=str(view)
        )


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (4, 7)])
def test_random_views_of_small_images_equal_scipys(shape):
    random = np.random.default_rng(1)
    image = random.integers(0, 256, (*shape, 1)).astype(np.uint8)
    for fill in FILLS:
        if fill == "reflect" and min(shape) == 1:
            continue  # scipy leaves an axis of length one alone there
        views = matrices(rotation=random.uniform(-180, 180, 20), shear=random.uniform(-60, 60, 20))
        ours = jax.jit(jax.vmap(lambda m, fill=fill: warp(jnp.asarray(image), m, fill=fill)))(views)
        expected = np.stack([scipys(image, matrix, fill, 0.0) for matrix in views])
        # `constant` and `wrap` jump: a place that lies on a border but for float32's rounding may fall to either side.
        assert np.isclose(ours, expected, atol=0.05).mean() > 0.98, fill


def test_vmapped_views_equal_single_ones():
    views = matrices(rotation=np.array([10.0, 90, 200]), shear=np.array([0.0, 20, -20]))
    one = jax.jit(lambda m: warp(jnp.asarray(IMAGE), m, fill="reflect"))
    together = jax.jit(jax.vmap(one))(views)
    for ours, matrix in zip(together, views, strict=True):
        np.testing.assert_allclose(ours, one(matrix), atol=1e-3)


def test_a_positive_angle_turns_the_picture_clockwise():
    """The view turns counter-clockwise on the screen, so that what stood on the right comes to stand below."""
    image = np.zeros((5, 5, 1), np.uint8)
    image[2, 4] = 100
    turned = np.asarray(warp(jnp.asarray(image), affine_matrix(rotation=90.0)))
    assert np.unravel_index(turned[..., 0].argmax(), (5, 5)) in ((4, 2), (0, 2))


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("fill", FILLS)
def test_equals_keras_affine_transform(fill):
    """Square pictures: for others Keras 3 takes the centre's row for its column."""
    keras = pytest.importorskip("keras.src.legacy.preprocessing.image")
    random = np.random.default_rng(2)
    image = random.integers(0, 256, (14, 14, 3)).astype(np.float32)

    @jax.jit
    def ours(theta, tx, ty, shear, zx, zy):
        matrix = affine_matrix(rotation=theta, shift=(tx, ty), shear=shear, zoom=(zx, zy))
        return warp(jnp.asarray(image), matrix, fill=fill, fill_value=9.0)

    for _ in range(10):
        values = (
            random.uniform(-90, 90),
            *random.uniform(-6, 6, 2),
            random.uniform(-45, 45),
            *random.uniform(0.5, 2, 2),
        )
        theirs = keras.apply_affine_transform(
            image, *values, row_axis=0, col_axis=1, channel_axis=2, fill_mode=fill, cval=9.0
        )
        found = np.asarray(ours(*map(np.float32, values)))
        assert np.isclose(found, theirs, atol=0.05).mean() > 0.995
        assert np.abs(found - theirs).mean() < 0.1
