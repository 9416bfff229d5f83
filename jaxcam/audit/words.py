"""An audit as text for a terminal."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from jaxcam.audit.output import Audit

WIDTH = 120


def told(audit: Audit) -> str:
    """Verdict and its sentence, findings, what the other tests said, what did not apply and why, what to do."""
    return told_json(audit.to_json())


def told_json(audit: Mapping[str, Any]) -> str:
    """The same from what `audit.json` says."""
    signals = {signal["id"]: signal for signal in audit["signals"]}
    found = [signals[id] for id in audit["findings"] if id in signals]
    rest = [s for s in audit["signals"] if s["id"] not in audit["findings"] and s["status"] in ("green", "info")]
    lines = [wrapped(f"{audit['verdict']}: {audit['sentence']}")]
    lines += section("findings", [row(signal) for signal in found])
    lines += [wrapped(f"{signal['id']}: {signal['sentence']}", "  ") for signal in found]
    lines += section("other tests", [row(signal) for signal in rest if signal["value"] is not None])
    missing = [signal for signal in audit["signals"] if signal["status"] == "not_applicable"]
    if missing:
        lines += ["", "did not apply"]
        lines += [wrapped(f"{one['id']} {one['name']}: {one['reason']}", "  ") for one in missing]
    if audit["advice"]:
        lines += ["", "what to do"]
        for one in audit["advice"]:
            lines += [wrapped(f"{one['finding']}: {one['text']}", "  "), f"      {one['command']}"]
    return "\n".join(lines)


def section(title: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """A heading and a table; nothing where there are no rows."""
    head = ["test", "", "value", "95 % interval", "threshold", "n", "status"]
    return ["", title, columns([head, *rows], "  ")] if rows else []


def row(signal: Mapping[str, Any]) -> list[str]:
    """A signal as cells."""
    ends = signal["interval"]
    interval = f"{number(ends[0])} to {number(ends[1])}" if ends and None not in ends else ""
    return [
        signal["id"],
        signal["name"],
        value_of(signal),
        interval,
        number(signal["threshold"]),
        str(signal["n"] or ""),
        "shown only" if signal["status"] == "info" else signal["status"],
    ]


def value_of(signal: Mapping[str, Any]) -> str:
    """The number that is judged."""
    return number(signal.get("value"))


def number(value: Any) -> str:
    """A number with three digits; nothing for None.

    >>> [number(value) for value in (None, 0.98765, 1234.5)]
    ['', '0.988', '1.23e+03']
    """
    return "" if not isinstance(value, int | float) else f"{value:.3g}"


def columns(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Cells as lines of text with straight columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        (indent + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))).rstrip()
        for cells in rows
    )


def wrapped(text: str, indent: str = "") -> str:
    """A paragraph at the width of a terminal."""
    plain = " ".join(text.split())
    return textwrap.fill(plain, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}    ", break_long_words=False)
