"""Streams of batches: many epochs, any number of processes, resumed after any batch."""

import json
import os
import sys
import threading

import jax
import numpy as np
import pytest
from commands import free_port, joined, write_pictures
from hypothesis import given, settings
from hypothesis import strategies as st
from test_folder import fails

from jaxcam.data.folder import load_folder
from jaxcam.data.loader import batches
from jaxcam.data.stream import Stream, batch_rows, on_devices, own_part
from jaxcam.preprocessing import Preprocessing

SETTINGS = Preprocessing(size=(6, 8))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Thirteen pictures, the last one cut off in the middle."""
    return load_folder(write_pictures(tmp_path_factory.mktemp("stream") / "set", train=4, valid=1) / "Train")


def stream(rows, **options):
    return Stream(**{"images": rows, "preprocessing": SETTINGS, "batch_size": 4, "seed": 3} | options)


def same(one, other):
    for key in ("images", "labels", "index", "mask"):
        np.testing.assert_array_equal(getattr(one, key), getattr(other, key))
    return one.errors == other.errors


def test_every_epoch_holds_every_picture_once(images):
    got = list(stream(images).batches(epochs=3))
    assert len(got) == 3 * 4
    rows = np.concatenate([batch.index for batch, _ in got]).reshape(3, 16)
    for epoch in rows:
        np.testing.assert_array_equal(np.sort(epoch), [-1] * 3 + list(range(13)))
        assert (epoch[13:] == -1).all()
    assert len({tuple(epoch) for epoch in rows}) == 3
    for batch, _ in got:
        (expected,) = batches(images, SETTINGS, batch_size=4, order=batch.index)
        assert same(batch, expected)
    plain = [batch.index for batch, _ in stream(images, shuffle=False).batches(epochs=1)]
    np.testing.assert_array_equal(np.concatenate(plain)[:13], np.arange(13))


def test_the_seed_decides(images):
    orders = [np.stack([s.global_rows(step) for step in range(8)]) for s in (stream(images, seed=k) for k in (3, 3, 4))]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0] != orders[2]).any()


@pytest.mark.parametrize("cut", range(9))
def test_resumed_after_any_batch(images, cut):
    whole = list(stream(images).batches(epochs=2))
    state = json.loads(json.dumps(whole[cut - 1][1])) if cut else None
    rest = list(stream(images).batches(state, epochs=2))
    assert len(rest) == 8 - cut
    assert all(same(a, b) and s == t for (a, s), (b, t) in zip(whole[cut:], rest, strict=True))


def test_states_are_counted_and_checked(images):
    states = [state for _, state in stream(images).batches(epochs=2)]
    assert [(state["epoch"], state["batch"]) for state in states] == [
        (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0),
    ]  # fmt: skip
    assert states[3] == stream(images).state(0, 4) == stream(images).state(1, 0)
    for options in ({"seed": 4}, {"batch_size": 2}, {"shuffle": False}, {"images": images.subset(range(12))}):
        other = stream(images, **options)
        assert "the loader's state belongs to another stream (" in fails(lambda s=other: next(s.batches(states[0])))
    assert list(stream(images).batches(states[-1], epochs=2)) == []


def test_it_goes_on_for_ever_and_stops_when_told(images):
    before = threading.active_count()
    endless = stream(images).batches(threads=2, ahead=3)
    states = [next(endless)[1] for _ in range(30)]
    assert (states[-1]["epoch"], states[-1]["batch"]) == (7, 2)
    endless.close()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(60)
    assert threading.active_count() <= before


@given(st.integers(1, 50), st.integers(1, 6), st.sampled_from([1, 2, 3, 4]), st.integers(0, 2**31), st.integers(0, 40))
@settings(max_examples=50, deadline=None)
def test_the_parts_of_processes_make_the_global_batch(count, share, processes, seed, step):
    whole = batch_rows(count, step, batch_size=share * processes, seed=seed)
    parts = [own_part(whole, index, processes) for index in range(processes)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert {len(part) for part in parts} == {share}
    each = -(-count // (share * processes))
    epoch = [batch_rows(count, k, batch_size=share * processes, seed=seed) for k in range(each)]
    np.testing.assert_array_equal(np.sort(np.concatenate(epoch))[-count:], np.arange(count))


def test_wrong_arguments(images):
    for options in ({"batch_size": 0}, {"process_index": 2, "process_count": 2}, {"process_index": -1}):
        with pytest.raises(ValueError, match="processes are counted from 0"):
            stream(images, **options)
    with pytest.raises(ValueError, match="batch_size 4 does not divide over 3 processes"):
        stream(images, process_count=3)
    with pytest.raises(ValueError, match="is empty"):
        stream(images.subset([]))


def test_batches_on_the_devices(images):
    assert jax.device_count() == 2
    batch, _ = next(stream(images).batches())
    pixels, labels, mask = on_devices(batch)
    assert len(pixels.sharding.device_set) == 2
    for placed, host in zip((pixels, labels, mask), (batch.images, batch.labels, batch.mask), strict=True):
        np.testing.assert_array_equal(np.asarray(placed), host)


PROGRAM = """
import json, sys
import numpy as np
import jax
index, count, port, folder, state, out = sys.argv[1:]
index, count = int(index), int(count)
if count > 1:
    jax.distributed.initialize(f"localhost:{port}", count, index)
from jaxcam.data import load_folder
from jaxcam.data.stream import Stream, batch_rows, on_devices, own_part
from jaxcam.preprocessing import Preprocessing
assert (jax.process_index(), jax.process_count()) == (index, count)
stream = Stream(images=load_folder(folder), preprocessing=Preprocessing(size=(6, 8)), batch_size=4, seed=3,
                process_index=index, process_count=count)
found = {}
for number, (batch, after) in enumerate(stream.batches(json.loads(state), epochs=3)):
    placed = on_devices(batch)
    assert placed[0].shape == (4, 6, 8, 3)
    for name, array in zip(("images", "labels", "mask"), placed):
        parts = {part.index[0].start or 0: np.asarray(part.data) for part in array.addressable_shards}
        found[f"{name}{number}"] = np.concatenate([parts[start] for start in sorted(parts)])
        found[f"{name}{number}_start"] = min(parts)
    found[f"rows{number}"] = batch.index
    if number == 5:
        json.dump(after, open(f"{out}.json", "w"))
np.savez(out, **found)
"""


def run(folder, out, count, state):
    port = free_port()
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2" if count == 1 else "1"}
    program = (sys.executable, "-c", PROGRAM)
    commands = [(*program, index, count, port, folder, state, f"{out}{index}.npz") for index in range(count)]
    for process in joined(commands, env=environment):
        assert process.returncode == 0, process.stderr
    return [dict(np.load(f"{out}{index}.npz")) for index in range(count)]


def test_two_processes_give_the_batches_of_one_before_and_after_a_resume(images, tmp_path):
    (one,) = run(images.root, tmp_path / "one", 1, "null")
    two = run(images.root, tmp_path / "two", 2, "null")
    states = [json.loads((tmp_path / f"{name}.npz.json").read_text()) for name in ("one0", "two0", "two1")]
    assert states[0] == states[1] == states[2]
    later = run(images.root, tmp_path / "later", 2, json.dumps(states[0]))  # begun by one process, continued by two
    assert [part["images0_start"] for part in two] == [0, 2]
    for key in (key for key in one if not key.endswith("_start")):
        np.testing.assert_array_equal(np.concatenate([part[key] for part in two]), one[key])
    for number in range(6, 12):
        for name in ("images", "labels", "mask", "rows"):
            parts = np.concatenate([part[f"{name}{number - 6}"] for part in later])
            np.testing.assert_array_equal(parts, one[f"{name}{number}"])
    assert "rows6" not in later[0]
