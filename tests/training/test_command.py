"""`jaxcam train` as a whole: killed and continued, finished and called again, refused."""

import json
import shutil

import jax
import numpy as np
import pytest
from commands import CLASSES, leftovers, tree

from jaxcam import devices
from jaxcam.checkpoint import Checkpoints

RESULTS = ("config.json", "history.jsonl", "history.png", "predictions", "classifier")

# Each entry kills the run that goes on where the one before was killed; epochs 1 to 3 and 4 to 5 are the two phases.
MOMENTS = (
    "os.rename .config.json.part 1",  # at the very start
    "os.mkdir checkpoints 1",
    "os.mkdir params.orbax-checkpoint-tmp 1",  # the first checkpoint, half-written
    "os.rename 1.orbax-checkpoint-tmp' 1",  # written, not yet in place
    "open history.jsonl 3",  # before the third line; the second checkpoint may be on its way
    "os.rmdir checkpoints/1 1",  # while an old checkpoint is removed
    "open timings.jsonl 1",  # inside the second phase, or just before it
    "os.rename params.safetensors.part 1",  # after the last epoch, before the classifier stands
    "os.rename classifier.json.part 1",
)


def final_checkpoint(run):
    """Parameters, optimiser state and place of a run's last checkpoint, as they are on disk."""
    with Checkpoints(run / "checkpoints") as checkpoints:
        return checkpoints.steps, checkpoints._orbax.load_checkpointables(checkpoints.steps[-1])


def test_a_run_that_was_killed_again_and_again_equals_an_uninterrupted_one(shell, trained):
    run = shell.folder / "killed"
    for moment in MOMENTS:
        shell.killed(moment, "train", "tiny.py", "--out", "killed", "--quiet")
        assert not (run / "classifier" / "classifier.json").exists()
    shell("train", "tiny.py", "--out", "killed", "--quiet")
    assert tree(run, *RESULTS) == tree(trained, *RESULTS)
    assert leftovers(run) == leftovers(trained) == []
    assert final_checkpoint(run)[0] == final_checkpoint(trained)[0] == [4, 5]
    theirs, ours = (jax.tree.map(np.asarray, final_checkpoint(folder)[1]) for folder in (trained, run))
    jax.tree.map(np.testing.assert_array_equal, theirs, ours)
