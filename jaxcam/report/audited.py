"""What an audit found, read with suspicion from `RUN/audit.json`: tests that are not known are shown all the same."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE, FOLDER = "audit.json", "audit"
LAYERS = {"data": "data", "model": "model", "confirm": "confirmation"}
STATUS = {
    "red": "strong sign", "amber": "weak sign", "green": "no sign", "info": "not judged",
    "not_applicable": "did not apply",
}  # fmt: skip
ORDER = ("red", "amber", "green", "info")
VERDICTS = {
    "CONFIRMED": ("red", "The model was shown to lean on a shortcut."),
    "LIKELY SHORTCUT": ("red", "The model most likely leans on a shortcut."),
    "AT RISK": ("amber", "A shortcut is there; the model was not shown to use it."),
    "NO EVIDENCE": ("calm", "None of the tests that applied found a shortcut. That is not proof that there is none."),
}
"""colour of a verdict's banner, and what it says where the audit says nothing more"""


@dataclass(frozen=True)
class Meter:
    """A value with its interval and threshold as shares of a line's length."""

    low: float
    high: float
    value: float
    threshold: float | None
    ends: tuple[str, str]


@dataclass(frozen=True)
class Drawn:
    """Where a figure of a signal lies, and what it is."""

    name: str
    path: Path
    kind: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """One test of the audit, ready to be shown."""

    id: str
    name: str
    layer: str
    status: str
    value: float | None
    interval: tuple[float, float] | None
    threshold: float | None
    count: int
    sentence: str
    reason: str
    images: tuple[str, ...]
    details: tuple[tuple[str, str], ...]
    figures: tuple[Drawn, ...]
    advice: tuple[tuple[str, str], ...]
    """(text, command) pairs"""

    @property
    def status_words(self) -> str:
        """The status for those who cannot see its colour."""
        return STATUS.get(self.status, self.status)

    @property
    def meter(self) -> Meter | None:
        """The value on a line; None without a value."""
        if self.value is None:
            return None
        ends = [self.value, *(self.interval or ()), *(() if self.threshold is None else (self.threshold,))]
        low, high = min(0.0, *ends), max(ends)
        high = 1.0 if high <= 1 else high * 1.15
        low = -1.0 if -1 <= low < 0 else low * 1.15
        at = lambda value: (value - low) / (high - low)
        first, last = self.interval or (self.value, self.value)
        threshold = None if self.threshold is None else at(self.threshold)
        return Meter(at(first), at(last), at(self.value), threshold, (short(low), short(high)))


@dataclass(frozen=True)
class Audit:
    """An audit, ready to be shown."""

    word: str
    tone: str
    sentence: str
    findings: tuple[Finding, ...]
    """red and amber, worst first"""
    others: tuple[Finding, ...]
    """tests without a sign, and those that are not judged"""
    not_run: tuple[tuple[str, str, str], ...]
    """(id, name, reason)"""
    advice: tuple[tuple[str, str], ...]
    """(text, command) pairs that belong to no finding"""
    options: tuple[tuple[str, str], ...]
    thresholds: tuple[tuple[str, str], ...]
    """(id, what is known of its threshold)"""
    version: str
    name: str = ""
    """the set that was audited"""
    root: Path | None = None
    """and where its pictures lie"""
    train: Path | None = None
    """where the training pictures lie"""

    @property
    def all(self) -> tuple[Finding, ...]:
        """Every test that was made."""
        return (*self.findings, *self.others)


def read_audit(folder: Path, notes: list[str]) -> Audit | None:
    """The audit of a run; None, with a note where it is broken, where there is none."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        notes.append(f"{FILE} cannot be read ({error}); `jaxcam audit` writes it anew.")
        return None
    if not isinstance(values, dict) or not isinstance(values.get("signals"), list):
        notes.append(f"{FILE} holds no audit (it has no list of signals); `jaxcam audit` writes it anew.")
        return None
    word = text_of(values.get("verdict")).upper() or "NO VERDICT"
    tone, words = VERDICTS.get(word, ("calm", ""))
    advice = [(text_of(one.get("finding")), _pair(one)) for one in _dicts(values.get("advice"))]
    made = [_finding(one, folder / FOLDER, advice) for one in _dicts(values["signals"])]
    ranks = {text_of(id): rank for rank, id in enumerate(_list(values.get("findings")))}
    made.sort(key=lambda one: (ranks.get(one.id, len(ranks)), _order(one.status)))
    findings = tuple(one for one in made if one.id in ranks or one.status in ORDER[:2])
    others = tuple(one for one in made if one not in findings and one.status != "not_applicable")
    known = {one.id for one in (*findings, *others)}
    audited, train = (one if isinstance(one, dict) else {} for one in (values.get("audited"), values.get("train")))
    not_run = {one.id: (one.id, one.name, one.reason) for one in made if one.id not in known}
    for one in _dicts(values.get("not_run")):
        id = text_of(one.get("id"))
        not_run.setdefault(id, (id, text_of(one.get("name")), text_of(one.get("reason"))))
    return Audit(
        word=word,
        tone=tone,
        sentence=text_of(values.get("sentence")) or words,
        findings=findings,
        others=tuple(sorted(others, key=lambda one: _order(one.status))),
        not_run=tuple(not_run.values()),
        advice=tuple(pair for finding, pair in advice if finding not in known and any(pair)),
        options=tuple(flat(values.get("options"))),
        thresholds=tuple(_thresholds(values.get("thresholds"))),
        version=text_of(values.get("jaxcam")),
        name=text_of(audited.get("name")),
        root=Path(text_of(audited["root"])) if audited.get("root") else None,
        train=Path(text_of(train["root"])) if train.get("root") else None,
    )


def _finding(values: Mapping[str, Any], folder: Path, advice: list[tuple[str, tuple[str, str]]]) -> Finding:
    id = text_of(values.get("id")) or "?"
    interval = _list(values.get("interval"))
    ends = tuple(number_of(end) for end in interval)
    return Finding(
        id=id,
        name=text_of(values.get("name")),
        layer=LAYERS.get(text_of(values.get("layer")), text_of(values.get("layer"))),
        status=text_of(values.get("status")) or "info",
        value=number_of(values.get("value")),
        interval=(ends[0], ends[1]) if len(ends) == 2 and ends[0] is not None and ends[1] is not None else None,
        threshold=number_of(values.get("threshold")),
        count=int(number_of(values.get("n")) or 0),
        sentence=text_of(values.get("sentence")),
        reason=text_of(values.get("reason")),
        images=tuple(image for image in _list(values.get("images")) if isinstance(image, str)),
        details=tuple(flat(values.get("details"))),
        figures=tuple(_figures(values.get("figures"), folder)),
        advice=tuple(pair for finding, pair in advice if finding == id and any(pair)),
    )


def _figures(values: Any, folder: Path) -> Iterator[Drawn]:
    """The figures whose names are those of files in the audit's folder, and of nothing else."""
    for name, one in values.items() if isinstance(values, dict) else ():
        file = text_of(one.get("file")) if isinstance(one, dict) else ""
        if file and Path(file).name == file and not file.startswith("."):
            labels = tuple(text_of(label) for label in _list(one.get("labels")))
            yield Drawn(str(name), folder / file, text_of(one.get("kind")), labels)


def _thresholds(values: Any) -> Iterator[tuple[str, str]]:
    for id, one in values.items() if isinstance(values, dict) else ():
        if not isinstance(one, dict):
            yield id, text_of(one)
            continue
        sign = "from" if one.get("rising", True) else "down from"
        bounds = [(word, number_of(one.get(word))) for word in ("red", "amber")]
        said = ", ".join(f"{word} {sign} {short(bound)}" for word, bound in bounds if bound is not None)
        yield id, "; ".join(part for part in (said, text_of(one.get("provenance"))) if part)


def flat(values: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested JSON values as (name, text) lines; what says nothing is left out."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from flat(value, f"{prefix} \u203a {key}" if prefix else str(key))
    elif isinstance(values, list) and any(isinstance(value, dict | list) for value in values):
        for place, value in enumerate(values):
            yield from flat(value, f"{prefix} \u203a {place + 1}")
    elif values not in (None, "", [], {}):
        shown = values if isinstance(values, list) else [values]
        yield prefix.replace("_", " "), ", ".join(short(value) for value in shown)


def short(value: Any) -> str:
    """A JSON value in a few characters.

    >>> short(0.98333), short(3), short(True), short("a")
    ('0.983', '3', 'yes', 'a')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def text_of(value: Any) -> str:
    """A JSON value as text; nothing for what is none."""
    return value if isinstance(value, str) else "" if value is None else str(value)


def number_of(value: Any) -> float | None:
    """A JSON number as float; None for anything else, NaN and infinity too."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < float("inf") else None


def _pair(one: Mapping[str, Any]) -> tuple[str, str]:
    return text_of(one.get("text")), text_of(one.get("command"))


def _order(status: str) -> int:
    return ORDER.index(status) if status in ORDER else len(ORDER)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in _list(value) if isinstance(one, dict)]
