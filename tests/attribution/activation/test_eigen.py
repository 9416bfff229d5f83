"""Principal components against numpy's singular value decomposition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam.attribution import eigen_cam, eigen_grad_cam
from jaxcam.attribution.activation.eigen import principal

pytestmark = pytest.mark.usefixtures("quick_compilation")

compiled = jax.jit(principal)


def by_svd(values):
    """The definition, in float64, with the sign that makes the largest magnitude positive."""
    out = []
    for image in np.asarray(values, np.float64):
        rows = image.reshape(-1, image.shape[-1])
        rows = rows - rows.mean(0)
        along = rows @ np.linalg.svd(rows, full_matrices=False)[2][0]
        along = -along if -along.min() > along.max() else along
        out.append(along.reshape(image.shape[:2]))
    return np.stack(out)


@pytest.mark.parametrize("shape", [(3, 4, 6, 8), (3, 4, 6, 40), (2, 1, 5, 3), (2, 3, 3, 1), (1, 14, 14, 64)])
def test_random_maps(shape):
    values = jax.nn.relu(jax.random.normal(jax.random.key(sum(shape)), shape))
    np.testing.assert_allclose(compiled(values), by_svd(values), atol=2e-4)


@pytest.mark.parametrize("gap", [1e-1, 1e-2, 1e-3])
@pytest.mark.parametrize("channels", [12, 60])
def test_two_components_that_are_nearly_equal(gap, channels):
    rng = np.random.default_rng(0)
    positions = np.linalg.qr(rng.normal(size=(30, 3)) - 0)[0]
    positions -= positions.mean(0)
    positions = np.linalg.qr(positions)[0]
    directions = np.linalg.qr(rng.normal(size=(channels, 3)))[0]
    rows = (positions * np.array([1 + gap, 1, 0.3])) @ directions.T
    values = jnp.asarray(rows.reshape(1, 5, 6, channels), jnp.float32)
    np.testing.assert_allclose(compiled(values), by_svd(rows.reshape(1, 5, 6, channels)), atol=1e-5 / gap)


def test_scale_does_not_matter():
    values = jax.random.normal(jax.random.key(1), (2, 4, 5, 7))
    for scale in (1e-20, 1e15):
        np.testing.assert_allclose(compiled(values * scale) / scale, compiled(values), rtol=1e-4, atol=1e-5)


def test_dead_broken_and_single_maps_do_not_touch_their_neighbours():
    values = np.array(jax.random.normal(jax.random.key(2), (4, 3, 4, 5)))
    expected = by_svd(values)
    values[0], values[1, 0, 0, 0], values[2] = 3.5, np.nan, 0
    maps = np.asarray(compiled(jnp.asarray(values)))
    np.testing.assert_allclose(maps[[0, 2]], 0, atol=1e-6)
    assert np.isnan(maps[1]).all()
    np.testing.assert_allclose(maps[3], expected[3], atol=1e-5)
    assert eigen_cam(jnp.ones((1, 1, 1, 3))).tolist() == [[[0.0]]]


def test_targets_and_relu():
    activations = jax.nn.relu(jax.random.normal(jax.random.key(3), (2, 3, 4, 5)))
    kernel = jax.random.normal(jax.random.key(4), (3, 4, 5, 6))
    head = lambda a: jnp.tensordot(a, kernel, 3)
    targets = jnp.array([[0, 2], [5, 1]])
    maps = eigen_grad_cam(head, activations, targets, relu=False)
    for i in range(2):
        for t in range(2):
            product = activations[i] * kernel[..., targets[i, t]]
            np.testing.assert_allclose(maps[i, t], by_svd(product[None])[0], atol=1e-5)
    np.testing.assert_array_equal(eigen_grad_cam(head, activations, targets), np.maximum(maps, 0))
    assert eigen_cam(activations.astype(jnp.bfloat16)).dtype == jnp.float32
