"""The lines of `bench/results`: the newest of each subject, and how their numbers are written in the README."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Line = dict[str, Any]
SHOWN = ("question", "subject", "batch", "dtype", "network", "window", "stride", "shape", "device", "samples")


def load(results: Path) -> list[Line]:
    """All lines of all `*.jsonl`, oldest first in each file, and every `*.json` as one line; `file` says which."""
    found = []
    for file in sorted(results.glob("*.jsonl")):
        found += [{"file": file.stem} | json.loads(text) for text in file.read_text().splitlines() if text.strip()]
    found += [{"file": file.stem} | json.loads(file.read_text()) for file in sorted(results.glob("*.json"))]
    return found


def chosen(lines: Iterable[Line], file: str, *, device: str = "CPU", **wanted: Any) -> dict[str, Line]:
    """The newest line of each subject with these values, on processors or (`device="GPU"`) on accelerators.

    A value that a line lacks does not count against it: older lines carry less. Lines from before lines told their run
    are left out beside those that do.
    """
    found: dict[str, Line] = {}
    for line in lines:
        if line["file"] != file or line.get("device", "CPU").startswith("CPU") != (device == "CPU"):
            continue
        if all(line.get(key, value) == value for key, value in wanted.items()):
            found.pop(line["subject"], None)
            found[line["subject"]] = line
    if any("run" in line for line in found.values()):
        found = {name: line for name, line in found.items() if "run" in line}
    return found


def newest(lines: Iterable[Line]) -> list[Line]:
    """The newest line of every question, subject and setting."""
    kept = {}
    for line in lines:
        if "subject" in line:
            kept[json.dumps([line.get(key) for key in SHOWN])] = line
    return list(kept.values())


def number(value: float) -> str:
    """Three figures at least: `118 200`, `9.68`, `0.057`.

    >>> number(118200.2), number(9.676), number(0.0571), number(455.3)
    ('118 200', '9.68', '0.0571', '455')
    """
    if abs(value) >= 1000:
        digits = max(0, len(str(int(abs(value)))) - 4)
        return f"{round(value, -digits):,.0f}".replace(",", " ")
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def ratio(line: Mapping[str, Any] | None, *, inverted: bool = False) -> str:
    """The ratio with its range; the range alone where the spread forbids one; empty where it is not measured."""
    if line is None or "ratio_to" not in line:
        return ""
    turn = (lambda value: 1 / value) if inverted else (lambda value: value)
    bounds = [f"{turn(value):.2f}" for value in line.get("ratio_range", [])]
    between = " to ".join(reversed(bounds) if inverted else bounds)
    if "ratio" in line:
        return f"{turn(line['ratio']):.2f}" + (f" ({between})" if between else "")
    if "too few" in line.get("no_ratio", ""):
        return "too few rounds"
    return f"within the spread ({between})" if between else "within the spread"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; columns after the first are set right."""
    marks = ["---", *["--:"] * (len(head) - 1)]
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(marks)}|"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def where(lines: Iterable[Line]) -> str:
    """On what, how often, how busy the machine was otherwise, and from which commit."""
    used = list(lines)
    if not used:
        return ""
    last = used[-1]
    rounds = sorted({line["rounds"] for line in used if "rounds" in line})
    words = [last["device"], f"{last.get('threads') or last['cores']} threads"]
    words += [f"{'/'.join(map(str, rounds))} rounds"] if rounds else []
    loads = [line["load"][0] for line in used if "load" in line] or [line["load_1min"] for line in used]
    words.append(f"load {max(loads):.1f}")
    others = [line["others_cores"] for line in used if line.get("others_cores") is not None]
    words += [f"others used {max(others):.1f} cores"] if others else []
    return f"{', '.join(words)}, commit {last['commit']}{' and changes' if last.get('dirty') else ''}"
