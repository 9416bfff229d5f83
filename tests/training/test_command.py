"""`jaxcam train` as a whole: killed and continued, finished and called again, refused."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from commands import leftovers, tree

import jaxcam
from jaxcam import config as configs
from jaxcam.checkpoint import Checkpoints
from jaxcam.config import Phase
from jaxcam.errors import UserError
from jaxcam.progress import Progress
from jaxcam.training.command import train
from jaxcam.training.resume import last_place

RESULTS = ("config.json", "history.jsonl", "history.png", "phases.json", "predictions", "classifier")
QUIET = Progress(quiet=True)

# Each entry kills the run that goes on where the one before was killed; epochs 1 to 3 and 4 to 5 are the two phases.
MOMENTS = (
    "os.rename .config.json.part 1",  # at the very start
    "os.mkdir 1.orbax-checkpoint-tmp/params 1",  # the first checkpoint, half-written
    "os.rename 1.orbax-checkpoint-tmp' 1",  # written, not yet in place
    "open history.jsonl 3",  # before the first line: the file is opened twice to be cut
    "os.rename 2/.checksums.json.part 1",  # in place, but its checksums are not
    "os.rmdir removed-1 1",  # while an old checkpoint is removed
    "open timings.jsonl 1",  # inside the second phase, or just before it
    "os.rename params.safetensors.part 1",  # after the last epoch, before the classifier stands
    "os.rename classifier.json.part 1",
)


@pytest.fixture
def config(shell):
    """The config of `trained`."""
    return configs.load(str(shell.folder / "tiny.py")).config


def test_a_run_that_was_killed_again_and_again_equals_an_uninterrupted_one(shell, trained, config):
    run = shell.folder / "killed"
    for moment in MOMENTS:
        shell.killed(moment, "train", "tiny.py", "--out", "killed", "--quiet")
        assert not (run / "classifier" / "classifier.json").exists()
    shell("train", "tiny.py", "--out", "killed", "--quiet")
    assert tree(run, *RESULTS) == tree(trained, *RESULTS)
    assert leftovers(run) == leftovers(trained) == []

    def last(folder):
        with Checkpoints(folder / "checkpoints") as checkpoints:
            return checkpoints.steps, last_place(checkpoints, jaxcam.load(folder), config)

    (steps, place), (_, other) = last(run), last(trained)
    assert steps == [4, 5]
    assert {key: place.loop[key] for key in ("phase", "epoch", "step", "done")} == {
        "phase": 1,
        "epoch": 2,
        "step": 6,
        "done": 1,
    }
    jax.tree.map(np.testing.assert_array_equal, tuple(place), tuple(other))
    # The state was written in the background while the next step could overwrite its buffers.
    jax.tree.map(np.testing.assert_array_equal, place.params, dict(jaxcam.load(run).params))


def test_a_finished_run_is_not_touched_again(trained, config, capsys):
    before, times = tree(trained), {file: file.stat().st_mtime_ns for file in trained.rglob("*")}
    classifier = train(config, trained, progress=Progress())
    assert "is complete; nothing to do" in capsys.readouterr().err
    assert classifier.fingerprint == jaxcam.load(trained).fingerprint
    assert tree(trained) == before
    assert {file: file.stat().st_mtime_ns for file in trained.rglob("*")} == times


def test_another_config_is_refused_and_the_keys_are_named(trained, config):
    first, second = config.phases
    other = replace(config, seed=1, phases=(replace(first, epochs=9), second))
    with pytest.raises(
        UserError, match=r"another config \(phases.0.epochs: 3 -> 9; seed: 0 -> 1\); give another --out"
    ):
        train(other, trained, progress=QUIET)
    longer = replace(config, phases=(first, second, Phase()))
    with pytest.raises(UserError, match=r"\(phases.2: nothing -> \{"):
        train(longer, trained, progress=QUIET)


def test_a_folder_of_something_else_is_refused(config, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty and holds no run"):
        train(config, tmp_path, progress=QUIET)
    with pytest.raises(UserError, match="is a file; give another --out"):
        train(config, tmp_path / "notes.txt", progress=QUIET)
    assert tree(tmp_path) == {"notes.txt": b"mine"}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("trainable", "conv9", "unknown stage 'conv9'; this network has: conv1, pool1"),
        ("trainable", "gap", "phases.1.trainable: no stage from 'gap' on has parameters"),
        ("class_weights", (("moon", 2.0),), r"unknown classes \['moon'\]; the classes are checks, red_disc, star"),
        ("class_weights", (("star", -1.0),), "at least zero"),
        ("epochs", 0, "--phases.1.epochs is 0"),
        ("learning_rate", float("nan"), "--phases.1.learning-rate is nan"),
        ("warmup_epochs", 2.0, "--phases.1.warmup-epochs is 2.0"),
    ],
)
def test_a_mistake_in_the_last_phase_is_told_before_the_first_and_leaves_no_folder(
    shell, config, tmp_path, key, value, message
):
    data = replace(config.data, folder=str(shell.folder / "pictures"))
    phases = (config.phases[0], replace(config.phases[1], **{key: value}))
    with pytest.raises(UserError, match=message):
        train(replace(config, data=data, phases=phases), tmp_path / "run", progress=QUIET)
    assert not (tmp_path / "run").exists()
