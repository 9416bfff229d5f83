"""Configs: loaded, written, compared, checked."""

from dataclasses import replace

import pytest

from jaxcam.config import Config, Network, Phase, check, defaults, differences, load, to_json
from jaxcam.errors import UserError
from jaxcam.networks import Head


def test_a_config_file_takes_arguments_and_tells_its_docstring(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        '"""What it claims."""\n'
        "from jaxcam.config import Config, Data\n"
        "def get_config(folder='here', seed='0'):\n"
        "    return Config(data=Data(folder=folder), seed=int(seed))\n"
    )
    assert load(str(file)).config.data.folder == "here"
    loaded = load(f"{file}:folder=a/b,seed=3")
    assert (loaded.config.data.folder, loaded.config.seed, loaded.about) == ("a/b", 3, "What it claims.")


def test_json_has_lists_for_tuples_and_every_value():
    values = to_json(Config(phases=(Phase(class_weights=(("cat", 2.0),)),)))
    assert values["phases"][0]["class_weights"] == [["cat", 2.0]]
    assert values["preprocessing"]["size"] == [224, 224]
    assert values["network"]["head"]["kind"] == "cam"


def test_differences_name_the_leaves():
    one = to_json(Config())
    assert differences(one, one) == []
    two = to_json(Config(seed=2, phases=(Phase(epochs=3), Phase()), network=Network(head="top")))
    names = [line.split(":")[0] for line in differences(one, two)]
    assert names == ["network.head", "phases.0.epochs", "phases.1", "seed"]
    assert differences({"a": 1}, {"b": 2}) == ["a: 1 -> nothing", "b: nothing -> 2"]


def test_a_run_from_before_an_option_existed_is_the_same_run():
    config = Config(phases=(Phase(), Phase(epochs=3)))
    old, new = to_json(config), to_json(config)
    del old["tensorboard"], old["data"]["masks"], old["phases"][1]["label_smoothing"]
    assert differences(old, new, defaults(config)) == []
    new["phases"][1]["label_smoothing"] = 0.1
    assert differences(old, new, defaults(config)) == ["phases.1.label_smoothing: nothing -> 0.1"]


PHASE = Phase(epochs=2)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Config(seed=-1), "--seed is -1; it must be at least 0"),
        (Config(phases=()), "no phases"),
        (Config(network=Network(width=0.0)), "--network.width is 0.0"),
        (Config(network=Network(head=Head(kind="dense", dropout=1.0))), "--network.head.dropout is 1.0"),
        (Config(network=Network(head=Head(kind="dense", hidden=(5, 0)))), "--network.head.hidden is"),
        (Config(phases=(PHASE, replace(PHASE, epochs=0))), "--phases.1.epochs is 0; it must be at least 1"),
        (Config(phases=(replace(PHASE, learning_rate=float("nan")),)), "--phases.0.learning-rate is nan"),
        (Config(phases=(replace(PHASE, clip_norm=-1.0),)), "--phases.0.clip-norm is -1.0"),
        (
            Config(phases=(replace(PHASE, schedule="cosine", warmup_epochs=2.0),)),
            "--phases.0.warmup-epochs is 2.0; it must be at least 0 and below 2",
        ),
    ],
)
def test_values_that_no_run_can_have(config, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        check(config)


def test_what_can_be_trained_passes():
    check(Config())
    check(Config(network=Network(head="top"), phases=(replace(PHASE, warmup_epochs=5.0),)))
