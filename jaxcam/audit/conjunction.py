"""A sign of use that is too weak alone counts where the data offer the very shortcut.

A model that reads a cue only in part loses only a part of its answers when the border or the look is exchanged, and
honest models lose as much on some sets: no bound on the model's side separates them. But there a single number or the
border tells the class too (D1 to D4 red), and on honest sets it does not. So model signals have a second, lower bound
in the table (`M2+D`), used only beside such a finding of the data layer.
"""

from collections.abc import Sequence
from dataclasses import replace

from jaxcam.audit.signals import Signal
from jaxcam.audit.thresholds import THRESHOLDS

BESIDE = {"M2": ("D1", "D2", "D3", "D4"), "M17": ("D1",)}
"""model signal -> findings of the data layer beside which its lower bound holds"""


def raised(signals: Sequence[Signal]) -> list[Signal]:
    """The signals, those of the model layer red that are so beside what the data layer found; nothing else changes.

    The whole 95 % interval must lie above zero, so that few pictures raise nothing. Applied twice it does as much as
    once.
    """
    offered = [signal.id for signal in signals if offers(signal)]
    return [_raised(signal, [id for id in BESIDE.get(signal.id, ()) if id in offered]) for signal in signals]


def offers(signal: Signal) -> bool:
    """Whether a finding of the data layer says that the pictures themselves give the class away.

    Properties of the files do not, for no network sees them; and copies do not, for they are no cue.
    """
    if signal.layer != "data" or signal.status != "red":
        return False
    if signal.id == "D1" and "properties" in signal.details:
        return any(one["of"] == "pixels" and one["status"] == "red" for one in signal.details["properties"])
    if signal.id == "D4":
        return bool(signal.details.get("scenes", {}).get("scene_is_label"))
    return True


def _raised(signal: Signal, beside: list[str]) -> Signal:
    bounds = THRESHOLDS.get(f"{signal.id}+D")
    if not beside or bounds is None or signal.value is None or signal.status not in ("green", "amber"):
        return signal
    status, bound = bounds.judge(signal.value)
    if status != "red" or (signal.interval is not None and signal.interval[0] <= 0):
        return signal
    words = f"{signal.sentence.rstrip('.')}; beside such a cue in the data ({', '.join(beside)}) that counts."
    return replace(
        signal, status="red", threshold=bound, sentence=words, details={**signal.details, "beside": list(beside)}
    )
