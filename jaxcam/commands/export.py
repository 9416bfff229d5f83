"""`jaxcam export`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxcam.maps.options import METHODS, MethodOptions


def export(
    run: Annotated[Path, tyro.conf.Positional],
    out: Annotated[Path, tyro.conf.Positional],
    *,
    methods: Annotated[tuple[str, ...], tyro.conf.arg(help=f"any of: none, {', '.join(METHODS)}")] = ("grad_cam",),
    targets: str = "predicted",
    score: Literal["logit", "probability"] = "logit",
    stage: tuple[str, ...] = (),
    fuse: Literal["mean", "max", "product"] | None = None,
    platforms: tuple[Literal["cpu", "cuda", "tpu", "rocm"], ...] = ("cpu", "cuda", "tpu"),
    options: Annotated[MethodOptions, tyro.conf.arg(name="")] = MethodOptions(),  # noqa: B008 (frozen)
) -> None:
    """One portable program, uint8 images in, probabilities and maps out: runs with jax and numpy alone.

    Example: jaxcam export runs/pictures exported --methods cam grad_cam && python exported/load.py cat.jpg

    Args:
        run: a run's folder
        out: new folder, or one that holds an exported program
        methods: names of methods; none: probabilities only
        targets: predicted, second, all, top3, a class name, a-b, or several of these with commas
        score: what is explained: the class' logit or its probability
        stage: stages of the layer methods; default: the last convolution below the head
        fuse: make one map of several stages
        platforms: where the program can run
        options: settings of single methods
    """
    from dataclasses import asdict

    import jaxcam
    from jaxcam.exporting import export as write

    more = asdict(options) | {"score": score} | ({"fuse": fuse} if fuse else {})
    stages = stage[0] if len(stage) == 1 else stage or None
    chosen = () if methods == ("none",) else methods
    folder = write(jaxcam.load(run), out, methods=chosen, targets=targets, stage=stages, platforms=platforms, **more)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder}: {size / 2**20:.1f} MiB for {', '.join(platforms)}; run it with: python {folder}/load.py IMAGE...")
