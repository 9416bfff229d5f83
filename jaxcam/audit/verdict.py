"""What the signals amount to: one word, one sentence, and the findings, worst first.

The three layers answer different questions (is a shortcut there, does the model use it, is that confirmed), and the
word says how far the evidence reaches. There is no word for a clean model: tests can find a shortcut, not rule it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from jaxcam.audit.conjunction import raised
from jaxcam.audit.signals import Signal

Word = Literal["NO EVIDENCE", "AT RISK", "LIKELY SHORTCUT", "CONFIRMED"]
WORDS: tuple[Word, ...] = get_args(Word)
"""from harmless to worst"""
HEALTH = frozenset({"M9", "M10", "M11", "M12", "M14"})
"""what these find is wrong with the model, its input or its maps, but is no shortcut"""
WEAK = frozenset({"C1"})
"""a sign that counts only beside others: maps may mislead in both directions"""
LAYERS = {"confirm": 0, "model": 1, "data": 2}
FIRST_WORDS = frozenset(
    ("A", "Each", "Every", "Hiding", "In", "No", "Objects", "On", "Pictures", "Shown", "The", "With")
)
"""how sentences begin that are no names"""
SPELLED = 3
"""findings that the verdict's sentence tells"""
STATUSES = {"red": 0, "amber": 1}


@dataclass(frozen=True)
class Verdict:
    """The answer of the audit."""

    word: Word
    sentence: str
    findings: tuple[str, ...]
    """ids of the red and amber signals, worst first"""


def verdict(signals: Sequence[Signal]) -> Verdict:
    """The verdict that red and amber signals lead to.

    - CONFIRMED: a decisive confirmation is red (pictures with the cue broken are got wrong: counter-examples, objects
      before other classes' backgrounds, a group that is worse than guessing), whatever the model layer says; or the
      model layer and any confirmation are red.
    - LIKELY SHORTCUT: the model layer is red, or the object can be taken away, or a group falls, and nothing more.
    - AT RISK: a shortcut is in the data (red), or the model layer or a confirmation is amber.
    - NO EVIDENCE: none of these.
    """
    signals = raised(signals)
    findings = sorted((s for s in signals if s.status in STATUSES), key=importance)
    used = [s for s in findings if s.layer == "model" and s.id not in HEALTH]
    confirmed = [s for s in findings if s.layer == "confirm"]
    red = {"model": reds(used), "confirm": reds(confirmed), "data": reds([s for s in findings if s.layer == "data"])}
    decisive = [s for s in red["confirm"] if s.details.get("decisive")]
    word: Word = "NO EVIDENCE"
    if decisive or (red["model"] and red["confirm"]):
        word = "CONFIRMED"
    elif red["model"] or any(s.id not in WEAK for s in red["confirm"]):
        word = "LIKELY SHORTCUT"
    elif red["data"] or used or confirmed or reds(findings):
        word = "AT RISK"
    return Verdict(word, sentence(word, findings, signals), tuple(s.id for s in findings))


def reds(signals: Sequence[Signal]) -> list[Signal]:
    """The red ones."""
    return [s for s in signals if s.status == "red"]


def importance(signal: Signal) -> tuple[int, int, int, int, str]:
    """Red before amber, decisive tests first, then what the model does, then what the data allow."""
    return (
        STATUSES[signal.status],
        0 if signal.details.get("decisive") else 1,
        1 if signal.id in HEALTH else 0,
        LAYERS[signal.layer],
        signal.id,
    )


def sentence(word: Word, findings: Sequence[Signal], signals: Sequence[Signal]) -> str:
    """The verdict in one plain sentence: what was found first, in its own words."""
    strong = [s for s in findings if s.status == "red"] or list(findings)
    if word == "NO EVIDENCE":
        applied = [s for s in signals if s.status in ("red", "amber", "green")]
        missing = [s for s in signals if s.status == "not_applicable"]
        small = min((s.count for s in applied if s.count), default=0)
        beside = f"; {', '.join(s.id for s in findings)} in the data is worth a look" if findings else ""
        if not applied:
            return f"none of the {len(signals)} tests applied, so nothing is known{beside}."
        return (
            f"{len(applied)} tests found nothing (the smallest on {small} pictures) and {len(missing)} did not apply; "
            f"that is no proof that there is no shortcut{beside}."
        )
    told = "; ".join(clause(s) for s in strong[:SPELLED])
    if word == "AT RISK" and not any(s.layer != "data" for s in strong):
        return f"{told}; the model is not shown to use it."
    return f"{told}."


def clause(signal: Signal) -> str:
    """A signal's sentence as part of a longer one."""
    text = signal.sentence.strip().rstrip(".") or f"{signal.name} is {signal.status}"
    first = text.partition(" ")[0]
    return text[0].lower() + text[1:] if first in FIRST_WORDS else text
