"""What a scan found, in files and on the terminal: scan.json, scan.csv, manifest.csv, and a table."""

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcam import __version__
from jaxcam.data.scan.inventory import printable
from jaxcam.data.scan.kinds import LISTED, NOTES, PROBLEMS
from jaxcam.data.scan.measures import MEASURES
from jaxcam.data.scan.run import Scan
from jaxcam.files import replace_file, write_json

COLUMNS = (
    "path", "split", "class", "status", "reason", "notes", "format", "mode", "width", "height", "bytes", "modified",
    "sha256", "pixels", "group", "kind", "jpeg_quality", "camera",
)  # fmt: skip
_SIDES = (0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 1 << 30)
_ASPECTS = (0, 0.25, 0.5, 0.67, 0.8, 1.25, 1.5, 2, 4, math.inf)


def status(scan: Scan, row: int) -> str:
    """One word for a file: ok, a problem of `kinds.PROBLEMS`, or why it was not looked at (`kinds.LISTED`)."""
    return scan.entries[row].listed or scan.findings[row].problem or "ok"


def write_outputs(scan: Scan, folder: Path) -> None:
    """Write scan.csv (every file), manifest.csv (the usable ones, with groups) and scan.json (everything else)."""
    replace_file(folder / "scan.csv", table(scan).encode())
    replace_file(folder / "manifest.csv", manifest(scan).encode())
    write_json(folder / "scan.json", summary(scan))


def table(scan: Scan) -> str:
    """Every file with all that is known of it, as CSV; names that would act in a spreadsheet or a terminal do not."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *(name.replace(" ", "_") for name in MEASURES)])
    groups = scan.group_of_row()
    for row, (entry, found) in enumerate(zip(scan.entries, scan.findings, strict=True)):
        group = int(groups[row])
        values = [
            entry.shown, entry.split, printable(entry.label), status(scan, row), found.reason, " ".join(
                note.replace(" ", "-") for note in found.notes),
            found.format, found.mode, found.width or "", found.height or "", entry.size, round(entry.modified / 1e9, 3),
            found.sha256, found.pixels, group if group >= 0 else "", scan.groups[group].kind if group >= 0 else "",
            "" if math.isnan(found.quality) else round(found.quality), found.camera,
        ]  # fmt: skip
        numbers = ["" if np.isnan(value) else f"{value:.5g}" for value in scan.measures[row]]
        writer.writerow([*map(_harmless, values), *numbers])
    return text.getvalue()


def manifest(scan: Scan) -> str:
    """The usable pictures as a manifest: absolute path, label, split where there are any, group of duplicates."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    split = any(entry.split for entry in scan.entries)
    writer.writerow(["path", "label", *(["split"] if split else []), "group"])
    groups = scan.group_of_row()
    for row in scan.good.tolist():
        entry = scan.entries[row]
        group = f"duplicates-{groups[row]}" if groups[row] >= 0 else ""
        writer.writerow([scan.inventory.file(row), entry.label, *([entry.split] if split else []), group])
    return text.getvalue()


def _harmless(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def summary(scan: Scan) -> dict[str, Any]:
    """Everything but the list of files, as JSON values."""
    problems = Counter(status(scan, row) for row in range(len(scan.entries)))
    notes = Counter(note for row in scan.good.tolist() for note in scan.findings[row].notes)
    return {
        "jaxcam": __version__,
        "folder": printable(str(scan.inventory.root)),
        "files": len(scan.entries),
        "usable": len(scan.good),
        "unusable": len(scan.unusable),
        "remarks": list(scan.inventory.remarks),
        "status": {name: problems[name] for name in ("ok", *PROBLEMS, *LISTED) if problems[name]},
        "notes": {name: notes[name] for name in NOTES if notes[name]},
        "bad_files": [
            {"path": scan.entries[row].shown, "problem": status(scan, row), "reason": scan.findings[row].reason}
            for row in scan.unusable
        ],
        "classes": class_counts(scan),
        "imbalance": imbalance(scan),
        "duplicates": {
            "groups": len(scan.groups),
            "files": sum(len(group.rows) for group in scan.groups),
            "across_splits": sum(group.crosses_splits for group in scan.groups),
            "across_classes": sum(group.crosses_classes for group in scan.groups),
            "list": [
                {
                    "kind": group.kind,
                    "splits": list(group.splits),
                    "classes": [printable(c) for c in group.labels],
                    "paths": [scan.entries[row].shown for row in group.rows],
                    "views": list(group.views),
                }
                for group in scan.groups
            ],
        },
        "scenes": {
            "look_alikes": scan.scenes.pictures,
            "same_class": _number(scan.scenes.same_class),
            "expected": _number(scan.scenes.expected),
            "shared": scan.scenes.shared,
            "tells_class": scan.scenes.tells_class,
        },
        "sizes": histograms(scan),
        "mean_colour": mean_colours(scan),
        "properties": [
            {
                "name": one.name,
                "level": one.level,
                "balanced_accuracy": round(one.accuracy, 4),
                "interval": [round(one.low, 4), round(one.high, 4)],
                "chance": round(one.chance, 4),
                "auc": _number(one.area),
                "class": printable(one.stands_out),
                "words": printable(one.words),
            }
            for one in scan.properties
        ],
        "warnings": warnings(scan),
        "seconds": round(scan.seconds, 2),
        "reused": scan.reused,
    }


def _number(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def class_counts(scan: Scan) -> dict[str, dict[str, int]]:
    """Split ("" where there is none) -> class -> number of usable pictures, classes in order of their names."""
    counts: dict[str, Counter[str]] = {}
    for entry, found in zip(scan.entries, scan.findings, strict=True):
        if not entry.listed:  # a class without a usable picture counts as 0
            counts.setdefault(entry.split, Counter())[printable(entry.label)] += bool(found.pixels)
    order = {"train": 0, "valid": 1, "test": 2}
    return {split: dict(sorted(counts[split].items())) for split in sorted(counts, key=lambda s: (order.get(s, 3), s))}


def imbalance(scan: Scan) -> dict[str, float | None]:
    """Split -> pictures of the largest class over those of the smallest; None where a class has none."""
    return {
        split: round(max(counts.values()) / min(counts.values()), 2) if min(counts.values()) else None
        for split, counts in class_counts(scan).items()
    }


def histograms(scan: Scan) -> dict[str, Any]:
    """How many usable pictures there are by their shorter side and by width over height; edges and counts."""
    sizes = np.array([(scan.findings[row].width, scan.findings[row].height) for row in scan.good]).reshape(-1, 2)
    short = np.histogram(sizes.min(axis=1, initial=1 << 29), _SIDES)[0]
    aspect = np.histogram(sizes[:, 0] / np.maximum(sizes[:, 1], 1), _ASPECTS)[0]
    return {
        "shorter_side": {"edges": list(_SIDES[:-1]), "counts": short.tolist()},
        "aspect": {"edges": list(_ASPECTS[:-1]), "counts": aspect.tolist()},
        "common": [[int(w), int(h), n] for (w, h), n in Counter(map(tuple, sizes.tolist())).most_common(5)],
    }


def mean_colours(scan: Scan) -> dict[str, list[float]]:
    """Class -> mean red, green and blue of its usable pictures, 0 to 255."""
    rows: dict[str, list[int]] = {}
    for row in scan.good.tolist():
        rows.setdefault(printable(scan.entries[row].label), []).append(row)
    return {
        label: [round(float(value), 1) for value in scan.colour[own].mean(axis=(0, 1, 2), dtype=np.float64)]
        for label, own in sorted(rows.items())
    }


def warnings(scan: Scan) -> list[str]:
    """What should be looked at before training, in whole sentences, the gravest first."""
    said = []
    across = [group for group in scan.groups if group.crosses_classes]
    if across:
        said.append(f"{_many(len(across), 'picture is', 'pictures are')} in two classes: at least one label is wrong.")
    leaks = [group for group in scan.groups if group.crosses_splits]
    if leaks:
        said.append(
            f"{_many(len(leaks), 'picture is', 'pictures are')} in two splits: what is measured on them is too good."
        )
    if scan.scenes.tells_class:
        said.append(
            f"{scan.scenes.pictures} of {scan.scenes.of} pictures look like another one, and nearly always of their own"
            " class: each class seems to have a scene of its own, which a network may learn in place of what is shown."
        )
    elif scan.scenes.shared:
        said.append(
            f"{scan.scenes.pictures} of {scan.scenes.of} pictures look like another one at first sight (one background,"
            " one camera or one kind of drawing); they are not counted as copies."
        )
    telling = [one for one in scan.properties if one.level != "none"]
    strong = [one for one in telling if one.level == "strong"]
    if telling:
        first = telling[0]
        more = f" ({len(telling) - 1} more)" if len(telling) > 1 else ""
        how = "A single number tells the classes apart" if strong else "A single number goes far to tell the classes"
        said.append(f"{how}: {printable(first.words)}{more}. A network may learn this in place of what is shown.")
    for split, ratio in imbalance(scan).items():
        where = f" in {split}" if split else ""
        if ratio is None:
            said.append(f"A class has no usable picture{where}.")
        elif ratio >= 3:
            said.append(f"The largest class{where} has {ratio:g} times the pictures of the smallest.")
    if scan.unusable:
        said.append(f"{_many(len(scan.unusable), 'file', 'files')} cannot be used; `--quarantine DIR` moves them away.")
    return said + [f"{remark}." for remark in scan.inventory.remarks]


def _many(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def told(scan: Scan, *, longest: int = 12) -> str:
    """The table for the terminal."""
    about = summary(scan)
    lines = [f"{about['folder']}: {about['files']} files, {about['usable']} usable pictures ({scan.seconds:.1f} s)", ""]
    lines += _columns("classes", _class_rows(about["classes"]))
    bad = [(name, count, PROBLEMS.get(name, LISTED.get(name, ""))) for name, count in about["status"].items()]
    lines += _columns("files", [row for row in bad if row[0] != "ok"])
    lines += _columns("notes", [(name, count, NOTES[name]) for name, count in about["notes"].items()])
    shown = about["bad_files"][:longest]
    lines += _columns("cannot be used", [(bad["path"], bad["reason"]) for bad in shown])
    if len(about["bad_files"]) > longest:
        lines += [f"  ... and {len(about['bad_files']) - longest} more, see scan.csv", ""]
    groups = about["duplicates"]
    if groups["groups"]:
        words = f"{groups['groups']} groups, {groups['across_splits']} across splits, {groups['across_classes']} across"
        found = [(" | ".join(g["splits"]), " | ".join(g["classes"]), g["kind"], "  ".join(g["paths"][:3]))
                for g in groups["list"][:longest]]  # fmt: skip
        lines += _columns(f"duplicates: {words} classes", found)
    telling = [one for one in about["properties"] if one["level"] != "none"]
    rows: list[tuple[Any, ...]] = [
        (
            one["level"],
            one["name"],
            f"{one['balanced_accuracy']:.0%} right ({one['interval'][0]:.0%} to {one['interval'][1]:.0%})",
            f"chance {one['chance']:.0%}",
            "" if one["auc"] is None else f"AUC {one['auc']:.2f}",
            one["class"],
        )
        for one in telling[:longest]
    ]
    lines += _columns("what tells the classes apart by itself", rows)
    lines += [f"! {warning}" for warning in about["warnings"]]
    return "\n".join(lines).rstrip()


def _class_rows(classes: Mapping[str, Mapping[str, int]], longest: int = 20) -> list[tuple[Any, ...]]:
    names = sorted({name for counts in classes.values() for name in counts})
    header = ("", *(split or "all" for split in classes))
    rows = [(name or "(no class)", *(counts.get(name, 0) for counts in classes.values())) for name in names[:longest]]
    if len(names) > longest:
        rows.append((f"and {len(names) - longest} more", *("" for _ in classes)))
    return [header, *rows, ("together", *(sum(counts.values()) for counts in classes.values()))]


def _columns(title: str, rows: Sequence[tuple[Any, ...]]) -> list[str]:
    """A titled table whose columns are as wide as their longest cell; nothing where there are no rows."""
    if not rows:
        return []
    cells = [[str(cell) if len(str(cell)) <= 110 else f"{str(cell)[:107]}..." for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    lines = ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return [title, *(line.rstrip() for line in lines), ""]
