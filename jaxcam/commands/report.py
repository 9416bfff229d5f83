"""`jaxcam report`."""

from pathlib import Path
from typing import Annotated

import tyro


def report(
    run: Annotated[Path, tyro.conf.Positional],
    *,
    limit: int | None = None,
    all: bool = False,
    quiet: bool = False,
) -> None:
    """Write report/index.html from what the run's folder holds: the audit's verdict, results, maps, pictures.

    Up to 500 pictures stand in the page, which is then one file; more are written into report/pictures beside it.

    Example: jaxcam report runs/pictures --all

    Args:
        run: a run's folder
        limit: pictures shown, of all splits together; default: 500, the wrong ones and those behind a finding first
        all: show every picture
        quiet: no progress
    """
    from jaxcam.errors import UserError
    from jaxcam.progress import Progress
    from jaxcam.report.gallery import LIMIT
    from jaxcam.report.run_page import write_report

    if all and limit is not None:
        raise UserError("--all shows every picture and --limit some of them; give one of the two")
    if limit is not None and limit < 1:
        raise UserError(f"--limit {limit} is no number of pictures; give 1 or more")
    print(write_report(run, limit=None if all else limit or LIMIT, progress=Progress(quiet)))
