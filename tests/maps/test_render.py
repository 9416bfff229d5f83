"""Maps as pictures: the resize rule, the colours, the blend, and the files."""

import io

import jax
import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxcam.errors import UserError
from jaxcam.maps import render

MAP = np.array([[0, 4], [28, 32.5]], np.float32)
IMAGE = np.random.default_rng(0).integers(0, 256, (360, 640, 3), dtype=np.uint8)


def test_resize_gives_the_table_of_the_half_pixel_rule():
    want = [[0, 1, 3, 4], [7, 8.0312, 10.0938, 11.125], [21, 22.0938, 24.2812, 25.375], [28, 29.125, 31.375, 32.5]]
    np.testing.assert_allclose(render.resize_map(MAP, (4, 4)), want, atol=6e-5)
    np.testing.assert_array_equal(
        render.resize_map(np.arange(16).reshape(4, 4), (2, 2)), [[2.5, 4.5], [10.5, 12.5]]
    )  # shrinking is not antialiased


@settings(max_examples=8, deadline=None)
@given(st.tuples(*[st.integers(1, 12)] * 4), st.integers(0, 99))
def test_resize_is_jax_image_resize_without_antialiasing(sizes, seed):
    values = np.random.default_rng(seed).normal(size=(2, *sizes[:2])).astype(np.float32)
    want = jax.image.resize(values, (2, *sizes[2:]), "linear", antialias=False)
    np.testing.assert_allclose(render.resize_map(values, sizes[2:]), want, atol=1e-5)


@pytest.mark.peers
@pytest.mark.parametrize(("old", "new"), [((22, 40), (360, 640)), ((14, 14), (9, 31)), ((1, 5), (3, 2))])
def test_resize_is_torchs(old, new):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    values = np.random.default_rng(1).normal(size=(1, 1, *old)).astype(np.float32)
    want = torch.nn.functional.interpolate(torch.from_numpy(values), new, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(render.resize_map(values, new), want.numpy(), atol=1e-4)


@pytest.mark.parametrize("name", render.COLORMAPS)
def test_colour_tables_are_matplotlibs(name):
    want = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3].astype(int)
    assert np.abs(render.colour_table(name).astype(int) - want).max() <= 1
    with pytest.raises(ValueError, match="read-only"):
        render.colour_table(name)[0] = 0


def test_unknown_colour_map_is_named():
    with pytest.raises(UserError, match=r"'hot'; there are: inferno, viridis, jet, seismic"):
        render.overlay(IMAGE, MAP, colormap="hot")


def test_unsigned_maps_run_from_zero_to_their_maximum():
    assert render.value_range(MAP) == (0, 32.5)
    table = render.colour_table("inferno")
    np.testing.assert_array_equal(render.colour(MAP)[[0, 1], [0, 1]], table[[0, 255]])
    np.testing.assert_array_equal(render.colour(MAP + 10)[0, 0], table[int(10 / 42.5 * 256)])  # 0, not the minimum
    np.testing.assert_array_equal(render.colour(MAP, vmax=4.0)[0], table[[0, 255]])
    np.testing.assert_array_equal(render.colour(MAP, vmin=28.0)[0], table[[0, 0]])


def test_signed_maps_are_symmetric_around_zero():
    values = np.array([[-2.0, 0.0, 8.0]], np.float16)
    assert render.value_range(values) == (-8, 8)
    table = render.colour_table("seismic")
    np.testing.assert_array_equal(render.colour(values)[0], table[[96, 128, 255]])
    np.testing.assert_array_equal(render.colour(values, vmax=2.0)[0], table[[0, 128, 255]])
    np.testing.assert_array_equal(render.colour(values, vmin=-16.0)[0], table[[112, 128, 192]])
    np.testing.assert_array_equal(render.colour(-values, mode="unsigned"), render.colour(np.maximum(-values, 0)))
    np.testing.assert_array_equal(render.colour(np.abs(values), mode="signed")[0], table[[160, 128, 255]])


@pytest.mark.parametrize("fill", [0.0, np.nan, np.inf, -np.inf])
def test_maps_without_a_range_get_the_colour_of_zero(fill):
    values = np.full((3, 4), fill, np.float16)
    assert render.value_range(values) == (0, 0)
    assert (render.colour(values) == render.colour_table("inferno")[0]).all()
    assert (render.colour(values, mode="signed") == render.colour_table("seismic")[128]).all()
    if fill:
        np.testing.assert_array_equal(render.overlay(IMAGE, values), IMAGE)


def test_overlay_of_a_wide_map_over_a_wide_image():
    values = np.zeros((22, 40), np.float16)
    values[2:5, 30:36] = 7  # upper right
    out = render.overlay(IMAGE, values, colormap="viridis")
    assert out.shape == IMAGE.shape
    table = render.colour_table("viridis").astype(float)
    np.testing.assert_array_equal(out[300, 100], np.rint(IMAGE[300, 100] / 2 + table[0] / 2))
    np.testing.assert_array_equal(out[57, 528], np.rint(IMAGE[57, 528] / 2 + table[255] / 2))
    np.testing.assert_array_equal(render.overlay(IMAGE, values, opacity=0.0), IMAGE)
    np.testing.assert_array_equal(
        render.overlay(IMAGE, values, opacity=1.0, colormap="jet"),
        render.colour(render.resize_map(values, (360, 640)), colormap="jet", vmax=7.0),
    )
    with pytest.raises(ValueError, match=r"opacity 1\.5"):
        render.overlay(IMAGE, values, opacity=1.5)


def test_overlay_leaves_pixels_without_a_value_alone():
    values = np.ones((2, 2), np.float32)
    values[0, 0] = np.nan
    out = render.overlay(IMAGE[:40, :40], values)
    np.testing.assert_array_equal(out[:10, :10], IMAGE[:10, :10])
    assert (out[35:, 35:] != IMAGE[35:40, 35:40]).any()


def test_files_are_deterministic_and_whole(tmp_path):
    for save, name in ((render.save_png, "a.png"), (render.save_jpeg, "a.jpg")):
        save(tmp_path / name, IMAGE)
        first = (tmp_path / name).read_bytes()
        save(tmp_path / name, IMAGE)
        assert (tmp_path / name).read_bytes() == first
        with Image.open(tmp_path / name) as image:
            assert image.size == (640, 360)
            assert image.getexif() == {}
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), IMAGE)
    assert len(render.encode(IMAGE, "jpeg", quality=30)) < len(render.encode(IMAGE, "jpeg"))
    assert Image.open(io.BytesIO(render.encode(IMAGE, "webp"))).format == "WEBP"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg", "a.png"]
