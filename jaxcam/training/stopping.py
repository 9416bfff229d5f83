"""The best epoch of a phase so far, and whether to go on."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxcam.config import Phase


class Best(NamedTuple):
    """The best epoch of a phase so far by `phase.monitor`; epoch 0: there was none whose number is finite."""

    epoch: int = 0
    value: float = 0.0

    def after(self, phase: Phase, record: Mapping[str, Any]) -> "Best":
        """The best epoch when the one of `record` is done; of equals the first."""
        value = float(record[phase.monitor])
        if not math.isfinite(value):
            return self
        sign = 1 if phase.monitor == "valid_loss" else -1
        better = self.epoch == 0 or sign * value < sign * self.value
        return Best(int(record["epoch"]), value) if better else self

    def stops(self, phase: Phase, epoch: int) -> bool:
        """Whether the phase ends early after `epoch` epochs (Keras' patience)."""
        return bool(phase.early_stopping) and epoch - self.epoch >= phase.early_stopping


def outcomes(history: Iterable[Mapping[str, Any]], phases: Sequence[Phase]) -> list[dict[str, Any]]:
    """What became of each phase: its epochs, whether it ended early, and the epoch whose parameters it handed on."""
    best, done = [Best() for _ in phases], [0 for _ in phases]
    for record in history:
        number = record["phase"]
        best[number], done[number] = best[number].after(phases[number], record), record["epoch"]
    found = []
    for number, phase in enumerate(phases):
        kept = best[number].epoch if phase.keep == "best" and best[number].epoch else done[number]
        facts: dict[str, Any] = {"phase": number, "epochs": done[number], "stopped_early": done[number] < phase.epochs}
        facts |= {"kept_epoch": kept, "monitor": phase.monitor, "best_epoch": best[number].epoch}
        found.append(facts | {"best_value": best[number].value if best[number].epoch else None})
    return found
