"""HTML pages that are one file: no request leaves them, and no name from the data can act in them.

`base.html` and `style.css` in `templates/` are the look of every page; a page of its own extends `base.html` and is
written with `write_page`.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from jaxcam import __version__
from jaxcam.files import replace_file
from jaxcam.maps import render
from jaxcam.report import gather, plots, summary
from jaxcam.report.gallery import LIMIT, gallery
from jaxcam.report.means import mean_rows
from jaxcam.report.pictures import thumbnail as thumbnail

TEMPLATES = Path(__file__).parent / "templates"
UNREADABLE_SHOWN = 200


@cache
def environment() -> jinja2.Environment:
    """Where templates come from: everything put into a page is escaped, and an unknown name is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["percent"] = summary.percent
    made.filters["number"] = summary.number
    made.globals.update(version=__version__, own_text=_own_text, policy=_policy, gradient=gradient)
    return made


def write_page(path: str | Path, template: str, context: Mapping[str, Any]) -> Path:
    """Render a template of `templates/` into one self-contained HTML file, written atomically; returns its path.

    Templates that extend `base.html` need `title` in the context. Pictures go in as data URIs (`thumbnail`), the SVG of
    `plots.svg` as `Markup`.
    """
    path = Path(path)
    html = environment().get_template(template).render(context)
    replace_file(path, html.encode(errors="replace"))
    return path


def write_report(run_folder: str | Path, *, limit: int = LIMIT) -> Path:
    """Write `report/index.html` from what a run's folder holds and return its path.

    `limit` is the number of pictures shown of each split. What the folder lacks is named on the page. Raises
    `UserError` where it holds nothing of a run.
    """
    folder = Path(run_folder)
    run = gather.read_run(folder)
    results = [summary.result(split) for split in run.splits]
    phases = [summary.phase_words(run.config, number).partition(" (")[0] for number in range(99)]
    starts = plots.phase_starts(run.history)
    context = {
        "title": run.name,
        "run": run,
        "sentence": summary.sentence(run, results),
        "facts": summary.facts(run),
        "results": results,
        "curves": Markup(plots.history_svg(run.history, phases)) if run.history else None,
        "starts": [(start + 1, phases[number]) for number, start in enumerate(starts[: len(phases)])],
        "columns": [key for key in (run.history[0] if run.history else {}) if isinstance(key, str)],
        "means": [row for split in run.splits for row in mean_rows(run, split)],
        "galleries": [gallery(run, split, limit=limit) for split in run.splits],
        "unreadable_shown": UNREADABLE_SHOWN,
        "full_matrix": summary.FULL_MATRIX,
        "config": json.dumps(run.config, indent=2, ensure_ascii=False),
    }
    return write_page(folder / "report" / "index.html", "report.html", context)


def gradient(name: str = "inferno") -> str:
    """A colour table as a CSS gradient from left to right."""
    table = render.colour_table(name)[:: 255 // 15]
    return f"linear-gradient(90deg, {', '.join('rgb({} {} {})'.format(*colour) for colour in table.tolist())})"


def _own_text(name: str) -> Markup:
    """A style sheet or script of ours, as it is."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _policy() -> str:
    """Content security policy: nothing is loaded, and no script runs but ours."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.glob("*.js"))]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
    scripts = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {scripts}; base-uri 'none'"
