"""Progress of long work: a bar on a terminal, plain lines elsewhere, nothing when asked to be quiet."""

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


@dataclass(frozen=True)
class Progress:
    """Where messages go; `quiet` silences everything."""

    quiet: bool = False
    seconds_between_lines: float = 10.0

    def say(self, line: str) -> None:
        """One line that stays, written to stderr above any bar."""
        if not self.quiet:
            tqdm.write(line, file=sys.stderr)

    def over(self, items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
        """Iterate over `items` and show how far it got; without a terminal a line now and then, with an estimate."""
        if self.quiet:
            yield from items
        elif sys.stderr.isatty():
            yield from tqdm(items, total=total, desc=what, leave=False, file=sys.stderr)
        else:
            started = last = time.monotonic()
            for done, item in enumerate(items, start=1):
                yield item
                now = time.monotonic()
                if now - last > self.seconds_between_lines:
                    left = (now - started) / done * (total - done)
                    self.say(f"{what}: {done}/{total}, about {left:.0f} s left")
                    last = now
