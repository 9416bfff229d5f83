"""The page of a run: the audit's verdict first, then results, maps, and every picture."""

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from jaxcam.progress import Progress
from jaxcam.report import gather, plots, summary
from jaxcam.report.audited import Audit, Finding, read_audit
from jaxcam.report.cards import in_blocks
from jaxcam.report.evaluated import further
from jaxcam.report.evidence import Evidence, Pictures, evidence, occlusion
from jaxcam.report.files import picture_files
from jaxcam.report.gallery import LIMIT, SMALL_WIDTH, Chosen, Table, chosen, inline, photo_width
from jaxcam.report.gather import Run
from jaxcam.report.means import mean_rows
from jaxcam.report.pages import write_page
from jaxcam.report.result_plots import reliability_svg

UNREADABLE_SHOWN = 200
PULLED = {
    "M15": "What hiding each place costs",
    "D3": "How well each place alone tells the classes apart",
    "M13": "Clusters of maps",
}
"""figures of the audit that belong to where the network looks"""


def write_report(run_folder: str | Path, *, limit: int | None = LIMIT, progress: Progress | None = None) -> Path:
    """Write `report/index.html` from what a run's folder holds and return its path.

    `limit` is the number of pictures shown, of all splits together; None: all of them. Up to `gallery.LIMIT` they stand
    in the page itself, more are written into `report/pictures`, which an interrupted call goes on with. What the run's
    folder lacks is named on the page. Raises `UserError` where it holds nothing of a run.
    """
    folder = Path(run_folder)
    run = gather.read_run(folder)
    notes = list(run.notes)
    audit = read_audit(folder, notes)
    found = Pictures(run, audit)
    behind = _behind(audit, found)
    galleries = chosen(run.splits, limit, behind)
    table, in_folder = _table(run, galleries, behind, folder / "report", progress or Progress(quiet=True))
    results = [summary.result(split) for split in run.splits]
    made = evidence(audit, found) if audit else []
    context = {
        "title": run.name,
        "run": run,
        "notes": notes,
        "audit": audit,
        "evidence": made,
        "anchors": {one.id: anchor(one.id) for one in audit.all} if audit else {},
        "audit_command": f"jaxcam audit {_word(folder)}",
        "all_command": f"jaxcam report {_word(folder)} --all",
        "in_gallery": {one["id"] for one in table.findings},
        "sentence": summary.sentence(run, results),
        "facts": summary.facts(run),
        "results": results,
        "further": {one.name: further(folder, one, notes) for one in results},
        "diagrams": {
            one.name: Markup(reliability_svg(one.reliability, prefix=f"reliability-{number}"))
            for number, one in enumerate(results)
            if one.counted
        },
        **_training(run),
        "means": [row for split in run.splits for row in mean_rows(run, split)],
        **_elsewhere(audit, made, found),
        "worst": found.worst(run.splits[0]) if run.splits else [],
        "worst_of": run.splits[0].name if run.splits else "",
        "galleries": galleries,
        "table": table,
        "labels": sorted({split.label_names[row] for split, row in _shown(galleries)}),
        "several_targets": any(len(tiles) > len(table.methods) for tiles in table.columns["tiles"]),
        "left_out": sum(int((split.predicted >= 0).sum()) for split in run.splits) - len(table),
        "in_folder": in_folder,
        "unreadable_shown": UNREADABLE_SHOWN,
        "full_matrix": summary.FULL_MATRIX,
        "config": json.dumps(run.config, indent=2, ensure_ascii=False),
    }
    return write_page(folder / "report" / "index.html", "report.html", context)


def anchor(id: str) -> str:
    """A finding's place on the page: a word that no other id gives."""
    plain = re.sub(r"[^A-Za-z0-9]", "", id)
    return f"finding-{plain}" if plain == id else f"finding-{plain}-{hashlib.sha256(id.encode()).hexdigest()[:6]}"


def _behind(audit: Audit | None, found: Pictures) -> dict[tuple[str, int], list[Finding]]:
    """The findings (and other tests) that name each picture, by split and row."""
    named: dict[tuple[str, int], list[Finding]] = {}
    for one in audit.all if audit else ():
        for path in dict.fromkeys(one.images):
            if path in found.places:
                split, row = found.places[path]
                named.setdefault((split.name, row), []).append(one)
    return named


def _table(
    run: Run,
    galleries: Sequence[Chosen],
    behind: Mapping[tuple[str, int], Sequence[Finding]],
    report: Path,
    progress: Progress,
) -> tuple[Table, bool]:
    """What the page's script knows of the pictures, and whether they lie in a folder beside the page."""
    tests = list(dict.fromkeys(one for many in behind.values() for one in many))
    table = Table(findings=[{"id": one.id, "name": one.name, "anchor": anchor(one.id)} for one in tests])
    numbers = {place: [tests.index(one) for one in many] for place, many in behind.items()}
    count = sum(len(one.rows) for one in galleries)
    in_folder = count > LIMIT
    for one in galleries:
        if in_folder:
            blocks = picture_files(run, one, report, width=SMALL_WIDTH, progress=progress)
        else:
            made = in_blocks(run, one.split, one.rows, width=photo_width(count))
            blocks = ((block, [inline(card) for card in block]) for block in made)
        for block, addresses in blocks:
            for card, pair in zip(block, addresses, strict=True):
                table.add(one.split, card, pair, numbers.get((one.split.name, card.row), ()))
    return table, in_folder


def _shown(galleries: Sequence[Chosen]) -> Iterator[tuple[gather.Split, int]]:
    for one in galleries:
        for row in one.rows.tolist():
            yield one.split, row


def _training(run: Run) -> dict[str, Any]:
    phases = [summary.phase_words(run.config, number).partition(" (")[0] for number in range(99)]
    starts = plots.phase_starts(run.history)
    return {
        "curves": Markup(plots.history_svg(run.history, phases)) if run.history else None,
        "starts": [(start + 1, phases[number]) for number, start in enumerate(starts[: len(phases)])],
        "columns": [key for key in (run.history[0] if run.history else {}) if isinstance(key, str)],
    }


def _elsewhere(audit: Audit | None, made: Sequence[Evidence], found: Pictures) -> dict[str, Any]:
    """Figures that are shown with the mean maps: some of the audit's, and what `jaxcam explain` says of occlusion."""
    pulled = [one for one in made if one.finding.id in PULLED and one.drawings]
    here = {one.finding.id for one in pulled if audit is None or one.finding not in audit.findings}
    drawn = [occlusion(found, split) for split in found.run.splits]
    return {
        "pulled": [(PULLED[one.finding.id], one) for one in pulled],
        "drawn_below": here,
        "occlusion": [one for one in drawn if one is not None],
        "embeddings": embeddings(found.run.folder),
    }


def embeddings(folder: Path) -> list[tuple[str, str]]:
    """Name and address of every page of an embedding that `jaxcam features embedding` left in a run."""
    pages = sorted((folder / "features" / "embedding").glob("*/index.html"))
    return [
        (page.parent.name, f"../features/embedding/{quote(page.parent.name, safe='')}/index.html") for page in pages
    ]


def _word(folder: Path) -> str:
    """A folder's name as a shell takes it."""
    return shlex.quote(str(folder))
