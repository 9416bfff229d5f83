"""Every rule against what the tools themselves gave for one small map (methods.md), and in every transformation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam.attribution import resize
from jaxcam.attribution.resize import WEIGHTS

SMALL = jnp.array([[0.0, 4], [28, 32.5]])
LARGE = {
    "nearest": [[0, 0, 4, 4], [0, 0, 4, 4], [28, 28, 32.5, 32.5], [28, 28, 32.5, 32.5]],
    "bilinear": [
        [0, 1, 3, 4],
        [7, 8.0312, 10.0938, 11.125],
        [21, 22.0938, 24.2812, 25.375],
        [28, 29.125, 31.375, 32.5],
    ],
    "corners": [
        [0, 1.3333, 2.6667, 4],
        [9.3333, 10.7222, 12.1111, 13.5],
        [18.6667, 20.1111, 21.5556, 23],
        [28, 29.5, 31, 32.5],
    ],
    "bicubic": [
        [-3.3694, -2.0588, 0.0998, 1.4105],
        [5.9099, 7.2757, 9.5251, 10.8909],
        [21.1936, 22.6501, 25.0491, 26.5056],
        [30.473, 31.9846, 34.4744, 35.986],
    ],
    "cubic": [
        [-2.8196, -1.6512, 0.6659, 1.8343],
        [5.4379, 6.65, 9.0535, 10.2657],
        [21.8121, 23.1107, 25.6857, 26.9844],
        [30.0696, 31.4119, 34.0734, 35.4157],
    ],
}


@pytest.mark.parametrize("rule", LARGE)
def test_the_numbers_of_the_tools(rule):
    np.testing.assert_allclose(resize(SMALL, (4, 4), rule), LARGE[rule], atol=6e-5)


def test_bilinear_makes_smaller_without_averaging():
    small = resize(jnp.arange(16.0).reshape(4, 4), (2, 2))
    np.testing.assert_allclose(small, [[2.5, 4.5], [10.5, 12.5]], rtol=1e-6)


@pytest.mark.parametrize("size", [(7, 5), (9, 23), (3, 3), (1, 1), (24, 1)])
@pytest.mark.parametrize(("rule", "theirs"), [("bilinear", "linear"), ("cubic", "cubic")])
def test_jax_image_resize_without_antialiasing(rule, theirs, size):
    maps = jax.random.normal(jax.random.key(0), (2, 6, 8))
    expected = jax.image.resize(maps, (2, *size), theirs, antialias=False)
    np.testing.assert_allclose(resize(maps, size, rule), expected, atol=2e-5)


def matlab(line, new):
    """imresize's bicubic of one row as MATLAB's function describes it: one-based, mirrored at the border."""
    old, scale = len(line), new / len(line)
    cubic = lambda x: 1.5 * x**3 - 2.5 * x**2 + 1 if x <= 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0
    shrink = min(scale, 1.0)
    mirrored = [*range(1, old + 1), *range(old, 0, -1)]
    out = []
    for x in range(1, new + 1):
        u = x / scale + 0.5 * (1 - 1 / scale)
        left = int(np.floor(u - 2 / shrink))
        taps = [left + i for i in range(int(np.ceil(4 / shrink)) + 2)]
        weights = np.array([cubic(abs(shrink * (u - tap))) for tap in taps])
        values = np.array([line[mirrored[(tap - 1) % (2 * old)] - 1] for tap in taps])
        out.append((weights / weights.sum()) @ values)
    return out


@pytest.mark.parametrize(("old", "new"), [(2, 4), (7, 45), (14, 224), (5, 5), (9, 4), (1, 3), (3, 1)])
def test_imresize(old, new):
    line = np.random.default_rng(old).normal(size=old)
    np.testing.assert_allclose(
        resize(jnp.asarray(line[None], jnp.float32), (1, new), "imresize")[0], matlab(line, new), atol=1e-5
    )


@pytest.mark.parametrize("rule", WEIGHTS)
def test_every_rule_keeps_constants_shapes_and_transformations(rule):
    maps = jax.random.normal(jax.random.key(1), (4, 3, 5, 4))
    large = resize(maps, (9, 11), rule)
    assert large.shape == (4, 3, 9, 11)
    assert large.dtype == jnp.float32
    np.testing.assert_allclose(resize(jnp.full((2, 3), 2.5), (5, 7), rule), np.full((5, 7), 2.5), rtol=1e-6)
    np.testing.assert_allclose(resize(maps, (5, 4), rule), maps, atol=1e-6)
    method = lambda x: resize(x, (9, 11), rule)
    np.testing.assert_allclose(jax.jit(method)(maps), large, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(jax.vmap(method))(maps), large, atol=1e-6)
    assert resize(maps.astype(jnp.bfloat16), (9, 11), rule).dtype == jnp.float32


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="unknown rule 'spline'"):
        resize(SMALL, (4, 4), "spline")
    with pytest.raises(ValueError, match="must not be empty"):
        resize(SMALL, (0, 4))
