"""Arrays as pictures: what can only mean 0..255 is taken, everything else refused with words that help."""

from contextlib import suppress

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from jaxcam.data.arrays import pictures, to_picture, to_uint8
from jaxcam.errors import UserError
from jaxcam.preprocessing import CONVENTIONS

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
PICTURE[0, 0] = (0, 7, 255)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "int64", "float16", "float32", "float64"])
def test_whole_numbers_of_any_type_are_taken(dtype):
    np.testing.assert_array_equal(to_uint8(PICTURE.astype(dtype)), PICTURE)


def test_arrays_of_jax_are_taken():
    np.testing.assert_array_equal(to_uint8(jnp.asarray(PICTURE)), PICTURE)
    even = PICTURE & 0xFE
    np.testing.assert_array_equal(to_uint8(jnp.asarray(even).astype(jnp.bfloat16)), to_uint8(even))


@pytest.mark.parametrize("name", sorted(CONVENTIONS))
def test_what_a_network_takes_is_refused_unless_it_is_the_picture_itself(name):
    """Every preprocessing of the package, and so Keras' and torchvision's."""
    normalised = np.asarray(CONVENTIONS[name].normalise(jnp.asarray(PICTURE[None])))
    if name == "raw":
        np.testing.assert_array_equal(to_uint8(normalised), PICTURE[None])
        return
    with pytest.raises(UserError, match="divided by 255 already" if name == "unit" else "looks normalised already"):
        to_uint8(normalised)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (PICTURE / 255, r"got a float64 array with values 0 to 1: it looks divided by 255.*value_range=\(0, 1\)"),
        (np.zeros((2, 2, 3)), "divided by 255"),
        (PICTURE / np.float32(2), r"no whole numbers.*value_range=\(0, 255\)"),
        (PICTURE.astype(np.int16) - 128, "values -128 to 127: below 0"),
        (PICTURE.astype(np.uint16) * 257, r"above 255; give uint8, or value_range=\(0, 65535\)"),
        (np.where(PICTURE == 7, np.nan, PICTURE), "NaN or infinite"),
        (np.where(PICTURE == 7, -np.inf, PICTURE), "NaN or infinite"),
        (PICTURE > 9, "values of type bool"),
        (PICTURE.astype(complex), "values of type complex128"),
        (np.array([["a"]]), "files, PIL images or RGB uint8 arrays"),
        ([[1, 2], [3]], "gives no array"),
        (np.zeros((0, 4, 3), np.float32), "empty"),
    ],
)
def test_what_may_mean_something_else_is_refused_in_one_line(values, words):
    with pytest.raises(UserError, match=words) as error:
        to_uint8(values)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        (PICTURE / 255, (0, 1)),
        (PICTURE / np.float32(127.5) - 1, (-1, 1)),
        (PICTURE.astype(np.uint16) * 257, (0, 65535)),
        (PICTURE, (0, 255)),
        (PICTURE + np.float32(0.2), (0, 255)),
        (PICTURE / 255 + 0.0005, (0, 1)),
    ],
)
def test_a_range_that_is_told_is_used(values, ends):
    np.testing.assert_array_equal(to_uint8(values, value_range=ends), PICTURE)


@pytest.mark.parametrize(
    ("values", "ends", "words"),
    [
        (PICTURE, (0, 1), r"got values 0 to 255, outside of value_range=\(0, 1\)"),
        (PICTURE / 255, (0, 255), "all of it would be black"),
        (PICTURE / 255, (1, 0), "black first"),
        (PICTURE / 255, (0, np.nan), "two numbers"),
        (PICTURE * np.nan, (0, 1), "NaN"),
    ],
)
def test_a_range_that_does_not_fit_is_refused(values, ends, words):
    with pytest.raises(UserError, match=words):
        to_uint8(values, value_range=ends)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((2, 3, 8, 9), r"channels last: give x.transpose\(0, 2, 3, 1\)"),
        ((2, 1, 8, 9), "channels last"),
        ((3, 8, 9), r"got a uint8 array of shape \(3, 8, 9\).*channels last: give x.transpose\(1, 2, 0\)"),
        ((5, 8, 9), r"images are RGB uint8 arrays \(n, h, w, 3\)"),
        ((2, 8, 9, 2), "not normalised yet"),
        ((1, 2, 8, 9, 3), "not normalised yet"),
        ((2, 0, 9, 3), "holds no pixel"),
        ((), "images: got"),
    ],
)
def test_shapes_that_are_no_pictures(shape, words):
    with pytest.raises(UserError, match=words):
        pictures(np.zeros(shape, np.uint8))


def test_single_pictures_grey_alpha_and_channels_first():
    assert to_picture(PICTURE).mode == "RGB"
    assert to_picture(PICTURE[..., 0]).mode == to_picture(PICTURE[..., :1]).mode == "L"
    assert to_picture(np.dstack([PICTURE, PICTURE[..., 0]])).mode == "RGBA"
    with pytest.raises(UserError, match=r"give x.transpose\(1, 2, 0\)"):
        to_picture(PICTURE.transpose(2, 0, 1))
    assert len(pictures(PICTURE)) == 1
    assert pictures(np.zeros((0, 8, 8, 3), np.uint8)) == []


def test_a_black_picture_among_others_is_no_doubt():
    batch = np.stack([PICTURE, 0 * PICTURE]).astype(np.float32)
    np.testing.assert_array_equal(np.stack(pictures(batch)), batch)


def test_the_callers_array_is_not_kept():
    mine = PICTURE.copy()
    picture = to_picture(mine)
    mine[:] = 0
    np.testing.assert_array_equal(np.asarray(picture), PICTURE)


@settings(max_examples=60, deadline=None)
@given(
    arrays_of.arrays(
        st.sampled_from([np.uint8, np.int8, np.uint16, np.int64, np.float16, np.float32, np.float64, np.bool_]),
        arrays_of.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
    )
)
def test_anything_else_ends_in_usable_pictures_or_a_user_error(array):
    with suppress(UserError):
        assert all(one.dtype == np.uint8 and one.ndim == 3 for one in pictures(array))
