"""The table of detection and false alarms from the lines that `audit.py` wrote, judged by today's thresholds."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from harness import RESULTS, machine

from jaxcam.audit.conjunction import raised
from jaxcam.audit.signals import Signal
from jaxcam.audit.thresholds import THRESHOLDS
from jaxcam.audit.verdict import HEALTH, verdict
from jaxcam.files import write_json
from jaxcam.metrics import wilson

USED = 0.2
"""fall of the accuracy, when the cue is moved, from which on a classifier counts as using it"""
FOUND = ("LIKELY SHORTCUT", "CONFIRMED")
Line = dict[str, Any]


def signals_of(line: Line) -> list[Signal]:
    """The signals as they would be judged now; what was not judged then is not judged now."""
    found = []
    for id, kept in line["signals"].items():
        signal = Signal(
            id=id,
            name=id,
            layer=kept["layer"],
            value=kept["value"],
            count=kept["n"],
            interval=None if kept["interval"] is None else tuple(kept["interval"]),
            status=kept["status"],
            threshold=kept["threshold"],
        )
        if kept["layer"] == "model" and id not in HEALTH and kept["status"] in ("red", "amber", "green"):
            known = THRESHOLDS.get(id)
            status, threshold = ("info", None) if known is None else known.judge(kept["value"])
            signal = replace(signal, status=status, threshold=threshold)
        found.append(signal)
    return raised(found)


def judged(line: Line) -> str:
    """The verdict's word by today's thresholds."""
    return verdict(signals_of(line)).word


def used(line: Line) -> bool:
    """Whether the classifier uses its cue: it is wrong when the cue is moved to the other class."""
    return line["accuracy"]["valid"] - line["accuracy"]["swapped"] >= USED


def share(lines: Iterable[Line], test: Callable[[Line], bool]) -> dict[str, Any]:
    """How many of the lines pass a test, with Wilson's interval."""
    hits = [test(line) for line in lines]
    low, high = wilson(sum(hits), len(hits))
    return {"of": len(hits), "hits": sum(hits), "interval": [round(low, 3), round(high, 3)]}


def summary(lines: list[Line]) -> dict[str, Any]:
    """Every part of the table."""
    planted = [line for line in lines if line["strength"]]
    groups: dict[str, list[Line]] = {}
    for line in planted:
        groups.setdefault(f"{line['part']}, {line['strength']} %", []).append(line)
        groups.setdefault(f"{line['part']}, {line['family']}, {line['strength']} %", []).append(line)
    clean = [line for line in lines if not line["strength"]]
    rows: dict[str, Any] = {}
    for name, own in sorted(groups.items()):
        using = [line for line in own if used(line)]
        rows[name] = {
            "runs": len(own),
            "use_it": len(using),
            "found_of_users": share(using, lambda line: judged(line) in FOUND),
            "found_of_all": share(own, lambda line: judged(line) in FOUND),
            "at_least_at_risk": share(own, lambda line: judged(line) != "NO EVIDENCE"),
            "signals": by_signal(using),
        }
    for part in ("tuning", "held-out"):
        for family in ("", *sorted({line["family"] for line in clean})):
            own = [line for line in clean if line["part"] == part and family in ("", line["family"])]
            if own:
                rows[f"{part}, clean{', ' if family else ''}{family}"] = {
                    "runs": len(own),
                    "false_alarms": share(own, lambda line: judged(line) in FOUND),
                    "at_least_at_risk": share(own, lambda line: judged(line) != "NO EVIDENCE"),
                    "signals": by_signal(own),
                }
    return rows


def by_signal(lines: list[Line]) -> dict[str, dict[str, Any]]:
    """Of each signal how often it was red, of the runs in which it was judged."""
    ids = sorted({id for line in lines for id in line["signals"]}, key=lambda id: (id[0], int(id[1:])))
    found = {}
    for id in ids:
        states = [signal.status for line in lines for signal in signals_of(line) if signal.id == id]
        known = [state for state in states if state in ("red", "amber", "green")]
        if known:
            low, high = wilson(known.count("red"), len(known))
            found[id] = {"judged": len(known), "red": known.count("red"), "interval": [round(low, 3), round(high, 3)]}
    return found


def written(lines: list[Line]) -> str:
    """Write results/audit.json and return the table as text."""
    rows = summary(lines)
    write_json(
        RESULTS / "audit.json",
        {
            "runs": len(lines),
            "cpu_s": round(sum(sum(line["cpu_s"]) for line in lines)),
            "thresholds": {id: [one.red, one.amber] for id, one in THRESHOLDS.items()},
            "rows": rows,
            **machine(),
        },
    )
    text = [f"{'':38}{'runs':>5}{'use it':>7}  {'found, of those that use it':30}{'at risk or worse, of all':26}red"]
    for name, row in rows.items():
        main = row.get("found_of_users") or row["false_alarms"]
        red = " ".join(f"{id} {one['red']}/{one['judged']}" for id, one in row["signals"].items() if one["red"])
        shares = f"{told(main):30}{told(row['at_least_at_risk']):26}"
        text.append(f"{name:38}{row['runs']:5}{row.get('use_it', '-'):>7}  {shares}{red}")
    return "\n".join(text)


def told(one: dict[str, Any]) -> str:
    """A share in words."""
    if not one["of"]:
        return "-"
    low, high = one["interval"]
    return f"{one['hits']}/{one['of']} ({low:.0%} to {high:.0%})"
