"""Checkpoints of a training run; the only file that imports orbax."""

import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
from orbax.checkpoint import v1 as ocp

from jaxcam.errors import UserError


class Checkpoints:
    """The folder `checkpoints/` of a run: the last two states, written in the background, each whole or absent."""

    def __init__(self, folder: Path):
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for rest in folder.glob("*orbax-checkpoint-tmp*"):  # half-written by a run that was killed
            shutil.rmtree(rest)
        self._orbax = ocp.training.Checkpointer(
            folder,
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
            preservation_policy=ocp.training.preservation_policies.LatestN(2),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._orbax.close()

    @property
    def steps(self) -> list[int]:
        """Steps of the states that are there, oldest first."""
        return sorted(checkpoint.step for checkpoint in self._orbax.checkpoints)

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write named trees for `step`; returns when they are copied, not when they are on disk."""
        self._orbax.save_checkpointables_async(step, state)

    def loop(self, step: int) -> dict[str, Any]:
        """The small `loop` tree of a state: where in the run it was made."""
        abstract = {"phase": 0, "epoch": 0, "step": 0}
        return self._orbax.load_checkpointables(step, {"loop": abstract})["loop"]

    def restore(self, step: int, abstract: dict[str, Any]) -> dict[str, Any]:
        """The named trees of `step`, with the shapes, dtypes and sharding of `abstract`.

        Raises `UserError` where the checkpoint is of other classes or another network, or damaged.
        """
        stored = self._orbax.checkpointables_metadata(step).metadata
        try:
            # Compared first: a load that fails inside orbax leaves coroutines behind that complain later.
            if any(shapes(stored[name]) != shapes(tree) for name, tree in abstract.items()):
                raise ValueError("shapes differ")
            return self._orbax.load_checkpointables(step, abstract)
        except (ValueError, KeyError, OSError) as error:
            raise UserError(
                f"checkpoint {step} does not fit: it is of other classes or another network, or damaged; give another "
                "--out, or remove the run"
            ) from error


def shapes(tree: Any) -> list[tuple[int, ...]]:
    """The shapes of a tree's arrays, in an order that does not depend on how the tree is nested."""
    return sorted(tuple(leaf.shape) for leaf in jax.tree.leaves(tree))
