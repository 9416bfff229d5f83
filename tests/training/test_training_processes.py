"""Several processes train together: two real ones with two devices each, joined by `jax.distributed`."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import free_port, joined, leftovers, write_pictures

import jaxcam
from jaxcam import config as configs
from jaxcam.progress import Progress
from jaxcam.training.command import train

CONFIG = '''"""Batch norm, dropout, augmentation, best parameters: features kept in memory, then pictures."""

from jaxcam.config import Config, Data, Network, Phase
from jaxcam.data.augment import Augment
from jaxcam.networks import Head
from jaxcam.preprocessing import Preprocessing


def get_config():
    head = Head(kind="dense", hidden=(6,), dropout=0.5)
    return Config(
        data=Data(folder="pictures"),
        network=Network(name="alexnet", width=1 / 32, weights="none", base_end="norm2", head=head),
        preprocessing=Preprocessing.named("tf", size=(64, 60)),
        phases=(
            Phase(epochs=2, batch_size=6, learning_rate=1e-2),
            Phase(
                trainable="conv2,norm2,head", epochs=2, batch_size=6, learning_rate=1e-3, optimiser="sgd", steps=2,
                keep="best", augment=Augment(rotation=20.0, horizontal_flip=True, brightness=0.1),
            ),
        ),
        cache_gib=5e-5,
    )
'''  # fmt: skip


@pytest.fixture(scope="module")
def place(shell, tmp_path_factory):
    """A folder with pictures (one for the validation cut off) and the config."""
    folder = tmp_path_factory.mktemp("together")
    write_pictures(folder / "pictures", train=5, valid=2)
    (folder / "pictures" / "Train" / "star" / "cut.png").unlink()
    (folder / "both.py").write_text(CONFIG)
    return folder


def train_in(shell, place, arguments, devices):
    """Train in a process for each list of arguments; what they said. None may fail."""
    environment = {**shell.environment, "PYTHONPATH": str(Path(jaxcam.__file__).parents[1])}
    environment |= {"JAX_NUM_CPU_DEVICES": str(devices)}
    done = joined([(sys.executable, "-m", "jaxcam", "train", *own) for own in arguments], cwd=place, env=environment)
    assert [process.returncode for process in done] == [0] * len(done), [process.stderr for process in done]
    return [(process.stdout, process.stderr) for process in done]


def together(shell, place, arguments, *, count=2):
    """Train in `count` processes with two devices each."""
    own = ["--joined.coordinator", f"localhost:{free_port()}", "--joined.processes", count, "--joined.process-id"]
    return train_in(shell, place, [[*arguments, *own, number] for number in range(count)], 2)


def compared(ours, theirs):
    """Parameters and history of two runs, within what the order of sums may change."""
    one, two = jaxcam.load(ours), jaxcam.load(theirs)
    flat = lambda classifier: {f"{s}/{n}": v for s, part in classifier.params.items() for n, v in part.items()}
    for name, value in flat(one).items():
        np.testing.assert_allclose(value, flat(two)[name], rtol=1e-5, atol=1e-5, err_msg=name)
    lines = [(run / "history.jsonl").read_text().splitlines() for run in (ours, theirs)]
    for first, second in zip(*lines, strict=True):
        assert json.loads(first) == pytest.approx(json.loads(second), rel=1e-4, abs=1e-5)


@pytest.mark.usefixtures("quick_compilation")
def test_two_processes_with_two_devices_give_what_one_device_gives(shell, place, monkeypatch):
    """Also where one process goes on alone from what two have begun."""
    train_in(shell, place, [["both.py", "--out", "one"]], 1)
    first, second = together(shell, place, ["both.py", "--out", "two"])
    compared(place / "two", place / "one")
    assert leftovers(place / "two") == []
    files = lambda run: sorted(p.relative_to(run).as_posix() for p in run.rglob("*") if "checkpoints" not in p.parts)
    assert files(place / "two") == files(place / "one")
    assert "next, jaxcam explain" in first[0]
    assert "phase 2 epoch 2/2" in first[1]
    assert "valid: skipped star/cut.png" in first[1]
    assert "jaxcam explain" not in second[0]  # one of them speaks
    assert "phase" not in second[1]

    os.remove(place / "two" / "classifier" / "classifier.json")
    last = place / "two" / "checkpoints" / "4"
    last.rename(place / "two" / "checkpoints" / "damaged-4")
    monkeypatch.chdir(place)
    train(configs.load("both.py").config, Path("two"), progress=Progress(quiet=True))
    compared(place / "two", place / "one")
