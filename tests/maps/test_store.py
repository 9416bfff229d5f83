"""The map store: what other readers see, what a killed run leaves behind, what is refused."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jaxcam
from jaxcam.errors import UserError
from jaxcam.maps.layout import describe_flags
from jaxcam.maps.store import MapStore

SIZES = {"count": 22, "batch": 4, "methods": {"cam": (2, 3, 5), "occlusion": (2, 4, 4)}, "classes": 3, "targets": 2}
MANIFEST = {"jaxcam": "0.1.0", "methods": ["cam", "occlusion"], "stage": "block5_conv3", "classifier": "a" * 64}


def batch_of(store, index, padded=False):
    """Arrays of one batch, the same for the same index."""
    rows = store.rows(index)
    length = store.batch if padded else rows.stop - rows.start
    generator = np.random.default_rng(index)
    arrays = {name: generator.normal(size=(length, *shape[1:])) for name, shape in store.shapes.items()}
    arrays["targets"] = generator.integers(0, 3, (length, 2))
    arrays["flags"] = generator.integers(0, 32, (length, 2, 2))
    return arrays


def filled(path):
    store = MapStore.resume(path, MANIFEST, **SIZES)
    for index in store.missing:
        store.write(index, batch_of(store, index))
    store.finish()
    return store


def tree(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@pytest.fixture
def whole(tmp_path):
    return filled(tmp_path / "whole.zarr")


def test_reads_back_what_was_written(whole):
    store = MapStore.open(whole.path)
    assert store.complete
    assert store.manifest == MANIFEST
    assert store.arrays == ("cam", "occlusion", "logits", "targets", "scores", "flags")
    assert store.methods == ("cam", "occlusion")
    parts = [batch_of(store, index) for index in range(store.batches)]
    for name in store.arrays:
        want = np.concatenate([part[name] for part in parts])
        got = store.read(name)
        assert got.shape == store.shapes[name] == want.shape
        np.testing.assert_array_equal(got, want.astype(got.dtype))
        np.testing.assert_array_equal(store.read(name, [20, 3, 3]), got[[20, 3, 3]])
        np.testing.assert_array_equal(store.read(name, slice(2, 19, 5)), got[2:19:5])
        np.testing.assert_array_equal(store.read(name, np.arange(22) % 2 == 0), got[::2])
        assert store.read(name, []).shape == (0, *want.shape[1:])
    assert [store.read(name, [0]).dtype for name in store.arrays] == ["f2", "f2", "f4", "i4", "f4", "u1"]


def test_reading_opens_only_the_chunks_asked_for(whole):
    (whole.path / "cam" / "c.1.0.0.0").write_bytes(b"not a chunk")
    store = MapStore.open(whole.path)
    assert store.read("cam", [0, 3, 8]).shape == (3, 2, 3, 5)
    with pytest.raises(UserError, match=r"cam.*cannot be read"):
        store.read("cam", [4])
    with pytest.raises(ValueError, match="there are cam, occlusion, logits"):
        store.read("grad_cam")
    with pytest.raises(IndexError):
        store.read("cam", [22])


def test_zarr_python_opens_the_group(whole):
    zarr = pytest.importorskip("zarr", reason="zarr-python is not installed")
    group = zarr.open_group(str(whole.path), mode="r")
    assert group.attrs["stage"] == MANIFEST["stage"]
    assert dict(group.arrays()).keys() == set(whole.arrays)
    for name, array in group.arrays():
        np.testing.assert_array_equal(array[:], whole.read(name))
    assert group["cam"].metadata.dimension_names == ("image", "target", "cam_row", "cam_column")
    assert group["cam"].chunks == (4, 2, 3, 5)


def test_xarray_opens_the_group(whole):
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    with xarray.open_dataset(whole.path, engine="zarr") as data:
        assert dict(data.sizes) == {
            "image": 22, "target": 2, "cam_row": 3, "cam_column": 5, "occlusion_row": 4, "occlusion_column": 4,
            "class": 3, "method": 2,
        }  # fmt: skip


def test_consolidated_metadata_is_that_of_the_arrays(whole):
    copies = json.loads((whole.path / "zarr.json").read_text())["consolidated_metadata"]["metadata"]
    for name in whole.arrays:
        own = json.loads((whole.path / name / "zarr.json").read_text())
        assert {**copies[name], **own} == copies[name]


def test_not_computed_is_nan_and_minus_one(tmp_path):
    store = MapStore.create(tmp_path / "maps.zarr", MANIFEST, **SIZES)
    store.write(1, batch_of(store, 1))
    store.flush()
    there = np.zeros(22, bool)
    there[4:8] = True
    for name in ("cam", "occlusion", "logits", "scores"):
        np.testing.assert_array_equal(~np.isnan(store.read(name)).reshape(22, -1).any(1), there)
    assert (store.read("targets")[~there] == -1).all()
    assert not store.complete
    assert store.missing == (0, 2, 3, 4, 5)


def test_a_batch_enters_the_ledger_one_batch_late(tmp_path):
    with MapStore.create(tmp_path / "maps.zarr", MANIFEST, **SIZES) as store:
        ledger = store.path / "done.jsonl"
        store.write(0, batch_of(store, 0))
        assert ledger.read_text() == ""
        store.write(2, batch_of(store, 2))
        assert ledger.read_text() == '{"batch": 0}\n'
    assert ledger.read_text() == '{"batch": 0}\n{"batch": 2}\n'
    assert MapStore.resume(store.path, MANIFEST, **SIZES).missing == (1, 3, 4, 5)


def test_a_torn_ledger_line_is_cut_off(tmp_path):
    with MapStore.create(tmp_path / "maps.zarr", MANIFEST, **SIZES) as store:
        store.write(0, batch_of(store, 0))
    ledger = store.path / "done.jsonl"
    with open(ledger, "a") as file:
        file.write('{"batch": 1')
    assert MapStore.open(store.path).missing == (1, 2, 3, 4, 5)
    assert ledger.read_text().endswith('{"batch": 1')  # opening changes nothing
    with MapStore.resume(store.path, MANIFEST, **SIZES) as again:
        assert again.missing == (1, 2, 3, 4, 5)
        again.write(5, batch_of(again, 5))
    assert ledger.read_text() == '{"batch": 0}\n{"batch": 5}\n'


def test_padding_is_left_out_and_buffers_may_be_reused(tmp_path, whole):
    store = MapStore.create(tmp_path / "padded.zarr", MANIFEST, **SIZES)
    buffers = batch_of(store, 0, padded=True)
    for index in reversed(range(store.batches)):
        for name, values in batch_of(store, index).items():
            buffers[name][:] = 0
            buffers[name][: len(values)] = values
        store.write(index, buffers)
    store.finish()
    assert tree(store.path) == tree(whole.path)


def test_several_processes_share_a_group(tmp_path, whole):
    first = MapStore.create(tmp_path / "maps.zarr", MANIFEST, **SIZES)
    second = MapStore.resume(first.path, MANIFEST, **SIZES, process=1)
    for store, own in ((first, (0, 2, 4)), (second, (1, 3, 5))):
        for index in own:
            store.write(index, batch_of(store, index))
        store.flush()
    assert (first.path / "done-1.jsonl").exists()
    assert MapStore.open(first.path).missing == ()
    first.finish()
    assert tree(first.path) == tree(whole.path)


WORKER = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_store import filled

calls, kill_at = 0, int(sys.argv[2])

def killing(function):
    def wrapped(*args, **kwargs):
        global calls
        calls += 1
        if calls == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return wrapped

# Every change of the file system that Python makes, and every batch before and after it is handed to tensorstore.
for owner, name in ((os, "fsync"), (os, "replace"), (Path, "unlink"), (Path, "mkdir"), (Path, "touch")):
    setattr(owner, name, killing(getattr(owner, name)))
from jaxcam.maps.store import MapStore
MapStore.write, MapStore.flush = killing(MapStore.write), killing(MapStore.flush)
filled(Path(sys.argv[1]))
print(calls)
"""


def work(path, kill_at):
    code = WORKER.format(tests=str(Path(__file__).parent))
    environment = {**os.environ, "PYTHONPATH": str(Path(jaxcam.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-c", code, str(path), str(kill_at)], capture_output=True, text=True, env=environment
    )


@pytest.mark.parametrize("kill_at", [(1, 3, 8, 21), (2, 5, 12, 24), (6, 16, 2)])
def test_a_killed_run_resumes_to_the_same_bytes(tmp_path, whole, kill_at):
    path = tmp_path / "killed.zarr"
    killed = [work(path, moment).returncode for moment in kill_at]
    assert killed.count(-signal.SIGKILL) >= 1
    assert set(killed) <= {-signal.SIGKILL, 0}
    filled(path)
    assert tree(path) == tree(whole.path)


def test_the_kill_moments_reach_from_the_first_call_to_the_last(tmp_path, whole):
    last = int(work(tmp_path / "counted.zarr", 0).stdout)
    for moment in range(last - 2, last + 1):  # inside `finish`
        path = tmp_path / f"{moment}.zarr"
        assert work(path, moment).returncode == -signal.SIGKILL
        assert tree(filled(path).path) == tree(whole.path)


def test_locks_of_killed_writers_are_swept(tmp_path, whole):
    store = MapStore.create(tmp_path / "maps.zarr", MANIFEST, **SIZES)
    (store.path / "flags" / "c.7.0.0.__lock").write_bytes(b"part of a chunk")
    filled(store.path)
    assert tree(store.path) == tree(whole.path)


@pytest.mark.parametrize("gone", ["zarr.json", "cam/zarr.json"])
def test_a_half_made_group_is_made_again(tmp_path, gone):
    store = MapStore.create(tmp_path / "maps.zarr", MANIFEST, **SIZES)
    (store.path / gone).unlink()
    (store.path / "cam" / "c.0.0.0.0.__lock").touch()
    assert MapStore.resume(store.path, MANIFEST, **SIZES).missing == (0, 1, 2, 3, 4, 5)
    assert not (store.path / "cam" / "c.0.0.0.0.__lock").exists()


def test_other_settings_are_refused_and_named(whole):
    sizes = {**SIZES, "batch": 8}
    with pytest.raises(UserError) as caught:
        MapStore.resume(whole.path, {**MANIFEST, "stage": "block4_conv3", "classifier": "b" * 64, "new": 1}, **sizes)
    message = str(caught.value)
    assert "\n" not in message
    assert 'stage: "block5_conv3" -> "block4_conv3"' in message
    assert "layout.batch: 4 -> 8" in message
    assert "new: nothing -> 1" in message
    assert 'classifier: "aaa' in message
    assert "--overwrite" in message
    assert "--name" in message
    assert "jaxcam:" not in message
    with pytest.raises(UserError, match="order of methods"):
        MapStore.resume(whole.path, MANIFEST, **{**SIZES, "methods": dict(reversed(list(SIZES["methods"].items())))})


def test_overwrite_replaces_maps_and_nothing_else(tmp_path, whole):
    with pytest.raises(UserError, match="exists; continue it"):
        MapStore.create(whole.path, MANIFEST, **SIZES)
    assert len(MapStore.create(whole.path, MANIFEST, **SIZES, overwrite=True).missing) == 6
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter1.tex").write_text("words")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="holds no maps of jaxcam"):
            MapStore.create(precious, MANIFEST, **SIZES, overwrite=overwrite)
    with pytest.raises(UserError, match="holds no maps of jaxcam"):
        MapStore.resume(precious, MANIFEST, **SIZES)
    assert (precious / "chapter1.tex").read_text() == "words"


@pytest.mark.parametrize("content", [None, "{", "[]", '{"attributes": {}}', '{"zarr_format": 3, "node_type": "group"}'])
def test_open_refuses_what_is_no_group_of_maps(tmp_path, content):
    if content is not None:
        (tmp_path / "zarr.json").write_text(content)
    with pytest.raises(UserError, match="holds no maps"):
        MapStore.open(tmp_path)


def test_writing_is_strict(tmp_path):
    store = MapStore.create(tmp_path / "maps.zarr", MANIFEST, **SIZES)
    good = batch_of(store, 0)
    with pytest.raises(ValueError, match="needed are"):
        store.write(0, {"cam": good["cam"]})
    with pytest.raises(ValueError, match=r"got shape \(4, 2, 5, 3\) for 'cam'"):
        store.write(0, {**good, "cam": good["cam"].swapaxes(2, 3)})
    with pytest.raises(ValueError, match="do not fit"):
        store.write(0, {**good, "flags": good["flags"] + 256})
    with pytest.raises(ValueError, match="there are 6"):
        store.write(6, good)
    with pytest.raises(ValueError, match="6 of 6 batches are missing"):
        store.finish()
    assert store.missing == (0, 1, 2, 3, 4, 5)
    store.write(0, {**good, "cam": np.full((4, 2, 3, 5), 1e6, np.float32)})  # beyond float16
    store.flush()
    assert np.isposinf(store.read("cam", slice(0, 4))).all()
    with pytest.raises(ValueError, match="reading only"):
        MapStore.open(store.path).write(1, good)


@pytest.mark.parametrize(
    "wrong",
    [{"count": 0}, {"methods": {}}, {"methods": {"logits": (2, 2)}}, {"methods": {"../up": (2, 2)}},
     {"methods": {"cam": (3, 4, 4)}}],
)  # fmt: skip
def test_sizes_that_make_no_group(tmp_path, wrong):
    with pytest.raises(ValueError, match="got"):
        MapStore.create(tmp_path / "maps.zarr", MANIFEST, **{**SIZES, **wrong})
    assert not (tmp_path / "maps.zarr").exists()


def test_flags_in_words():
    assert describe_flags(0) == ()
    assert describe_flags(1 | 8) == ("map is negative everywhere before ReLU", "softmax is saturated")
    assert describe_flags(64) == ("unknown flag 64",)


def test_further_arrays_and_wider_maps(tmp_path):
    sizes = {**SIZES, "dtype": "float32", "extra": {"against": ("int32", (2,)), "lime_fit": ("float32", (4, 4))}}
    store = MapStore.create(tmp_path / "maps.zarr", MANIFEST, **sizes)
    assert store.arrays == ("cam", "occlusion", "logits", "targets", "scores", "against", "lime_fit", "flags")
    assert {name: store.read(name, [0]).dtype.name for name in ("cam", "against", "lime_fit")} == {
        "cam": "float32", "against": "int32", "lime_fit": "float32"
    }  # fmt: skip
    assert (store.read("against") == -1).all()
    again = MapStore.resume(store.path, MANIFEST, **sizes)
    assert again.shapes["lime_fit"] == (22, 4, 4)
    with pytest.raises(UserError, match=r"layout.dtype: \"float32\" -> nothing"):
        MapStore.resume(store.path, MANIFEST, **{**sizes, "dtype": "float16"})
    for wrong in ({"dtype": "int8"}, {"extra": {"cam": ("int32", (2,))}}, {"extra": {"more": ("int64", (2,))}}):
        with pytest.raises(ValueError, match="got"):
            MapStore.create(tmp_path / "other.zarr", MANIFEST, **{**SIZES, **wrong})
