"""Window grids, and one value a pixel from the values of the windows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxcam.attribution.perturbation.windows import per_pixel, window_grid


@st.composite
def numbers(draw):
    size = draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    window = tuple(draw(st.integers(1, length)) for length in size)
    stride = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    return size, window, stride, draw(st.sampled_from(["moved", "cut", "full", "centred"]))


@settings(max_examples=25, deadline=None)
@given(numbers(), st.integers(0, 2**31))
def test_per_pixel_is_the_mean_over_covering_windows(numbers, seed):
    grid = window_grid(*numbers[:3], edges=numbers[3])
    values = np.random.default_rng(seed).normal(size=(2, *grid.shape)).astype(np.float32)
    for how in ("mean", "sum"):
        total, count = np.zeros((2, *grid.size)), np.zeros(grid.size)
        for (rows, columns), value in zip(grid.boxes(), values.reshape(2, -1).T, strict=True):
            total[:, slice(*rows), slice(*columns)] += value[:, None, None]
            count[slice(*rows), slice(*columns)] += 1
        expected = np.where(count > 0, total / np.maximum(count, 1), np.nan) if how == "mean" else total
        np.testing.assert_allclose(per_pixel(jnp.asarray(values), grid, how=how), expected, atol=1e-5)


@pytest.mark.parametrize(("size", "window", "stride"), [(224, 32, 16), (10, 4, 4), (7, 7, 3), (23, 5, 3), (8, 3, 1)])
def test_windows_stay_inside_touch_both_borders_and_cover_every_pixel(size, window, stride):
    (spans,) = window_grid((size,), (window,), (stride,)).spans
    assert spans[0][0] == 0
    assert spans[-1][1] == size
    assert all(last - first == window for first, last in spans)
    assert len(set(spans)) == len(spans)
    assert set().union(*(range(first, last) for first, last in spans)) == set(range(size))


def test_case_24_xpliques_numbers_of_masks():
    counts = [window_grid((10, 10), (p, p), (s, s), edges="full").count for p, s in ((1, 1), (2, 2), (2, 3))]
    assert counts == [100, 25, 9]


def test_centred_windows_begin_on_the_corner_and_are_cut():
    grid = window_grid((10, 10), (4, 4), (2, 2), edges="centred")
    assert grid.spans[0] == ((0, 2), (0, 4), (2, 6), (4, 8), (6, 10))
    assert window_grid((7,), (3,), (3,), edges="centred").spans == (((0, 2), (2, 5), (5, 7)),)


def test_gaps_between_windows_are_nan_in_the_mean_and_zero_in_the_sum():
    grid = window_grid((5,), (1,), (2,))
    np.testing.assert_array_equal(per_pixel(jnp.array([1.0, 2, 3]), grid), [1, np.nan, 2, np.nan, 3])
    np.testing.assert_array_equal(per_pixel(jnp.array([1.0, 2, 3]), grid, how="sum"), [1, 0, 2, 0, 3])


def test_a_value_that_is_not_finite_stays_where_it_is():
    grid = window_grid((4, 4), (2, 2), (2, 2))
    values = jnp.array([[1.0, jnp.nan], [jnp.inf, 4]])
    expected = np.kron([[1, np.nan], [np.nan, 4]], np.ones((2, 2)))
    np.testing.assert_array_equal(jax.jit(lambda v: per_pixel(v, grid))(values), expected)


def test_what_makes_no_grid_is_refused():
    with pytest.raises(ValueError, match=r"window \(33, 4\) is larger than the image \(32, 32\)"):
        window_grid((32, 32), (33, 4), (1, 1))
    with pytest.raises(ValueError, match="at least 1"):
        window_grid((32, 32), (3, 4), (0, 1))
    with pytest.raises(ValueError, match="edges must be one of"):
        window_grid((32,), (3,), (1,), edges="round")
    with pytest.raises(ValueError, match="one number an axis"):
        window_grid((32, 32), (3,), (1,))
    with pytest.raises(ValueError, match="end in the grid's shape"):
        per_pixel(jnp.ones((3, 3)), window_grid((4, 4), (2, 2), (2, 2)))
