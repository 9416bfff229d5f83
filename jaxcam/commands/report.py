"""`jaxcam report`."""

from pathlib import Path
from typing import Annotated

import tyro


def report(run: Annotated[Path, tyro.conf.Positional]) -> None:
    """Write report/index.html from what the run's folder holds.

    Example: jaxcam report runs/pictures

    Args:
        run: a run's folder
    """
    from jaxcam.report.pages import write_report

    print(write_report(run))
