"""A network of the user's own: the documented example through the commands, its weights, and files that are wrong."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import write_pictures
from documented import CONFIGS

import jaxcam
from jaxcam.cli import main
from jaxcam.config import load
from jaxcam.errors import UserError
from jaxcam.networks import NetworkSpec
from jaxcam.weights.port import port
from jaxcam.weights.safetensors_files import flatten

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the example's test size, and the folder it lies in."""
    folder = tmp_path_factory.mktemp("own")
    write_pictures(folder / "pictures", train=4, valid=2, broken=False)
    file = shutil.copy(CONFIGS / "own_network.py", folder / "own_network.py")
    pictures = ["--data.source", str(folder / "pictures"), "--out", str(folder / "run"), "--quiet"]
    assert main(["train", f"{file}:size=test", *pictures]) == 0
    return folder / "run"


def test_it_is_explained_audited_and_exported(run):
    told = ["--methods", "cam", "occlusion", "--stage", "fire5", "--window", "32", "32", "--stride", "32", "32"]
    assert main(["explain", str(run), *told, "--quiet"]) == 0
    maps = jaxcam.maps.open(run)
    assert maps["occlusion"].shape == (6, 2, 2)
    out = str(run.parent / "exported")
    assert main(["export", str(run), out, "--methods", "cam", "--platforms", "cpu"]) == 0
    assert (run.parent / "exported" / "program.bin").stat().st_size > 0
    assert main(["audit", str(run), "--only", "model", "--quiet"]) == 0
    assert (run / "audit.json").is_file() or list(run.glob("audit*/audit.json"))


def test_its_stages_freeze_by_name(run):
    classifier = jaxcam.load(run)
    assert Path(classifier.network.name).name == "own_network.py"
    assert classifier.chain.names[:4] == ("conv1", "pool1", "fire2", "pool2")
    assert classifier.chain.trainable_from("fire4")[:3] == ("fire4", "pool4", "fire5")
    assert classifier.network.base_names()[-1] == "fire5"


def test_weights_with_its_own_names_are_ported(run):
    classifier = jaxcam.load(run)
    tensors = {name: np.asarray(value) for name, value in flatten(classifier.params).items()}
    template = NetworkSpec(name=classifier.network.name, width=1 / 8, head="none").chain().abstract((1, 64, 64, 3))
    found = port(tensors, template, network=classifier.network.name, ignore_top=True)
    np.testing.assert_array_equal(found["fire2"]["squeeze"]["kernel"], tensors["fire2/squeeze/kernel"])
    del tensors["fire2/squeeze/kernel"]
    with pytest.raises(UserError, match="missing: fire2/squeeze/kernel"):
        port(tensors, template, network=classifier.network.name, ignore_top=True)


def test_files_that_define_no_network(tmp_path, monkeypatch):
    spec = lambda name: NetworkSpec(name=str(name)).chain()
    with pytest.raises(UserError, match=r"'net\.py' is a relative path"):
        spec("net.py")
    with pytest.raises(UserError, match="is missing; put the file back"):
        spec(tmp_path / "gone.py")
    for content, message in (
        ("x = 1", "defines no NETWORK"),
        ("NETWORK = 3", "NETWORK of .* is int; it must be an Architecture"),
        ("1 / 0", "failed: ZeroDivisionError: division by zero"),
    ):
        file = tmp_path / f"net{len(content)}.py"
        file.write_text(content)
        with pytest.raises(UserError, match=message):
            spec(file)


def test_the_example_says_what_the_commands_are():
    found = load(f"{CONFIGS / 'own_network.py'}:size=test")
    assert found.config.network.name == str(CONFIGS / "own_network.py")
    with pytest.raises(UserError, match="allowed are size=full and size=test"):
        load(f"{CONFIGS / 'own_network.py'}:size=small")
