"""The files of `configs/` load, say what they claim, and refuse what they do not know."""

from pathlib import Path

import pytest
from conftest import shared

from jaxcam import config
from jaxcam.errors import UserError

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


@pytest.mark.parametrize("name", ["folder", "mini_pretraining"])
def test_a_config_loads_and_tells_claim_expectation_and_command(name):
    file = config.load(str(CONFIGS / f"{name}.py"))
    assert all(word in file.about for word in ("Claim", "Expected", "Command"))
    assert file.config.phases


@pytest.mark.parametrize(
    ("experiment", "epochs", "weights"),
    [("honest", 20, "none"), ("leaky", 30, "none"), ("background-class", 40, (("ZBackground", 15.0),))],
)
def test_the_articles_protocol(tmp_path, experiment, epochs, weights):
    folder = shared() / "bart-vs-homer"
    loaded = config.load(
        f"{CONFIGS / 'bart_vs_homer.py'}:experiment={experiment},folder={folder},out={tmp_path}"
    ).config
    (phase,) = loaded.phases
    assert (phase.epochs, phase.batch_size, phase.learning_rate, phase.class_weights) == (epochs, 1, 1e-3, weights)
    assert loaded.network.base_end == "block5_conv3"
    assert loaded.network.head.relu
    assert loaded.preprocessing.size == (360, 640)
    assert (loaded.preprocessing.scale, loaded.preprocessing.mean) == (1.0, (0.0, 0.0, 0.0))
    assert Path(loaded.data.train).is_dir()
    assert not list(tmp_path.iterdir()), "only the real repair writes pictures"


def test_arguments_of_the_story_are_checked(tmp_path):
    folder = shared() / "bart-vs-homer"
    path = CONFIGS / "bart_vs_homer.py"
    with pytest.raises(UserError, match="unknown experiment 'cheat'; there are: honest, leaky"):
        config.load(f"{path}:experiment=cheat,folder={folder}")
    with pytest.raises(UserError, match="allowed are input=raw"):
        config.load(f"{path}:input=bgr,folder={folder}")
    with pytest.raises(UserError, match="SeveralBackgrounds"):
        config.load(f"{path}:folder={tmp_path}")
    linear = config.load(f"{path}:weights=mini,input=tf,head=linear,folder={folder}").config
    assert linear.network.name == "vgg16_mini"
    assert not linear.network.head.relu
