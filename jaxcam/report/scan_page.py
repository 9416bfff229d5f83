"""The page of a scan: problems, duplicates side by side, classes, sizes, and what tells the classes apart."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Num

from jaxcam.data.decode import UnreadableImage
from jaxcam.data.scan import output
from jaxcam.data.scan.groups import Group
from jaxcam.data.scan.inventory import printable
from jaxcam.data.scan.kinds import LISTED, NOTES, PROBLEMS
from jaxcam.data.scan.run import Scan, property_values
from jaxcam.progress import Progress
from jaxcam.report.pages import write_page
from jaxcam.report.pictures import open_picture, thumbnail

GROUPS_SHOWN = 60
MEMBERS_SHOWN = 8
EXAMPLES = 6
BAD_SHOWN = 300
PROPERTIES_SHOWN = 12
PLOTS_SHOWN = 4
CLASSES_SHOWN = 40
_LONGEST = 176
_BINS = 28


def write_scan_page(scan: Scan, path: Path, *, progress: Progress | None = None) -> Path:
    """Write a scan as one self-contained HTML file and return its path; the pictures shown are read again."""
    progress = progress or Progress(quiet=True)
    about = output.summary(scan)
    groups = scan.groups[:GROUPS_SHOWN]
    examples = _examples(scan)
    rows = sorted(
        {row for group in groups for row in group.rows[:MEMBERS_SHOWN]} | {r for v in examples.values() for r in v}
    )
    pictures = {row: _picture(scan, row) for row in progress.over(rows, len(rows), "pictures")}
    context = {
        "title": printable(scan.inventory.root.name) or "pictures",
        "about": about,
        "facts": _facts(about),
        "problems": [(name, count, PROBLEMS[name]) for name, count in about["status"].items() if name in PROBLEMS],
        "listed": [(name, count, LISTED[name]) for name, count in about["status"].items() if name in LISTED],
        "bad": about["bad_files"][:BAD_SHOWN],
        "notes": [
            {
                "name": name,
                "count": count,
                "words": NOTES[name],
                "shown": [_shown(scan, pictures, r) for r in examples[name]],
            }
            for name, count in about["notes"].items()
        ],
        "groups": [_group(scan, group, pictures) for group in groups],
        "classes": _classes(about),
        "classes_left": max(0, len({c for counts in about["classes"].values() for c in counts}) - CLASSES_SHOWN),
        "histograms": _histograms(about["sizes"]),
        "properties": about["properties"][:PROPERTIES_SHOWN],
        "plots": _plots(scan),
    }
    return write_page(path, "scan.html", context)


def _facts(about: dict[str, Any]) -> list[tuple[str, str]]:
    duplicates = about["duplicates"]
    return [
        ("files", f"{about['files']:,}"),
        ("usable pictures", f"{about['usable']:,}"),
        ("cannot be used", f"{about['unusable']:,}"),
        ("groups of duplicates", f"{duplicates['groups']:,}"),
        ("across splits", f"{duplicates['across_splits']:,}"),
        ("across classes", f"{duplicates['across_classes']:,}"),
    ]


def _examples(scan: Scan) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {name: [] for name in NOTES}
    for row in scan.good.tolist():
        for note in scan.findings[row].notes:
            if len(found[note]) < EXAMPLES:
                found[note].append(row)
    return found


def _picture(scan: Scan, row: int) -> str | None:
    """A thumbnail as a data URI; None where the file has gone or changed since."""
    try:
        picture = open_picture(Path(scan.inventory.file(row)), longest=_LONGEST)
    except UnreadableImage:
        return None
    return thumbnail(picture, picture.shape[1])


def _shown(scan: Scan, pictures: dict[int, str | None], row: int) -> dict[str, Any]:
    entry, found = scan.entries[row], scan.findings[row]
    return {
        "path": entry.shown, "split": entry.split, "label": printable(entry.label), "picture": pictures[row],
        "size": f"{found.width}×{found.height} {found.format}", "view": "",
    }  # fmt: skip


def _group(scan: Scan, group: Group, pictures: dict[int, str | None]) -> dict[str, Any]:
    members = []
    for row, view in list(zip(group.rows, group.views, strict=True))[:MEMBERS_SHOWN]:
        members.append({**_shown(scan, pictures, row), "view": view if view != "as it is" else ""})
    return {
        "kind": group.kind, "members": members, "more": len(group.rows) - len(members), "count": len(group.rows),
        "crosses_splits": group.crosses_splits, "crosses_classes": group.crosses_classes,
        "splits": group.splits, "labels": [printable(label) for label in group.labels],
    }  # fmt: skip


def _classes(about: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the table of classes: a count for every split, as a share of the largest, and the mean colour."""
    splits = about["classes"]
    names = sorted({name for counts in splits.values() for name in counts})[:CLASSES_SHOWN]
    largest = {split: max(counts.values(), default=1) or 1 for split, counts in splits.items()}
    rows = []
    for name in names:
        cells = [(counts.get(name, 0), counts.get(name, 0) / largest[split]) for split, counts in splits.items()]
        colour = about["mean_colour"].get(name)
        rows.append(
            {
                "name": name or "(no class)",
                "cells": cells,
                "colour": None if colour is None else tuple(map(round, colour)),
            }
        )
    return rows


def _histograms(sizes: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for key, title in (("shorter_side", "Shorter side, pixels"), ("aspect", "Width over height")):
        edges, counts = sizes[key]["edges"], sizes[key]["counts"]
        names = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges)] + [f"from {edges[-1]:g}"]
        names[0] = f"below {edges[1]:g}"
        highest = max(counts) or 1
        found.append({"title": title, "bars": [(n, c, c / highest) for n, c in zip(names, counts, strict=True) if c]})
    return found


def _plots(scan: Scan) -> list[dict[str, Any]]:
    """How the numbers that tell most are spread in each class, as bars."""
    values = property_values(scan.entries, scan.findings, scan.measures)
    good = scan.good
    labels = np.array([printable(scan.entries[row].label) for row in good], object)
    counted = {name: int((labels == name).sum()) for name in sorted(set(labels.tolist()))}
    classes = sorted(sorted(counted), key=lambda name: -counted[name])[:6]
    plots = []
    for one in [one for one in scan.properties if one.name in values and one.level != "none"][:PLOTS_SHOWN]:
        column = values[one.name][good].astype(np.float64)
        plots.append({"name": one.name, **_spread(column, labels, sorted(classes))})
    return plots


def _spread(column: Num[np.ndarray, " n"], labels: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    known = np.isfinite(column)
    low, high = (float(edge) for edge in np.quantile(column[known], [0.005, 0.995]))
    high = high if high > low else low + 1
    rows = []
    for name in classes:
        own = np.clip(column[known & (labels == name)], low, high)
        counts = np.histogram(own, _BINS, (low, high))[0]
        rows.append((name, (counts / max(counts.max(initial=0), 1)).round(3).tolist()))
    return {"low": f"{low:.4g}", "high": f"{high:.4g}", "rows": rows}
