"""Audits in Python and in notebooks: one of a classifier, several beside each other, as text and as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxcam.audit.compare import comparison, comparison_rows
from jaxcam.audit.output import Audit
from jaxcam.audit.words import row
from jaxcam.errors import UserError
from jaxcam.progress import Progress

if TYPE_CHECKING:
    from jaxcam.classifier import Classifier

HEAD = ("test", "", "value", "95 % interval", "threshold", "n", "status")
COLOURS = {
    "red": "#c0392b", "amber": "#b9770e", "green": "#1e8449",
    "LIKELY SHORTCUT": "#c0392b", "CONFIRMED": "#c0392b", "AT RISK": "#b9770e",
}  # fmt: skip
"""of statuses and verdicts; readable on light and on dark paper"""


def audit_of(
    classifier: "Classifier",
    data: str | Path | None,
    *,
    only: Sequence[str],
    progress: Progress | None,
    options: Mapping[str, Any],
) -> Audit:
    """Audit the run that a classifier was loaded from; see `Classifier.audit`."""
    from jaxcam.audit.run import LAYERS, audit_run
    from jaxcam.audit.subject import AuditOptions

    folder = classifier.folder
    if folder is None or folder.name != "classifier":
        raise UserError("this classifier was not loaded from a run; jaxcam.load(RUN).audit() audits a run's")
    layers = (only,) if isinstance(only, str) else tuple(only)
    known = {field.name for field in fields(AuditOptions)}
    asked = (("layer", layers, set(LAYERS)), ("option", tuple(options), known))
    for kind, words, allowed in asked:
        for word in words:
            if word not in allowed:
                raise UserError(f"unknown {kind} {word!r} of an audit; there are: {', '.join(sorted(allowed))}")
    given: dict[str, Any] = {
        name: as_paths(value) if name == "counter" else as_path(name, value) for name, value in options.items()
    }
    chosen: Any = layers
    return audit_run(folder.parent, pictures=data, options=AuditOptions(**given), only=chosen, progress=progress)


def as_paths(value: Any) -> tuple[Path, ...]:
    """One folder or several as a tuple of paths."""
    return (Path(value),) if isinstance(value, str | Path) else tuple(map(Path, value))


def as_path(name: str, value: Any) -> Any:
    """The folders and files among the options as paths."""
    return Path(value) if name in ("background", "masks", "boxes", "groups") and isinstance(value, str) else value


@dataclass(frozen=True)
class Comparison:
    """Audits of several runs beside each other; `print` tells it, a notebook shows it as a table."""

    runs: tuple[Path, ...]

    def __str__(self) -> str:
        return comparison(self.runs)

    def _repr_html_(self) -> str:
        (head, *rows), note = comparison_rows(self.runs)
        return table(head, rows) + (f"<p>{escape(note)}</p>" if note else "")


def compare(*runs: str | Path) -> Comparison:
    """The audits of runs beside each other, before and after a repair: `jaxcam audit --compare`.

    Raises `UserError` for a run that was not audited.
    """
    found = Comparison(tuple(Path(run) for run in runs))
    if not runs:
        raise UserError("no runs to compare; give the folders of runs that were audited")
    str(found)  # what cannot be read is told here, not when it is shown
    return found


def audit_html(audit: Mapping[str, Any]) -> str:
    """What `audit.json` says as HTML: the verdict, the findings, what to do; the other tests behind a click."""
    signals = {signal["id"]: signal for signal in audit["signals"]}
    found = [signals[id] for id in audit["findings"] if id in signals]
    rest = [s for s in audit["signals"] if s["id"] not in audit["findings"] and s["status"] in ("green", "info")]
    parts = [f"<h4>{coloured(audit['verdict'])}</h4><p>{escape(audit['sentence'])}</p>"]
    if found:
        parts.append(table(HEAD, [row(signal) for signal in found]))
    for one in audit["advice"]:
        text = f"{escape(one['finding'])}: {escape(one['text'])}"
        parts.append(f"<p>{text}<br><code>{escape(one['command'])}</code></p>")
    told = [row(signal) for signal in rest if signal["value"] is not None]
    if told:
        parts.append(folded(f"{len(told)} other tests", table(HEAD, told)))
    missing = [one for one in audit["signals"] if one["status"] == "not_applicable"]
    if missing:
        lines = [[one["id"], one["name"], one["reason"]] for one in missing]
        parts.append(folded(f"{len(missing)} tests did not apply", table(("test", "", "why"), lines)))
    return "\n".join(parts)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table; words are escaped, and the colours of statuses are their own.

    >>> table(["a"], [["<b>"], ["0.9 red"]]).count("&lt;b&gt;")
    1
    """
    top = "".join(f"<th style='text-align:left'>{escape(one)}</th>" for one in head)
    lines = ["".join(f"<td style='text-align:left'>{coloured(one)}</td>" for one in cells) for cells in rows]
    return f"<table><tr>{top}</tr>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def coloured(text: str) -> str:
    """Escaped words, in the colour of the status or verdict that they end with."""
    end = text if text in COLOURS else text.rpartition(" ")[2]
    return f"<span style='color:{COLOURS[end]}'>{escape(text)}</span>" if end in COLOURS else escape(text)


def folded(title: str, inside: str) -> str:
    """Something behind a click."""
    return f"<details><summary>{escape(title)}</summary>{inside}</details>"
