"""HTML pages that load nothing but pictures of their own, and in which no name from the data can act.

`base.html` and `style.css` in `templates/` are the look of every page; a page of its own extends `base.html` and is
written with `write_page`.
"""

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from jaxcam import __version__
from jaxcam.files import replace_file
from jaxcam.maps import render
from jaxcam.report import summary
from jaxcam.report.audited import short
from jaxcam.report.pictures import thumbnail as thumbnail

TEMPLATES = Path(__file__).parent / "templates"


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
    made.filters["short"] = short
    made.globals.update(version=__version__, own_text=_own_text, policy=_policy, gradient=gradient)
    return made


def write_page(path: str | Path, template: str, context: Mapping[str, Any]) -> Path:
    """Render a template of `templates/` into an HTML file, written atomically; returns its path.

    Templates that extend `base.html` need `title` in the context. Pictures go in as data URIs (`thumbnail`), the SVG of
    `plots.svg` as `Markup`. With `in_folder` in the context the page may also load pictures that lie beside it.
    """
    path = Path(path)
    html = environment().get_template(template).render({"in_folder": False, **context})
    replace_file(path, html.encode(errors="replace"))
    return path


def gradient(name: str = "inferno") -> str:
    """A colour table as a CSS gradient from left to right."""
    table = render.colour_table(name)[:: 255 // 15]
    return f"linear-gradient(90deg, {', '.join('rgb({} {} {})'.format(*colour) for colour in table.tolist())})"


def _own_text(name: str) -> Markup:
    """A style sheet or script of ours, as it is."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _policy(pictures_beside: bool = False) -> str:
    """Content security policy: nothing is loaded but (where asked for) pictures beside the page; no script but ours."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.glob("*.js"))]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
    scripts = " ".join(f"'sha256-{digest}'" for digest in hashes)
    images = "data: 'self'" if pictures_beside else "data:"
    return f"default-src 'none'; img-src {images}; style-src 'unsafe-inline'; script-src {scripts}; base-uri 'none'"
