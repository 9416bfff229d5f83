"""`jaxcam features RUN filters`."""

from pathlib import Path
from typing import Annotated

import tyro

from jaxcam.features.filter_settings import FilterSettings


def filters(
    run: Annotated[Path, tyro.conf.Positional],
    *,
    stages: tuple[str, ...] = (),
    channels: tuple[int, ...] = (),
    limit: int = 64,
    out: Path | None = None,
    settings: Annotated[FilterSettings, tyro.conf.arg(name="")] = FilterSettings(),  # noqa: B008 (frozen)
    quiet: bool = False,
) -> None:
    """Patterns that excite the channels of stages, by gradient ascent from noise; all channels in one program.

    Example: jaxcam features runs/pictures filters --stages block1_conv1 block3_conv1 --recipe book

    Args:
        run: a run's folder
        stages: names of stages; default: the first convolution of every block
        channels: numbers of channels; default: the first ones
        limit: of a stage at most so many channels
        out: folder to write to; default: RUN/features/filters
        settings: how patterns are made
        quiet: no progress
    """
    import jaxcam
    from jaxcam import devices
    from jaxcam.errors import UserError
    from jaxcam.features import filters as work
    from jaxcam.progress import Progress

    if limit < 1:
        raise UserError(f"--limit is {limit}; it must be at least 1")
    devices.keep_compiled()
    progress, classifier = Progress(quiet), jaxcam.load(run)
    folder = out or run / "features" / "filters"
    for stage in stages or work.default_stages(classifier):
        count = work.channel_count(classifier, stage)
        chosen = channels or tuple(range(min(limit, count)))
        progress.say(f"{stage}: {len(chosen)} of {count} channels")
        found = work.filter_patterns(classifier, stage, chosen, settings)
        files = work.write_filters(found, folder, settings)
        silent = f"; response not raised: {', '.join(map(str, found.silent))}" if found.silent else ""
        print(f"{files[0]}: {len(chosen)} of {count} channels{silent}")
