"""Train the four networks, look where they look, and write it down."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxcam.attribution import contrast, heat_in_mask
from jaxcam.audit.run import audit_run
from jaxcam.audit.subject import AuditOptions
from jaxcam.audit.verdict import verdict
from jaxcam.classifier import Classifier, Predictions
from jaxcam.config import Config
from jaxcam.data.folder import ImageSet, load_folder
from jaxcam.demo import page, pictures, recipes
from jaxcam.demo.pictures import BACKGROUND_CLASS, Experiment, Pictures
from jaxcam.files import write_json
from jaxcam.maps.program import Request
from jaxcam.maps.sets import run_set
from jaxcam.maps.store import MapStore
from jaxcam.metrics import wilson
from jaxcam.progress import Progress
from jaxcam.report.run_page import write_report
from jaxcam.training.command import train
from jaxcam.training.loop import DEAD_SPREAD

Recipe = Callable[[Experiment], Config]
REQUEST = Request(methods=("cam", "grad_cam"), targets="all")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What an experiment showed."""

    experiment: str
    run: str
    title: str
    what: str
    validation_accuracy: float
    validation_count: int
    validation_interval: tuple[float, float]
    swapped_accuracy: float
    swapped_count: int
    swapped_interval: tuple[float, float]
    swapped_confidence: float
    """mean probability of the answer when the backgrounds are swapped"""
    heat_on_figure: float | None
    """mean share of the heat (CAM of the answer minus the mean of all classes) on the figure; None: no heat at all"""
    figure_area: float
    """mean share of the picture that the figure covers: an even map scores this"""
    empty_scenes: tuple[tuple[str, str, float], ...]
    """(picture, answer, probability) for the scenes without a figure"""
    dead: bool
    """every picture gets the same logits"""
    audit_alone: str
    """verdict of the audit's data and model layers, which know neither masks nor swapped pictures"""
    audit: str
    """its verdict with the swapped pictures as counter-examples"""


@dataclass(frozen=True)
class Explained:
    """An image set with the maps and answers of one classifier."""

    images: ImageSet
    store: MapStore

    @property
    def logits(self) -> np.ndarray:
        """Logits of every picture."""
        return self.store.read("logits")

    @property
    def figures(self) -> np.ndarray:
        """Rows of the pictures that show a figure of a known class."""
        names = np.asarray(self.images.folder_names)
        return np.flatnonzero((self.images.labels >= 0) & (names != BACKGROUND_CLASS))

    def heat(self, rows: np.ndarray) -> np.ndarray:
        """CAM of the answer minus the mean over the classes, signed, at the map's resolution."""
        answers = jnp.asarray(self.logits[rows].argmax(1), jnp.int32)
        return np.asarray(contrast(jnp.asarray(self.store.read("cam", rows)), answers))

    def right(self, rows: np.ndarray) -> np.ndarray:
        """Whether each answer is right."""
        return self.logits[rows].argmax(1) == self.images.labels[rows]


def tell(out: Path, *, pictures_folder: Path | None = None, recipe: Recipe | None = None, progress: Progress) -> str:
    """Run the story into `out`: `pictures/`, `runs/`, `summary.json`, `index.html`; returns the table and the page.

    Interrupted, it goes on where it stopped.
    """
    if pictures_folder is None:
        told = pictures.drawn(out / "pictures")
        recipe = recipe or recipes.offline
    else:
        told = pictures.real(pictures_folder, out / "pictures")
        recipe = recipe or recipes.offline_real
    results, chapters = [], []
    for number, experiment in enumerate(told.experiments, start=1):
        progress.say(f"\nexperiment {number} of {len(told.experiments)}: {experiment.title}")
        result, chapter = run_experiment(experiment, told, recipe(experiment), out, progress)
        results.append(result)
        chapters.append(chapter)
    write_json(out / "summary.json", [asdict(result) for result in results])
    written = page.write(out, told, results, chapters)
    return f"{table(results)}\n\n{written}"


def run_experiment(
    experiment: Experiment, told: Pictures, config: Config, out: Path, progress: Progress
) -> tuple[Result, page.Chapter]:
    """Train, explain the three picture sets, measure."""
    experiment.prepare()
    run = out / "runs" / experiment.key
    classifier = train(config, run, progress=progress)
    names = classifier.class_names
    valid = load_folder(experiment.valid, class_names=names, name="valid")
    swapped = load_folder(experiment.swapped, class_names=names, name="swapped")
    empty = load_folder(told.empty, class_names=names, name="empty")
    explained = {
        images.name: Explained(images, explain(classifier, images, run, progress)) for images in (valid, swapped, empty)
    }
    verdicts = audited(run, experiment.swapped, progress)
    write_report(run)
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    dead = history[-1]["valid_logit_spread"] < DEAD_SPREAD
    result = measure(experiment, told, run, explained, dead=dead, verdicts=verdicts)
    return result, page.chapter(result, explained, told)


def explain(classifier: Classifier, images: ImageSet, run: Path, progress: Progress) -> MapStore:
    """The maps of a set, from the run's folder where they are there already."""
    return run_set(classifier, images, run, REQUEST, name=images.name, batch_size=16, progress=progress)


def audited(run: Path, swapped: Path, progress: Progress) -> tuple[str, str]:
    """The audit's verdict from the data and the model alone, and with the swapped pictures as counter-examples."""
    found = audit_run(run, options=AuditOptions(counter=(swapped,)), progress=progress)
    alone = verdict([signal for signal in found.signals if signal.layer != "confirm"])
    return alone.word, found.verdict.word


def measure(
    experiment: Experiment,
    told: Pictures,
    run: Path,
    explained: dict[str, Explained],
    *,
    dead: bool,
    verdicts: tuple[str, str],
) -> Result:
    """The story's numbers."""
    valid, swapped, empty = (explained[name] for name in ("valid", "swapped", "empty"))
    known = np.flatnonzero(valid.images.labels >= 0)
    right, right_swapped = valid.right(known), swapped.right(swapped.figures)
    masks = [told.mask(valid.images, row) for row in valid.figures.tolist()]
    shares = heat_in_mask(jnp.asarray(valid.heat(valid.figures)), jnp.asarray(np.stack(masks)))
    answers = Predictions(empty.logits, empty.images.class_names)
    return Result(
        experiment=experiment.key,
        run=run.as_posix(),
        title=experiment.title,
        what=experiment.what,
        validation_accuracy=float(right.mean()),
        validation_count=len(right),
        validation_interval=wilson(int(right.sum()), len(right)),
        swapped_accuracy=float(right_swapped.mean()),
        swapped_count=len(right_swapped),
        swapped_interval=wilson(int(right_swapped.sum()), len(right_swapped)),
        swapped_confidence=float(Predictions(swapped.logits, ()).probabilities.max(1).mean()),
        heat_on_figure=float(np.nanmean(np.asarray(shares))) if np.isfinite(shares).any() else None,
        figure_area=float(np.mean([mask.mean() for mask in masks])),
        empty_scenes=tuple(
            (Path(path).stem, label, float(share.max()))
            for path, label, share in zip(empty.images.paths, answers.labels, answers.probabilities, strict=True)
        ),
        dead=dead,
        audit_alone=verdicts[0],
        audit=verdicts[1],
    )


def table(results: list[Result]) -> str:
    """The results as plain text."""
    heads = f"{'experiment':22}{'validation':>18}{'swapped background':>22}{'heat on figure':>18}"
    lines = [f"{heads}  audit alone, with the swapped"]
    for r in results:
        valid = f"{r.validation_accuracy:.0%} of {r.validation_count}"
        swapped = f"{r.swapped_accuracy:.0%} of {r.swapped_count}"
        heat = "none" if r.dead or r.heat_on_figure is None else f"{r.heat_on_figure:.0%}"
        lines.append(f"{r.experiment:22}{valid:>18}{swapped:>22}{heat:>18}  {r.audit_alone}, {r.audit}")
    area = np.mean([r.figure_area for r in results])
    return "\n".join([*lines, f"(the figures cover {area:.0%} of the pictures: an even map would score that)"])
