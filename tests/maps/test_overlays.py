"""Overlay pictures as files."""

import numpy as np
from PIL import Image

from jaxcam.data.folder import load_folder
from jaxcam.maps.overlays import write_overlays, write_set_overlays
from jaxcam.maps.store import MapStore
from jaxcam.preprocessing import Preprocessing

RNG = np.random.default_rng(0)


def test_single_images_keep_their_order_and_get_numbers(tmp_path):
    images = RNG.integers(0, 256, (4, 20, 30, 3), dtype=np.uint8)
    files = write_overlays(tmp_path / "out", ["a", "b", "a", "a-2"], images, RNG.random((4, 2, 3)).astype(np.float32))
    assert [file.name for file in files] == ["a.jpg", "b.jpg", "a-2.jpg", "a-2-2.jpg"]
    for file in files:
        with Image.open(file) as picture:
            assert picture.size == (30, 20)


def test_every_map_of_a_set(tmp_path):
    classes = ("cat?", "cat!")
    for row in range(5):
        path = tmp_path / "pictures" / classes[row % 2] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)
    images = load_folder(tmp_path / "pictures")
    images.file(2).write_bytes(b"broken")
    sizes = {"count": 5, "batch": 2, "methods": {"cam": (2, 3, 4), "one": (2, 3, 4)}, "classes": 2, "targets": 2}
    store = MapStore.create(tmp_path / "maps.zarr", {}, **sizes)
    for index in store.missing:
        rows = store.rows(index)
        shapes = {name: (rows.stop - rows.start, *shape[1:]) for name, shape in store.shapes.items()}
        arrays = {name: np.ones(shape) for name, shape in shapes.items()}
        store.write(index, arrays | {"targets": np.tile([0, 1], (rows.stop - rows.start, 1))})
    store.finish()
    said = write_set_overlays(store, images, tmp_path / "out", Preprocessing(size=(10, 15)))
    assert said == f"16 overlays in {tmp_path / 'out'} (1 unreadable images left out)"
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.jpg"))
    assert len(names) == 16
    assert names[0] == "cat!/1.png_cam_0_cat_.jpg"
    with Image.open(tmp_path / "out" / names[0]) as picture:
        assert picture.size == (15, 10)
