"""`jaxcam train`."""

import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxcam.cli import parse
from jaxcam.errors import UserError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Joined:
    """For several processes that train together."""

    coordinator: str | None = None
    """HOST:PORT of process 0, or auto (Slurm, Open MPI, Kubernetes, cloud TPU)"""
    processes: int | None = None
    """how many there are"""
    process_id: int | None = None
    """number of this one, from 0"""


def train(arguments: Sequence[str]) -> None:
    """Train a classifier: jaxcam train CONFIG [--out RUN] [--a.b value ...]

    CONFIG is a file such as configs/folder.py, or configs/bart_vs_homer.py:experiment=leaky with arguments for it.
    Every value of the config can be changed by an option; `jaxcam train CONFIG --help` lists them. A run that was
    interrupted goes on where it stopped. Several processes (hosts) train together when each is started with the same
    command and --joined.coordinator HOST:PORT --joined.processes N --joined.process-id I, or --joined.coordinator auto;
    they must see the same files.

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
    more = [("out", out), ("quiet", quiet), ("joined", Joined)]
    options = dataclasses.make_dataclass("Options", more, bases=(configs.Config,), frozen=True, kw_only=True)
    values = {field.name: getattr(file.config, field.name) for field in dataclasses.fields(configs.Config)}
    chosen: Any = parse(
        tyro.conf.AvoidSubcommands[options],  # type: ignore[valid-type,misc]
        arguments[1:],
        f"jaxcam train {arguments[0]}",
        default=options(**values, out=Path("runs") / stem, quiet=False, joined=Joined()),
        description=file.about,
    )
    config = configs.Config(**{name: getattr(chosen, name) for name in values})
    from jaxcam import devices
    from jaxcam.progress import Progress
    from jaxcam.training.command import train as train_run

    devices.join(**dataclasses.asdict(chosen.joined))
    devices.keep_compiled()
    train_run(config, chosen.out, progress=Progress(chosen.quiet or not devices.is_first()))
    if devices.is_first():
        print(f"{chosen.out}: next, jaxcam explain {chosen.out} and jaxcam report {chosen.out}")
