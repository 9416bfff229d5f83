"""`jaxcam explain`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from jaxcam.maps.judging import Judging
from jaxcam.maps.options import METHODS, MethodOptions

if TYPE_CHECKING:
    from jaxcam.classifier import Classifier
    from jaxcam.data.folder import ImageSet
    from jaxcam.maps.reader import Maps
    from jaxcam.maps.request import Request
    from jaxcam.maps.store import MapStore


@dataclass(frozen=True, kw_only=True)
class Output:
    """What is written beside the maps."""

    overlays: bool = False
    """a picture with the map laid over for every image, in RUN/overlays"""
    sheet: int | None = None
    """contact sheets of so many images, one a method, in RUN/sheets"""
    sheet_order: Literal["class", "errors", "score", "first"] = "class"
    """which images are on the sheets: of every class, the surest errors, the highest scores, the first"""
    export: tuple[Literal["npy", "csv"], ...] = ()
    """plain files in RUN/export: npy (every array), csv (scores, peaks and flags)"""
    colormap: Literal["inferno", "viridis", "jet", "seismic"] | None = None
    """colours; default: inferno, and seismic for maps with a sign"""
    opacity: float = 0.5
    """of the map over its image"""
    scale: Literal["image", "set"] = "image"
    """colours of each image's own range, or one range for the whole set"""
    percentile: float = 100.0
    """share of the values that the colours reach up to"""
    format: Literal["jpg", "png"] = "jpg"
    """of the overlays"""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """For several processes that share the work, each started with the same command."""

    coordinator: str | None = None
    """HOST:PORT of process 0, or auto (Slurm, Open MPI, Kubernetes, cloud TPU)"""
    processes: int | None = None
    """how many there are"""
    process_id: int | None = None
    """number of this one, from 0"""


def explain(
    run: Annotated[Path, tyro.conf.Positional],
    *,
    data: Path | None = None,
    name: str | None = None,
    methods: Annotated[tuple[str, ...], tyro.conf.arg(help=f"any of: {', '.join(METHODS)}")] = ("grad_cam",),
    targets: str = "predicted",
    score: Literal["logit", "probability"] = "logit",
    stage: tuple[str, ...] = (),
    fuse: Literal["mean", "max", "product"] | None = None,
    batch_size: int = 32,
    dtype: Literal["float16", "float32"] = "float16",
    overwrite: bool = False,
    quiet: bool = False,
    judge: bool = False,
    masks: Path | None = None,
    judging: Judging = Judging(),  # noqa: B008 (frozen)
    options: Annotated[MethodOptions, tyro.conf.arg(name="")] = MethodOptions(),  # noqa: B008 (frozen)
    output: Annotated[Output, tyro.conf.arg(name="")] = Output(),
    joined: Annotated[Processes, tyro.conf.arg(name="")] = Processes(),
) -> None:
    """Maps of a whole image set into the run's folder; an interrupted one goes on where it stopped.

    Example: jaxcam explain runs/pictures --methods cam grad_cam --targets all

    Args:
        run: a run's folder
        data: folder of images; default: the run's own validation pictures
        name: name of the store; default: the folder's name, or valid
        methods: names of methods
        targets: predicted, second, true, all, top3, a class name, a-b (what speaks for a rather than b), or several
            of these with commas
        score: what is explained: the class' logit or its probability
        stage: stages of the layer methods; default: the last convolution below the head
        fuse: make one map of several stages
        batch_size: images a step
        dtype: type that maps are stored in
        overwrite: replace maps that were made with other settings
        quiet: no progress
        judge: judge the maps of the methods beside maps that know nothing: a table, judge.json and judge.csv in the run
        masks: folder with a mask for each image, under the image's relative path; for the measures that need one
        judging: how maps are judged
        options: settings of single methods
        output: what is written beside the maps
        joined: several processes
    """
    from jaxcam import devices
    from jaxcam.errors import UserError
    from jaxcam.maps.panels import Look
    from jaxcam.maps.reader import open_maps
    from jaxcam.maps.request import Request
    from jaxcam.maps.sets import run_set
    from jaxcam.progress import Progress
    from jaxcam.runs import open_sets

    devices.join(coordinator=joined.coordinator, processes=joined.processes, process_id=joined.process_id)
    devices.keep_compiled()
    first = devices.is_first()
    if (judge or masks is not None) and joined.processes not in (None, 1):
        raise UserError("maps are judged by one process; run the same command alone with --judge when they are there")
    look = Look(colormap=output.colormap, opacity=output.opacity, scale=output.scale, percentile=output.percentile)
    classifier, sets = open_sets(run, data, name, default="valid")
    stages = stage[0] if len(stage) == 1 else stage or None
    request = Request(
        methods=methods, targets=targets, score=score, stage=stages, fuse=fuse, options=options, dtype=dtype
    )
    for split, images in sets.items():
        store = run_set(
            classifier,
            images,
            run,
            request,
            name=split,
            batch_size=batch_size,
            overwrite=overwrite,
            progress=Progress(quiet or not first),
        )
        if first:
            print(f"{store.path}: {len(images)} images, {', '.join(store.methods)}")
            for line in written(run, split, open_maps(store.path), images, classifier, output, look):
                print(line)
            if judge or masks is not None:
                print(judged(run, split, classifier, images, store, request, judging, masks, quiet))


def written(
    run: Path, split: str, maps: "Maps", images: "ImageSet", classifier: "Classifier", output: Output, look
) -> list[str]:
    """Write what was asked for beside the maps; what there is to say of it, and of the set."""
    from jaxcam.maps.export import export
    from jaxcam.maps.occluded import tell
    from jaxcam.maps.overlays import write_set_overlays
    from jaxcam.maps.sheets import write_sheets

    lines = tell(run, split, maps)
    if output.overlays:
        folder = run / "overlays" / split
        lines.append(write_set_overlays(maps, images, folder, classifier.preprocessing, look=look, kind=output.format))
    if output.sheet is not None:
        folder, order = run / "sheets" / split, output.sheet_order
        files = write_sheets(maps, images, folder, classifier.preprocessing, count=output.sheet, order=order, look=look)
        lines.append(f"{len(files)} contact sheets in {folder}" if files else f"no images for a sheet by {order}")
    if output.export:
        folder = run / "export" / split
        lines.append(f"{len(export(maps, folder, output.export))} files in {folder}")
    return lines


def judged(
    run: Path,
    split: str,
    classifier: "Classifier",
    images: "ImageSet",
    store: "MapStore",
    request: "Request",
    judging: Judging,
    masks: Path | None,
    quiet: bool,
) -> str:
    """Judge the maps of a set and write what was found; the table."""
    from jaxcam.maps.judge import judge_set
    from jaxcam.maps.judge_table import table, write_judgement
    from jaxcam.progress import Progress

    found = judge_set(classifier, images, store, request, settings=judging, masks=masks, progress=Progress(quiet))
    files = write_judgement(run, split, found)
    return "\n".join([table(found), ", ".join(files)])
