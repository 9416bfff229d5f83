"""ROAD: the imputation against a sparse solver, the removal by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve

from jaxcam import devices
from jaxcam.attribution.judging.road import impute, road

pytestmark = pytest.mark.usefixtures("quick_compilation")

RANDOM = np.random.default_rng(0)
WEIGHTS = jnp.asarray(RANDOM.normal(size=(12 * 15 * 2, 3)) / 20, jnp.float32)


def fn(images):
    return images.reshape(images.shape[0], -1).astype(jnp.float32) @ WEIGHTS


def solved(image, known):
    """The same system, written down pixel by pixel."""
    height, width, channels = image.shape
    number = {place: i for i, place in enumerate(zip(*np.where(~known), strict=True))}
    matrix, right = sparse.lil_matrix((len(number), len(number))), np.zeros((len(number), channels))
    for (y, x), i in number.items():
        for down in (-1, 0, 1):
            for across in (-1, 0, 1):
                there = (y + down, x + across)
                if (down, across) == (0, 0) or not (0 <= there[0] < height and 0 <= there[1] < width):
                    continue
                weight = 1 / 6 if 0 in (down, across) else 1 / 12
                matrix[i, i] += weight
                if there in number:
                    matrix[i, number[there]] -= weight
                else:
                    right[i] += weight * image[there]
    found = image.copy()
    found[~known] = spsolve(matrix.tocsc(), right).reshape(len(number), channels)
    return found


def test_imputation_solves_the_system():
    images = RANDOM.normal(size=(4, 12, 15, 2)).astype(np.float32)
    known = RANDOM.random((4, 12, 15)) < np.array([0.9, 0.5, 0.1, 0.02])[:, None, None]
    known[2, 3:10, 2:12] = False
    found = np.asarray(jax.jit(impute)(jnp.asarray(images), jnp.asarray(known)))
    for row in range(4):
        np.testing.assert_allclose(found[row], solved(images[row], known[row]), atol=5e-3)
    np.testing.assert_array_equal(found[known], images[known])


def test_imputation_of_everything_of_nothing_and_of_nan():
    images = jnp.asarray(RANDOM.normal(size=(3, 5, 6, 1)), jnp.float32).at[2, 2, 2].set(jnp.nan)
    known = jnp.ones((3, 5, 6), bool).at[1].set(False)
    found = np.asarray(jax.jit(impute)(images, known))
    np.testing.assert_array_equal(found[0], images[0])
    assert (found[1] == 0).all()
    around = [(1, 2), (3, 2), (2, 1), (2, 3)], [(1, 1), (1, 3), (3, 1), (3, 3)]
    expected = sum(
        w * float(images[2, y, x, 0]) for w, some in zip((1 / 6, 1 / 12), around, strict=True) for y, x in some
    )
    np.testing.assert_allclose(found[2, 2, 2, 0], expected, atol=1e-3)


@pytest.fixture(scope="module")
def judged():
    images = jnp.asarray(RANDOM.normal(size=(4, 12, 15, 2)), jnp.float32)
    maps = jnp.asarray(RANDOM.normal(size=(4, 12, 15)), jnp.float32).at[3].set(1.0)
    targets = jnp.array([0, 1, 2, 0])
    judge = jax.jit(lambda x, m, t: road(fn, x, m, t, key=jax.random.key(0), shares=(0.25, 0.5), noise=0.0))
    return images, maps, targets, judge


def test_scores_are_those_of_imputed_images(judged):
    images, maps, targets, judge = judged
    found = judge(images, maps, targets)
    for row in range(3):
        order = np.argsort(-np.asarray(maps[row]).reshape(-1))
        for number, count in enumerate((45, 90)):
            for scores, removed in ((found.most, order[:count]), (found.least, order[180 - count :])):
                known = np.ones(180, bool)
                known[removed] = False
                image = solved(np.asarray(images[row]), known.reshape(12, 15))
                expected = jax.nn.softmax(fn(jnp.asarray(image, jnp.float32)[None]))[0, targets[row]]
                np.testing.assert_allclose(scores[row, number], expected, atol=2e-3)
    np.testing.assert_allclose(found.combined[:3], (found.least - found.most).mean(1)[:3] / 2, rtol=1e-5)
    assert np.isnan(found.combined[3])


def test_opposite_maps_have_opposite_numbers(judged):
    images, maps, targets, judge = judged
    found, opposite = judge(images, maps, targets), judge(images, -maps, targets)
    np.testing.assert_allclose(found.combined[:3], -opposite.combined[:3], atol=1e-4)


def test_two_devices_vmap_and_the_place_in_the_batch_change_nothing(judged):
    images, maps, targets, judge = judged
    plain = judge(images, maps, targets)
    split = judge(*devices.shard((np.asarray(images), np.asarray(maps), np.asarray(targets))))
    np.testing.assert_allclose(split.most, plain.most, atol=1e-4)
    noisy = jax.jit(lambda x, m, t: road(fn, x, m, t, key=jax.random.key(0), shares=(0.4,), noise=0.5, memory=1).least)
    together = noisy(images, maps, targets)
    one = jax.jit(jax.vmap(lambda x, m, t: noisy(x[None], m[None], t[None])[0]))
    np.testing.assert_allclose(one(images, maps, targets), together, atol=1e-3)
    np.testing.assert_allclose(noisy(images[::-1], maps[::-1], targets[::-1])[::-1], together, atol=1e-3)


def test_mistakes_are_told(judged):
    images, maps, targets, _ = judged
    for wrong in ({"shares": (0.0,)}, {"shares": (1.0,)}, {"shares": ()}, {"noise": -1.0}, {"noise": float("nan")}):
        with pytest.raises(ValueError, match="shares must lie between 0 and 1"):
            road(fn, images, maps, targets, key=jax.random.key(0), **wrong)
