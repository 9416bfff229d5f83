"""A program over a stream of batches: order, waiting, failures."""

import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam.maps.stream import Timing, _busy, compiled_ahead, stream


@pytest.fixture(scope="module")
def double():
    return jax.jit(lambda values: {"twice": 2 * values})


def test_results_are_written_in_order_and_one_at_a_time(double):
    written, busy = [], threading.Lock()

    def write(item, arrays):
        assert busy.acquire(blocking=False)
        time.sleep(0.002 * (item % 3))
        written.append((item, float(arrays["twice"])))
        assert isinstance(arrays["twice"], np.ndarray)
        busy.release()

    timing = stream(lambda item: double(jnp.asarray(item)), range(20), write)
    assert written == [(item, 2.0 * item) for item in range(20)]
    assert timing.batches == 20
    assert 0 <= timing.waited <= timing.seconds


def test_no_more_than_a_few_batches_are_under_way(double):
    ahead, given, written = [], 0, 0

    def source():
        nonlocal given
        for item in range(12):
            given += 1
            ahead.append(given - written)
            yield item

    def write(item, arrays):
        nonlocal written
        time.sleep(0.01)
        written += 1

    stream(lambda item: double(jnp.asarray(item)), source(), write, depth=2)
    assert max(ahead) <= 4  # two under way, one in hand, one being made


def test_a_device_that_waits_is_told(double):
    def slow():
        for item in range(4):
            time.sleep(0.2)
            yield item

    double(jnp.asarray(0))  # compiled before it is measured
    timing = stream(lambda item: double(jnp.asarray(item)), slow(), lambda item, arrays: None)
    assert timing.waited_share > 0.5
    assert _busy([0, 1, 7, 8], [3, 5, 8, 9]) == (9, 2)


@pytest.mark.parametrize("where", ["source", "start", "write"])
def test_the_first_failure_ends_the_stream(double, where):
    def source():
        for item in range(9):
            if where == "source" and item == 3:
                raise OSError("gone")
            yield item

    def start(item):
        if where == "start" and item == 3:
            raise OSError("gone")
        return double(jnp.asarray(item))

    written = []

    def write(item, arrays):
        if where == "write" and item == 3:
            raise OSError("gone")
        written.append(item)

    with pytest.raises(OSError, match="gone"):
        stream(start, source(), write)
    assert written[:3] == [0, 1, 2]


def test_nothing_to_do():
    timing = stream(lambda item: {}, [], lambda item, arrays: None)
    assert timing == Timing()
    assert (timing.waited_share, timing.rate, timing.words()) == (0, 0, "nothing to compute, everything was there")


def test_a_program_compiled_ahead_takes_what_it_was_compiled_for(double):
    program, seconds = compiled_ahead(double, np.zeros(3, np.float32))
    assert seconds > 0
    np.testing.assert_array_equal(program(np.ones(3, np.float32))["twice"], np.full(3, 2))
    with pytest.raises(TypeError):
        program(np.ones(4, np.float32))
