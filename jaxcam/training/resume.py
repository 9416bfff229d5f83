"""Where a run stands: what a checkpoint holds, and how it is found again."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcam import devices
from jaxcam.checkpoint import Checkpoints
from jaxcam.classifier import Classifier
from jaxcam.config import Config
from jaxcam.errors import UserError
from jaxcam.networks.chain import split_params, split_statistics
from jaxcam.training import phases
from jaxcam.training.stopping import Best

BEGINNING: dict[str, Any] = {"phase": 0, "epoch": 0, "step": 0, "best_epoch": 0, "best_value": 0.0, "done": 0}
"""`loop` of a checkpoint: phase (from 0), epochs and steps of it that are done, its best epoch, whether it is over"""


class Place(NamedTuple):
    """Where to go on: the loop's numbers, all parameters, and of the phase the optimiser's state and best parameters.

    Where the phase is over, the parameters are those that it hands on.
    """

    loop: dict[str, Any]
    params: dict[str, Any]
    opt_state: Any = None
    kept: Any = None

    @property
    def best(self) -> Best:
        """The phase's best epoch."""
        return Best(int(self.loop["best_epoch"]), float(self.loop["best_value"]))


def last_place(checkpoints: Checkpoints, classifier: Classifier, config: Config) -> Place:
    """Where the last checkpoint stands; the beginning where there is none. The first process reads it."""

    def expected(loop: Mapping[str, Any]) -> dict[str, Any]:
        return expected_trees(classifier, config, loop)

    found = checkpoints.last(BEGINNING, expected) if devices.is_first() else None
    loop = devices.told_json(found and found[0])
    if loop is None:
        return Place(dict(BEGINNING), dict(classifier.params))
    blank = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), expected(loop))
    trees = devices.told(found[1] if found else blank)
    return Place(dict(loop), {**classifier.params, **trees["params"]}, trees["opt_state"], trees.get("best"))


def expected_trees(classifier: Classifier, config: Config, loop: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint made at that place holds, as arrays or shapes."""
    number = int(loop["phase"])
    if number >= len(config.phases):
        raise UserError(f"the checkpoint is of phase {number + 1}, and the config has {len(config.phases)}")
    phase = config.phases[number]
    moving, _ = split_params(classifier.params, moving_stages(classifier, config, number))
    learned, _ = split_statistics(moving)
    opt_state = jax.eval_shape(phases.optimiser(phase, 1).init, jax.tree.map(jnp.asarray, learned))
    moved, _ = split_params(classifier.params, moved_stages(classifier, config, number))
    return {"params": moved, "opt_state": opt_state} | ({"best": moving} if phase.keep == "best" else {})


def moving_stages(classifier: Classifier, config: Config, number: int) -> tuple[str, ...]:
    """Stages that move in phase `number`."""
    return phases.trainable_stages(config.phases[number], classifier.chain, classifier.network.base_names())


def moved_stages(classifier: Classifier, config: Config, number: int) -> tuple[str, ...]:
    """Stages that have moved by the end of phase `number`."""
    moved = {name for before in range(number + 1) for name in moving_stages(classifier, config, before)}
    return tuple(name for name in classifier.chain.names if name in moved)
