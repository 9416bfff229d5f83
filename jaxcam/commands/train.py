"""`jaxcam train`."""

import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxcam.cli import parse
from jaxcam.errors import UserError


def train(arguments: Sequence[str]) -> None:
    """Train a classifier: jaxcam train CONFIG [--out RUN] [--a.b value ...]

    CONFIG is a file such as configs/folder.py, or configs/bart_vs_homer.py:experiment=leaky with arguments for it.
    Every value of the config can be changed by an option; `jaxcam train CONFIG --help` lists them. A run that was
    interrupted goes on where it stopped.

    Example: jaxcam train configs/folder.py --data.folder pictures --phases.0.epochs 10 --out runs/pictures
    """
    if not arguments or arguments[0].startswith("-"):
        print(inspect.getdoc(train))
        if arguments[:1] in (["-h"], ["--help"]):
            return
        raise UserError("no config: give a file first, as in `jaxcam train configs/folder.py --data.folder pictures`")
    from jaxcam import config as configs

    file = configs.load(arguments[0])
    stem = Path(arguments[0].partition(":")[0]).stem
    out = Annotated[Path, tyro.conf.arg(help="the run's folder")]
    quiet = Annotated[bool, tyro.conf.arg(help="no progress")]
    options = dataclasses.make_dataclass(
        "Options", [("out", out), ("quiet", quiet)], bases=(configs.Config,), frozen=True, kw_only=True
    )
    values = {field.name: getattr(file.config, field.name) for field in dataclasses.fields(configs.Config)}
    chosen: Any = parse(
        tyro.conf.AvoidSubcommands[options],  # type: ignore[valid-type,misc]
        arguments[1:],
        f"jaxcam train {arguments[0]}",
        default=options(**values, out=Path("runs") / stem, quiet=False),
        description=file.about,
    )
    config = configs.Config(**{name: getattr(chosen, name) for name in values})
    from jaxcam.progress import Progress
    from jaxcam.training.command import train as train_run

    train_run(config, chosen.out, progress=Progress(chosen.quiet))
    print(f"{chosen.out}: next, jaxcam explain {chosen.out} and jaxcam report {chosen.out}")
