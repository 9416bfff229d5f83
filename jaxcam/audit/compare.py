"""Audits of several runs beside each other: before and after a repair."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxcam.audit.output import read_audit
from jaxcam.audit.words import columns, value_of

MARKS = {"red": "red", "amber": "amber", "green": "green", "info": "", "not_applicable": "not run"}


def comparison(runs: Sequence[Path]) -> str:
    """A table with a column for each run and a row for each test that has a value in any of them."""
    rows, note = comparison_rows(runs)
    return columns(rows) + (f"\n\n{note}" if note else "")


def comparison_rows(runs: Sequence[Path]) -> tuple[list[list[str]], str]:
    """The table's rows, the head first, and a sentence where the runs cannot be held against each other."""
    audits = [read_audit(run) for run in runs]
    rows = [["", *map(str, runs)], ["verdict", *(str(audit["verdict"]) for audit in audits)]]
    rows.append(["pictures", *(audited(audit) for audit in audits)])
    known: dict[str, str] = {}
    for audit in audits:
        for signal in audit["signals"]:
            known.setdefault(str(signal.get("id")), str(signal.get("name")))
    for id, name in known.items():
        found = [next((s for s in audit["signals"] if s.get("id") == id), None) for audit in audits]
        if any(signal is not None and signal.get("value") is not None for signal in found):
            rows.append([f"{id} {name}", *(cell(signal) for signal in found)])
    different = {audited(audit) for audit in audits}
    note = "the runs were audited on different pictures; only tests on the same ones can be held against each other"
    return rows, note if len(different) > 1 else ""


def audited(audit: dict[str, Any]) -> str:
    """The set that was audited, in words."""
    about = audit.get("audited") or {}
    return f"{about.get('name', '?')}, {about.get('count', '?')}"


def cell(signal: dict[str, Any] | None) -> str:
    """A test's value and status."""
    if signal is None:
        return "-"
    return f"{value_of(signal)} {MARKS.get(str(signal.get('status')), '')}".strip()
