"""The training loop: phases, epochs, history, checkpoints, resume."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxcam import devices
from jaxcam.checkpoint import Checkpoints
from jaxcam.classifier import Classifier
from jaxcam.config import Config
from jaxcam.data.folder import ImageSet
from jaxcam.progress import Progress
from jaxcam.training.curves import write_curves
from jaxcam.training.history import HISTORY, TIMINGS, append_line, cut_history, epoch_line
from jaxcam.training.phase_run import PhaseRun
from jaxcam.training.resume import Place, last_place, moved_stages

CHECKPOINTS_A_PHASE = 10
DEAD_SPREAD = 1e-6
DEAD = (
    "warning: every picture gets the same logits: the head is dead. Lower --phases.{}.learning-rate, or take the ReLU "
    "out of the head"
)


def fit(
    classifier: Classifier,
    config: Config,
    train: ImageSet,
    valid: ImageSet,
    run: Path,
    *,
    progress: Progress,
) -> Classifier:
    """Train the classifier through the config's phases; continues where the run's last checkpoint stands.

    Writes `history.jsonl` (no times in it: a resumed run gives the same bytes), `timings.jsonl` and `checkpoints/`; of
    several processes only the first one writes. Raises `UserError` where the loss becomes NaN or infinite.
    """
    made_for = {"network": asdict(classifier.network), "class_names": classifier.class_names}
    with Checkpoints(run / "checkpoints", made_for=made_for, say=progress.say) as checkpoints:
        place = last_place(checkpoints, classifier, config)
        if place.loop["epoch"]:
            progress.say(f"continuing after epoch {place.loop['epoch']} of phase {place.loop['phase'] + 1}")
        if devices.is_first():
            for name in (HISTORY, TIMINGS):
                cut_history(run / name, place.loop)
        for number in range(place.loop["phase"], len(config.phases)):
            if number > place.loop["phase"]:
                place = Place({**dict.fromkeys(place.loop, 0), "best_value": 0.0, "phase": number}, place.params)
            if not place.loop["done"]:
                job = PhaseRun(replace(classifier, params=place.params), config, number, train, valid, progress)
                place = run_phase(job, place, config, run, checkpoints)
                if devices.is_first() and number + 1 < len(config.phases):
                    write_curves(run, tensorboard=config.tensorboard)
    return replace(classifier, params=jax.tree.map(jnp.asarray, jax.device_get(place.params)))


def run_phase(job: PhaseRun, place: Place, config: Config, run: Path, checkpoints: Checkpoints) -> Place:
    """Train a phase to its end from a place inside it; the place after it, with the parameters that it hands on."""
    phase, number, loop, best, kept = job.phase, job.number, place.loop, place.best, place.kept
    state = job.state(place.opt_state, loop["step"])
    every = max(1, phase.epochs // CHECKPOINTS_A_PHASE)
    before = sum(earlier.epochs for earlier in config.phases[:number])
    moved = moved_stages(job.classifier, config, number)
    others = {name: value for name, value in place.params.items() if name in moved}
    done = False
    handed: dict[str, Any] = {}
    while not done:
        state, record, timing = job.epoch(state, loop["epoch"])
        job.progress.say(epoch_line(record, timing, phase))
        if devices.is_first():
            append_line(run / HISTORY, record)
            append_line(run / TIMINGS, timing)
        previous, best = best, best.after(phase, record)
        if phase.keep == "best" and (best != previous or kept is None):
            kept = jax.tree.map(jnp.copy, state.params)
        done = record["epoch"] == phase.epochs or best.stops(phase, record["epoch"])
        loop = {key: record[key] for key in ("phase", "epoch", "step")}
        loop |= {"best_epoch": best.epoch, "best_value": best.value, "done": int(done)}
        if done or record["epoch"] % every == 0:
            handed = kept if done and phase.keep == "best" and best.epoch else state.params
            trees: dict[str, Any] = {"params": {**others, **handed}, "opt_state": state.opt_state}
            trees |= {"best": kept} if phase.keep == "best" else {}
            checkpoints.save(before + record["epoch"], {**trees, "loop": loop})
            if record["valid_logit_spread"] < DEAD_SPREAD:
                job.progress.say(DEAD.format(number))
    if loop["epoch"] < phase.epochs:
        job.progress.say(
            f"phase {number + 1} ends after epoch {loop['epoch']}: no better {phase.monitor} since epoch {best.epoch}"
        )
    if phase.keep == "best" and best.epoch:
        job.progress.say(f"phase {number + 1} keeps epoch {best.epoch} ({phase.monitor} {best.value:.4f})")
    return Place(loop, {**place.params, **jax.device_get(handed)})
