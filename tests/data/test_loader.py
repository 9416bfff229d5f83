"""The loader: order, padding, masks, resuming, errors, and that nothing hangs."""

import os
import signal
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest
from conftest import shared
from PIL import Image

from jaxcam.data.decode import decode
from jaxcam.data.folder import ImageSet, load_folder, load_split
from jaxcam.data.loader import Batch, DecodeReport, batches, epoch_order, prefetch_to_device
from jaxcam.preprocessing import Preprocessing

SETTINGS = Preprocessing(size=(5, 7))
COUNT = 11
BROKEN = 4


@pytest.fixture
def images(tmp_path):
    """Eleven pictures in two classes; row 4 has a good header but lacks its second half."""
    for number in range(COUNT):
        path = tmp_path / "ab"[number // 6] / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20, 3), np.uint8)
        Image.fromarray(pixels).save(path)
        if number == BROKEN:
            path.write_bytes(path.read_bytes()[:600])
    return load_folder(tmp_path)


def same(one: Batch, other: Batch):
    for name in ("images", "labels", "index", "mask"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    return one.errors == other.errors


def wait_for_threads(count):
    end = time.monotonic() + 60
    while threading.active_count() > count and time.monotonic() < end:
        time.sleep(0.01)
    return threading.active_count()


def test_batches_hold_every_row_once(images):
    got = list(batches(images, SETTINGS, batch_size=4))
    assert [batch.images.shape for batch in got] == [(4, 5, 7, 3)] * 3
    assert {batch.images.dtype for batch in got} == {np.dtype(np.uint8)}
    np.testing.assert_array_equal(np.concatenate([batch.index for batch in got]), [*range(COUNT), -1])
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in got]), [0] * 6 + [1] * 5 + [-1])
    expected_mask = [row != BROKEN for row in range(COUNT)] + [False]
    np.testing.assert_array_equal(np.concatenate([batch.mask for batch in got]), expected_mask)
    for batch in got:
        for row, pixels, valid in zip(batch.index, batch.images, batch.mask, strict=True):
            expected = decode(images.file(row), SETTINGS) if valid else np.zeros((5, 7, 3), np.uint8)
            np.testing.assert_array_equal(pixels, expected)
    assert [row for batch in got for row, _ in batch.errors] == [BROKEN]
    assert "truncated" in got[1].errors[0][1]


def test_order_with_padding_and_repeats(images):
    (batch,) = batches(images, SETTINGS, batch_size=5, order=[9, -1, 0, 9])
    np.testing.assert_array_equal(batch.index, [9, -1, 0, 9, -1])
    np.testing.assert_array_equal(batch.mask, [True, False, True, True, False])
    np.testing.assert_array_equal(batch.images[0], batch.images[3])


def test_two_passes_are_equal_whatever_the_threads(images):
    order = epoch_order(COUNT, seed=3, epoch=1)
    first = list(batches(images, SETTINGS, batch_size=3, order=order, threads=1, ahead=1))
    second = list(batches(images, SETTINGS, batch_size=3, order=order, threads=7, ahead=5))
    assert len(first) == 4
    assert all(same(*pair) for pair in zip(first, second, strict=True))


@pytest.mark.parametrize("start", range(5))
def test_resuming_in_the_middle(images, start):
    order = epoch_order(COUNT, seed=0, epoch=0)
    whole = list(batches(images, SETTINGS, batch_size=3, order=order))
    rest = list(batches(images, SETTINGS, batch_size=3, order=order, start=start))
    assert len(rest) == 4 - start
    assert all(same(*pair) for pair in zip(whole[start:], rest, strict=True))


def test_empty(images):
    assert list(batches(images, SETTINGS, batch_size=3, order=[])) == []
    assert list(batches(images.subset([]), SETTINGS, batch_size=3)) == []


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"batch_size": 2, "threads": 0},
        {"batch_size": 2, "ahead": 0},
        {"batch_size": 2, "order": [COUNT]},
        {"batch_size": 2, "order": [-2]},
        {"batch_size": 2, "start": 7},
        {"batch_size": 2, "start": -1},
    ],
)
def test_wrong_arguments_fail_before_the_first_batch(images, options):
    with pytest.raises(ValueError, match="must"):
        batches(images, SETTINGS, **options)


def test_a_file_that_goes_away(images):
    images.file(0).unlink()
    (batch,) = batches(images, SETTINGS, batch_size=2, order=[0, 1])
    assert batch.errors == ((0, "No such file or directory"),)
    np.testing.assert_array_equal(batch.mask, [False, True])
    np.testing.assert_array_equal(batch.labels, [0, 0])


def test_decoding_ahead_is_bounded(images, monkeypatch):
    """Rows are looked up when they are decoded, so looking tells how far the threads have got."""
    seen = []
    monkeypatch.setattr(ImageSet, "file", lambda self, row: seen.append(row) or self.root / self.paths[row])
    many = batches(images, SETTINGS, batch_size=2, order=np.arange(100) % COUNT, threads=2, ahead=3)
    next(many)
    time.sleep(0.3)
    assert len(seen) <= 2 + 3 * 2 + 1
    many.close()


def test_stopping_early_ends_the_threads(images):
    before = threading.active_count()
    loader = batches(images, SETTINGS, batch_size=2, order=np.arange(1000) % COUNT, threads=4)
    next(loader)
    assert threading.active_count() > before
    loader.close()
    assert wait_for_threads(before) <= before  # fewer, where threads of an earlier test have ended meanwhile
    for _ in prefetch_to_device(batches(images, SETTINGS, batch_size=2), lambda batch: jax.device_put(batch.images)):
        break
    assert wait_for_threads(before) <= before  # fewer, where threads of an earlier test have ended meanwhile


PROGRAM = """
import signal, sys, numpy as np
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from jaxcam.data import load_folder
from jaxcam.data.loader import batches
from jaxcam.preprocessing import Preprocessing
images = load_folder(sys.argv[1])
loader = batches(images, Preprocessing(size=(64, 64)), batch_size=4, order=np.arange(10**7) % len(images), threads=4)
for number, batch in enumerate(loader):
    if number == 0:
        print("running", flush=True)
    if sys.argv[2] == "exit":
        sys.exit(3)
"""


@pytest.mark.parametrize(("how", "status"), [("exit", 3), ("interrupt", -signal.SIGINT)])
def test_the_process_ends_at_once(images, how, status):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", PROGRAM, str(images.root), how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout.readline() == "running\n"
        if how == "interrupt":
            process.send_signal(signal.SIGINT)
        # The rest of the order would take hours; this only says that it did not wait for it.
        _, messages = process.communicate(timeout=300)
        assert process.returncode == status, messages
        assert messages.count("Traceback") == (1 if how == "interrupt" else 0)
    finally:
        process.kill()
        process.communicate()


def test_epoch_order_depends_on_seed_and_epoch_only():
    orders = {(seed, epoch): epoch_order(50, seed=seed, epoch=epoch) for seed in range(3) for epoch in range(3)}
    for (seed, epoch), order in orders.items():
        np.testing.assert_array_equal(np.sort(order), np.arange(50))
        np.testing.assert_array_equal(order, epoch_order(50, seed=seed, epoch=epoch))
    assert len({tuple(order) for order in orders.values()}) == 9
    # Pinned: a run that was started with another numpy must go on with the same order.
    np.testing.assert_array_equal(epoch_order(8, seed=1, epoch=2), [5, 6, 3, 2, 1, 0, 4, 7])
    assert epoch_order(0, seed=0, epoch=0).shape == (0,)


def test_prefetch_keeps_depth_items_placed():
    placed = []
    stream = prefetch_to_device(iter(range(6)), lambda item: placed.append(item) or item * 10, depth=2)
    assert placed == []
    assert next(stream) == 0
    assert placed == [0, 1, 2]
    assert next(stream) == 10
    assert placed == [0, 1, 2, 3]
    assert list(stream) == [20, 30, 40, 50]
    assert list(prefetch_to_device([1], str, depth=5)) == ["1"]
    with pytest.raises(ValueError, match="depth"):
        prefetch_to_device([], str, depth=0)


def test_prefetch_closes_its_source_and_passes_errors_on():
    closed = []

    def source():
        try:
            yield from (1, 2, 0)
        finally:
            closed.append(True)

    stream = prefetch_to_device(source(), lambda item: item)
    next(stream)
    stream.close()
    assert closed == [True]
    with pytest.raises(ZeroDivisionError):
        list(prefetch_to_device(source(), lambda item: 1 // item, depth=1))
    assert closed == [True, True]


def test_prefetch_to_a_device(images):
    on_device = prefetch_to_device(batches(images, SETTINGS, batch_size=4), lambda b: jax.device_put(b.images))
    for placed, batch in zip(on_device, batches(images, SETTINGS, batch_size=4), strict=True):
        assert isinstance(placed, jax.Array)
        np.testing.assert_array_equal(np.asarray(placed), batch.images)


def test_report(images):
    report = DecodeReport(images)
    assert len(list(report.watch(batches(images, SETTINGS, batch_size=4)))) == 3
    reason = report.errors[BROKEN]
    assert report.lines() == [f"skipped 1 of {COUNT}:", f"  a/04.png: {reason}"]
    for row in (0, 9):
        images.file(row).write_bytes(b"gone bad")
    list(report.watch(batches(images, SETTINGS, batch_size=4)))  # a second epoch counts no image twice
    assert report.lines(limit=2) == [
        f"skipped 3 of {COUNT}:",
        "  a/00.png: no JPEG, PNG, WebP, BMP, GIF or TIFF image",
        f"  a/04.png: {reason}",
        "  and 1 more",
    ]
    assert DecodeReport(images).lines() == []


def test_real_pictures():
    images = load_split(shared() / "cats-dogs-small", "valid")
    settings = Preprocessing(size=(96, 96))
    report = DecodeReport(images)
    got = list(report.watch(batches(images, settings, batch_size=50)))
    assert report.lines() == []
    assert sum(int(batch.mask.sum()) for batch in got) == 120
    with Image.open(images.file(119)) as image:
        expected = np.asarray(image.convert("RGB").resize((96, 96), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(got[2].images[19], expected)
