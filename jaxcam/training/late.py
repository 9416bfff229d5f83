"""Reading the device's numbers late, so that the host never waits for the step it has just begun."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import jax

LAG = 2
"""steps that may be under way unread; it also bounds the batches that wait on the device"""

Item = TypeVar("Item")


class LateLosses:
    """Takes the loss of each step as it is begun, and reads it when the step is done, `LAG` steps later at most.

    `fail(number, loss)` is called for the first loss that is NaN or infinite; it raises.
    """

    def __init__(self, fail: Callable[[int, float], None], lag: int = LAG):
        self._fail, self._lag = fail, lag
        self._pending: deque[tuple[int, jax.Array]] = deque()

    def add(self, number: int, loss: jax.Array) -> None:
        """Note the loss of step `number`, and read what is there."""
        loss.copy_to_host_async()
        self._pending.append((number, loss))
        while self._pending and (len(self._pending) > self._lag or self._pending[0][1].is_ready()):  # type: ignore[attr-defined]
            self._read()

    def finish(self) -> None:
        """Wait for the steps that are under way."""
        while self._pending:
            self._read()

    def _read(self) -> None:
        number, loss = self._pending.popleft()
        if not math.isfinite(value := float(loss)):
            self._fail(number, value)


class Waited:
    """Counts the seconds that the host waits for the next item."""

    def __init__(self):
        self.seconds = 0.0

    def over(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same items."""
        source = iter(items)
        while True:
            started = time.monotonic()
            try:
                item = next(source)
            except StopIteration:
                return
            finally:
                self.seconds += time.monotonic() - started
            yield item
