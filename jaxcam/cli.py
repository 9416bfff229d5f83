"""The `jaxcam` command: one function a command; it parses, calls and prints. Heavy imports stay inside."""

import contextlib
import dataclasses
import functools
import inspect
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jaxcam import __version__
from jaxcam.errors import UserError


def demo(*, out: Path = Path("runs/demo"), pictures: Path | None = None, quiet: bool = False) -> None:
    """Tell the whole story offline: four experiments, their maps, and one page.

    Example: jaxcam demo --out runs/demo

    Args:
        out: folder for pictures, runs and the page
        pictures: folder of the real pictures (bart-vs-homer); without it the pictures are drawn
        quiet: no progress
    """
    from jaxcam.demo import story
    from jaxcam.progress import Progress

    print(story.tell(out, pictures_folder=pictures, progress=Progress(quiet)))


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


def evaluate(
    run: Annotated[Path, tyro.conf.Positional],
    *,
    data: Path | None = None,
    name: str | None = None,
    quiet: bool = False,
) -> None:
    """Accuracy, balanced accuracy and confusion matrix of a run's classifier.

    Example: jaxcam evaluate runs/pictures --data other/pictures

    Args:
        run: a run's folder
        data: folder of images; default: the run's own training and validation pictures
        name: name of the predictions file; default: the folder's name
        quiet: no progress
    """
    from jaxcam.evaluation import predict_set, summary, write_predictions
    from jaxcam.maps.run import known_flags
    from jaxcam.progress import Progress
    from jaxcam.runs import open_sets

    classifier, sets = open_sets(run, data, name)
    for split, images in sets.items():
        predictions = predict_set(classifier, images, progress=Progress(quiet))
        flags = known_flags(run, split, classifier, images)
        write_predictions(run / "predictions" / f"{split}.csv", predictions, flags)
        print(summary(split, predictions))


def predict(
    run: Annotated[Path, tyro.conf.Positional],
    images: Annotated[tuple[Path, ...], tyro.conf.Positional],
    *,
    overlay: Path | None = None,
) -> None:
    """Class and probability of single images.

    Example: jaxcam predict runs/pictures cat.jpg dog.png --overlay overlays

    Args:
        run: a run's folder
        images: image files
        overlay: folder for pictures with the Grad-CAM map laid over
    """
    import jaxcam
    from jaxcam.maps.overlays import write_overlays

    if not images:
        raise UserError("no images: give image files after the run's folder")
    classifier = jaxcam.load(run)
    predictions = classifier.predict([str(path) for path in images])
    for path, label, shares in zip(images, predictions.labels, predictions.probabilities, strict=True):
        print(f"{path}: {label} {shares.max():.4f}")
    if overlay is not None:
        pixels = classifier.prepare([str(path) for path in images])
        maps = classifier.explain(pixels, methods=("grad_cam",))["grad_cam"]
        for file in write_overlays(overlay, [path.stem for path in images], pixels, maps):
            print(file)


def explain(
    run: Annotated[Path, tyro.conf.Positional],
    *,
    data: Path | None = None,
    name: str | None = None,
    methods: tuple[Literal["cam", "grad_cam"], ...] = ("grad_cam",),
    targets: str = "predicted",
    stage: str | None = None,
    batch_size: int = 32,
    overlays: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Maps of a whole image set into the run's folder; an interrupted one goes on where it stopped.

    Example: jaxcam explain runs/pictures --methods cam grad_cam --targets all

    Args:
        run: a run's folder
        data: folder of images; default: the run's own validation pictures
        name: name of the store; default: the folder's name, or valid
        methods: cam needs a head that ends in global average pooling
        targets: predicted, true, all, or a class name
        stage: stage whose maps Grad-CAM weighs; default: the last convolution below the head
        batch_size: images a step
        overlays: also write a picture with the map laid over for every image
        overwrite: replace maps that were made with other settings
        quiet: no progress
    """
    from jaxcam.maps.overlays import write_set_overlays
    from jaxcam.maps.run import Request, run_set
    from jaxcam.progress import Progress
    from jaxcam.runs import open_sets

    classifier, sets = open_sets(run, data, name, default="valid")
    request = Request(methods=methods, targets=targets, stage=stage)
    for split, images in sets.items():
        store = run_set(
            classifier,
            images,
            run,
            request,
            name=split,
            batch_size=batch_size,
            overwrite=overwrite,
            progress=Progress(quiet),
        )
        print(f"{store.path}: {len(images)} images, {', '.join(methods)}")
        if overlays:
            print(write_set_overlays(store, images, run / "overlays" / split, classifier.preprocessing))


def report(run: Annotated[Path, tyro.conf.Positional]) -> None:
    """Write report/index.html from what the run's folder holds.

    Example: jaxcam report runs/pictures

    Args:
        run: a run's folder
    """
    from jaxcam.report.pages import write_report

    print(write_report(run))


def weights(
    action: Annotated[Literal["list", "fetch", "convert"], tyro.conf.Positional],
    names: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
    *,
    network: str = "vgg16",
    ignore_top: bool = False,
) -> None:
    """Pretrained weights: what there is, download one, convert a file.

    Example: jaxcam weights list; jaxcam weights fetch NAME; jaxcam weights convert vgg16.pth vgg16.safetensors

    Args:
        action: list; fetch NAME; convert FROM TO
        names: the entry's name, or the two files
        network: architecture that the file is for (convert)
        ignore_top: leave the dense top out (convert)
    """
    from jaxcam import weights as package

    wanted = {"list": 0, "fetch": 1, "convert": 2}[action]
    if len(names) != wanted:
        raise UserError(f"`jaxcam weights {action}` takes {wanted} names, got {len(names)}; see jaxcam weights --help")
    if action == "list":
        print(package.weights_list())
    elif action == "fetch":
        print(package.weights_fetch(names[0]))
    else:
        print(package.weights_convert(names[0], names[1], network=network, ignore_top=ignore_top))


def data(
    action: Annotated[Literal["draw"], tyro.conf.Positional],
    folder: Annotated[Path, tyro.conf.Positional],
    *,
    kind: Literal["classes", "scenes"] = "scenes",
    count: int = 160,
    valid_count: int = 40,
    seed: int = 0,
    size: tuple[int, int] | None = None,
) -> None:
    """Draw a set of pictures to try things on; an unfinished folder is completed.

    Example: jaxcam data draw pictures --kind scenes --count 160

    Args:
        action: draw
        folder: where the pictures go
        kind: classes (111 classes of shapes, textures, things) or scenes (two figures before two backgrounds, masks)
        count: training pictures
        valid_count: validation pictures
        seed: the same seed draws the same pictures
        size: height and width; default 64 64 for classes, 192 320 for scenes
    """
    if count < 1 or valid_count < 1:
        raise UserError(f"got --count {count} --valid-count {valid_count}; both must be at least 1")
    if kind == "classes":
        from jaxcam.data.drawn import write_folder

        if size is not None and size[0] != size[1]:
            raise UserError(f"pictures of classes are square, got --size {size[0]} {size[1]}")
        written = write_folder(folder, count, seed, size=64 if size is None else size[0], valid_count=valid_count)
    else:
        from jaxcam.data.scenes import write_scenes

        train, valid = max(1, count // 2), max(1, valid_count // 2)
        pixels = (192, 320) if size is None else size
        written = write_scenes(folder, seed=seed, train_per_class=train, valid_per_class=valid, size=pixels)
    print(f"{folder}: {written} pictures")


COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "data": data,
    "weights": weights,
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "explain": explain,
    "report": report,
}


def usage() -> str:
    """The list of commands."""
    lines = [f"jaxcam {__version__}: train an image classifier, see where it looks, and be told whether it cheats.", ""]
    for name, command in COMMANDS.items():
        lines.append(f"  jaxcam {name:10}{(command.__doc__ or '').splitlines()[0]}")
    return "\n".join([*lines, "", "jaxcam COMMAND --help tells more. Start with: jaxcam demo"])


def parse(command: Any, arguments: Sequence[str], program: str, **options: Any) -> Any:
    """Parse with tyro; what it says about a mistake becomes a `UserError` of one line."""
    complaints = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaints):
            return tyro.cli(command, args=list(arguments), prog=program, **options)
    except SystemExit as stop:
        if stop.code:
            raise UserError(f"{one_line(complaints.getvalue())} (see {program} --help)") from stop
        raise


def one_line(text: str) -> str:
    """What tyro says over many lines, as one line without its frame and its title."""
    words = [line.strip(" │╭╮╰╯─-") for line in text.splitlines()]
    hints = ("For full helptext", "Argument helptext")
    lines = [line for line in words if line and not line.startswith(hints) and not line.endswith(" --help")]
    return " ".join(lines[1:] if len(lines) > 1 else lines)


def dispatch(arguments: Sequence[str]) -> None:
    """Call the command named first."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
    elif arguments[0] == "--version":
        print(__version__)
    elif arguments[0] not in COMMANDS:
        raise UserError(f"unknown command {arguments[0]!r}; there are: {', '.join(COMMANDS)}")
    elif arguments[0] == "train":
        train(arguments[1:])
    else:
        command = COMMANDS[arguments[0]]

        @functools.wraps(command)
        def later(*args: Any, **kwargs: Any) -> Any:
            return functools.partial(command, *args, **kwargs)

        # Called outside of `parse`, so that only tyro's own words are taken from stderr.
        parse(later, arguments[1:], f"jaxcam {arguments[0]}")()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 on success, 2 on a user's error (one line on stderr), 130 when interrupted."""
    try:
        dispatch(sys.argv[1:] if arguments is None else arguments)
    except (UserError, OSError) as error:  # OSError: a full disk, a folder that must not be written
        print(f"jaxcam: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except SystemExit as stop:  # tyro's --help
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        print("jaxcam: interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return 130
    return 0
