"""The files of `configs/` load, say what they claim, give commands that parse, and refuse what they do not know."""

import functools
from pathlib import Path

import jax
import pytest
from conftest import shared
from documented import CONFIGS, NAMES, documented

from jaxcam import cli, config
from jaxcam.data.augment import Augment
from jaxcam.errors import UserError
from jaxcam.networks import NetworkSpec

STORY = "bart_vs_homer"


def loaded(name: str, arguments: str = "") -> config.ConfigFile:
    """A config by its name; the story's takes the real pictures and is skipped where there are none."""
    if name == STORY and not arguments:
        arguments = f"folder={shared() / 'bart-vs-homer'}"
    return config.load(f"{CONFIGS / name}.py:{arguments}")


def spec(found: config.Config, classes: int) -> NetworkSpec:
    """The network that a config trains."""
    network, size = found.network, found.preprocessing.size
    return NetworkSpec(
        name=network.name,
        classes=classes,
        head=network.head,
        base_end=network.base_end,
        width=network.width,
        input_size=size,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_config_loads_and_tells_claim_expectation_and_command(name):
    file = loaded(name)
    assert all(word in file.about for word in ("Claim", "Expected", "Command"))
    config.check(file.config)
    assert f"configs/{name}.py" in {words[1].partition(":")[0] for words in documented(file.about)}


@pytest.mark.parametrize("name", [name for name in NAMES if name != STORY])
def test_its_commands_parse(name, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    started = []
    monkeypatch.setattr("jaxcam.training.command.train", lambda config, run, *, progress: started.append((config, run)))
    for words in documented(loaded(name).about):
        if words[0] == "train":
            assert cli.main([*words, "--quiet"]) == 0, words
            continue
        length = 2 if words[0] in ("data", "weights") else 1
        assert cli.parse(stub(" ".join(words[:length])), words[length:], "jaxcam") == "parsed", words
    assert len({run for _, run in started}) == len(started) > 0, "two commands write into one folder"
    for found, run in started:
        config.check(found)
        assert found.data.where, f"{run}: the command names no pictures"


def stub(command: str):
    """A function with the command's signature that does nothing."""

    @functools.wraps(cli.COMMANDS[command].load())
    def nothing(*args, **kwargs):
        return "parsed"

    return nothing


# Numbers of parameters that the book and the laboratory print.
@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [
        ("cats_dogs_scratch", 2, 3_453_121),
        ("cats_dogs_augmented", 2, 3_453_121),
        ("cats_dogs_features", 2, 16_812_353),
        ("cats_dogs_features_augmented", 2, 16_812_353),
        ("cats_dogs_fine_tuning", 2, 16_812_353),
        ("birds_cats_dogs", 3, 3_343_491),
        ("house_numbers", 10, 58_327_818),
    ],
)
def test_published_sizes(name, classes, count):
    described = spec(loaded(name).config, classes)
    params = described.chain().abstract(described.shape)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


def test_the_books_protocol():
    varied = Augment(rotation=40, width_shift=0.2, height_shift=0.2, shear=0.2, zoom=0.2, horizontal_flip=True)
    told = {
        "scratch": [("all", 30, 100, 20, 1e-4, Augment())],
        "augmented": [("all", 100, 100, 32, 1e-4, varied)],
        "features": [("head", 30, 100, 20, 2e-5, Augment())],
        "features_augmented": [("head", 30, 100, 20, 2e-5, varied)],
        "fine_tuning": [("head", 30, 100, 20, 2e-5, varied), ("block5_conv1", 100, 100, 20, 1e-5, varied)],
    }
    dropout = {"augmented": (0.5, "before"), "features": (0.5, "after")}
    for name, expected in told.items():
        found = loaded(f"cats_dogs_{name}").config
        assert [
            (p.trainable, p.epochs, p.steps, p.batch_size, p.learning_rate, p.augment) for p in found.phases
        ] == expected, name
        assert {phase.optimiser for phase in found.phases} == {"rmsprop"}
        assert (found.preprocessing.size, found.preprocessing.scale) == ((150, 150), 1 / 255)
        head = found.network.head
        assert head.output == "sigmoid"
        assert (head.dropout, head.dropout_place) == dropout.get(name, (0.0, "after"))


def test_where_the_dropout_stands():
    names = {n: spec(loaded(f"cats_dogs_{n}").config, 2).chain().names[-5:] for n in ("augmented", "features")}
    assert names["augmented"] == ("flatten", "dropout", "dense_1", "predictions", "logits")
    assert names["features"] == ("flatten", "dense_1", "dropout", "predictions", "logits")


def test_the_laboratorys_protocol():
    for data, epochs in {"full": 50, "accident": 50, "augmented": 80}.items():
        (phase,) = loaded("birds_cats_dogs", f"data={data}").config.phases
        assert (phase.epochs, phase.steps, phase.batch_size) == (epochs, 100, 32)
        assert (phase.optimiser, phase.learning_rate, phase.class_weights) == ("adam", 1e-3, "none")
        assert phase.augment.active == (data == "augmented")
    assert loaded("birds_cats_dogs", "data=accident,weights=balanced").config.phases[0].class_weights == "balanced"


def test_batch_norm_stays_in_the_second_phase_of_the_house_numbers():
    from jaxcam.training.phases import trainable_stages

    found = loaded("house_numbers", "norm=frozen").config
    described = spec(found, 10)
    training, frozen = (trainable_stages(p, described.chain(), described.base_names()) for p in found.phases)
    norms = {f"norm{i}" for i in range(1, 6)}
    assert norms <= set(training)
    assert not norms & set(frozen)
    assert {"conv1", "conv5", "dense_1", "dense_2", "predictions"} <= set(frozen)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("birds", "cats", "house"))])
def test_unknown_arguments_are_refused(name):
    with pytest.raises(UserError, match=r"allowed are .*size=full"):
        loaded(name, "size=huge")
    with pytest.raises(UserError, match="unexpected keyword"):
        loaded(name, "colour=blue")


@pytest.mark.parametrize(
    ("experiment", "epochs", "weights"),
    [("honest", 20, "none"), ("leaky", 30, "none"), ("background-class", 40, (("ZBackground", 15.0),))],
)
def test_the_articles_protocol(tmp_path, experiment, epochs, weights):
    folder = shared() / "bart-vs-homer"
    found = loaded(STORY, f"experiment={experiment},folder={folder},out={tmp_path}").config
    (phase,) = found.phases
    assert (phase.epochs, phase.batch_size, phase.learning_rate, phase.class_weights) == (epochs, 1, 1e-3, weights)
    assert found.network.base_end == "block5_conv3"
    assert found.network.head.relu
    assert found.preprocessing.size == (360, 640)
    assert (found.preprocessing.scale, found.preprocessing.mean) == (1.0, (0.0, 0.0, 0.0))
    assert Path(found.data.train).is_dir()
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
