"""A compiled program over a stream of batches: inputs come in, results go out, and the device does not wait.

Four things happen at once: threads decode the batches to come, the device computes one, the results of the one before
are copied to the host, and those of the one before that are written. At most `DEPTH` batches are under way, so that
memory does not grow with the set.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import jax
import numpy as np

DEPTH = 3
"""batches between being started and being written"""

Tag = TypeVar("Tag")
Arrays = dict[str, jax.Array]


@dataclass(frozen=True)
class Timing:
    """How long a stream took, and how much of that the device had nothing to do."""

    images: int = 0
    batches: int = 0
    compile_seconds: float = 0.0
    """tracing and compiling, before the first batch"""
    seconds: float = 0.0
    """from the first batch's start to the last one's end on the device"""
    waited: float = 0.0
    """part of `seconds` in which no batch was being computed, because none had been started"""

    @property
    def waited_share(self) -> float:
        """Share of the time that the device waited; 0 where nothing was computed."""
        return self.waited / self.seconds if self.seconds else 0.0

    @property
    def rate(self) -> float:
        """Images a second, without compiling; 0 where nothing was computed."""
        return self.images / self.seconds if self.seconds else 0.0

    def words(self) -> str:
        """One line."""
        if not self.batches:
            return "nothing to compute, everything was there"
        return (
            f"{self.images} images in {self.seconds:.1f} s ({self.rate:.1f} images/s), compiled in "
            f"{self.compile_seconds:.1f} s, device waited {self.waited_share:.1%} of the time"
        )


def compiled_ahead(program: Any, *arguments: Any) -> tuple[Any, float]:
    """A jitted program compiled for the shapes, types and placement of `arguments`, and the seconds that took.

    The same program for the same arguments is compiled once in a process.
    """
    leaves, tree = jax.tree.flatten(jax.tree.map(_abstract, arguments))
    started = time.perf_counter()
    return _compiled(program, tree, tuple(leaves)), time.perf_counter() - started


@lru_cache(maxsize=16)
def _compiled(program: Any, tree: Any, leaves: tuple[jax.ShapeDtypeStruct, ...]) -> Any:
    return program.lower(*jax.tree.unflatten(tree, leaves)).compile()


def _abstract(value: Any) -> jax.ShapeDtypeStruct:
    sharding = value.sharding if isinstance(value, jax.Array) else None
    return jax.ShapeDtypeStruct(np.shape(value), value.dtype, sharding=sharding)


def stream(
    start: Callable[[Tag], Arrays],
    source: Iterable[Tag],
    write: Callable[[Tag, Mapping[str, np.ndarray]], None],
    *,
    depth: int = DEPTH,
) -> Timing:
    """`write(item, start(item))` for every item in order, with `start`'s results as arrays on the host.

    `start` begins a computation and returns without waiting for it, as a compiled program does; `write` runs in a
    thread of its own, one call after the other. The first exception of either ends the stream and is raised here.
    The `images` and `compile_seconds` of the timing are left to the caller.
    """
    begun: list[float] = []
    ended: list[float] = []
    under_way: deque[Future[None]] = deque()

    def finish(results: Arrays) -> None:
        jax.block_until_ready(results)
        ended.append(time.perf_counter())

    def deliver(item: Tag, results: Arrays, computed: Future[None]) -> None:
        computed.result()
        write(item, {name: np.asarray(value) for name, value in results.items()})

    # A thread that does nothing but wait, so that a slow disk does not look like a busy device.
    with ThreadPoolExecutor(1, "jaxcam-watch") as watcher, ThreadPoolExecutor(1, "jaxcam-write") as writer:
        for item in source:
            while len(under_way) >= depth or (under_way and under_way[0].done()):
                under_way.popleft().result()
            begun.append(time.perf_counter())
            results = start(item)
            for value in results.values():
                value.copy_to_host_async()
            under_way.append(writer.submit(deliver, item, results, watcher.submit(finish, results)))
            del results
        while under_way:
            under_way.popleft().result()
    seconds, waited = _busy(begun, ended)
    return Timing(batches=len(begun), seconds=seconds, waited=waited)


def _busy(begun: list[float], ended: list[float]) -> tuple[float, float]:
    """The length of the stream and how much of it lay between the end of a batch and the start of the next one."""
    if not begun:
        return 0.0, 0.0
    waited, free = 0.0, begun[0]
    for start, end in zip(begun, ended, strict=True):
        waited += max(0.0, start - free)
        free = max(free, end)
    return free - begun[0], waited
