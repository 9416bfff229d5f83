"""From a config to image sets and a classifier."""

import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest
from commands import CLASSES, write_pictures
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from jaxcam.config import Config, Data, Network
from jaxcam.errors import UserError
from jaxcam.networks import Head, NetworkSpec, build
from jaxcam.preprocessing import Preprocessing
from jaxcam.training.start import image_sets, initial_classifier


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("start") / "set", train=5, valid=2, broken=False)


def test_splits_are_found_by_their_names_or_as_they_are_called(folder):
    found = image_sets(Data(folder=str(folder)), 0)
    assert {name: (images.name, len(images)) for name, images in found.items()} == {
        "train": ("train", 15),
        "valid": ("valid", 6),
    }
    swapped = image_sets(Data(folder=str(folder), train="Valid", valid="Train"), 0)
    assert {name: (images.name, len(images)) for name, images in swapped.items()} == {
        "train": ("train", 6),
        "valid": ("valid", 15),
    }


def test_without_splits_a_share_of_each_class_is_held_out(folder):
    data = Data(folder=str(folder / "Train"), valid_share=0.4)
    sets = image_sets(data, 0)
    assert sets["train"].counts() == dict.fromkeys(CLASSES, 3)
    assert sets["valid"].counts() == dict.fromkeys(CLASSES, 2)
    assert not set(sets["train"].paths) & set(sets["valid"].paths)
    assert image_sets(data, 0)["valid"].paths == sets["valid"].paths
    others = {image_sets(data, seed)["valid"].paths for seed in range(1, 5)}
    assert others != {sets["valid"].paths}
    assert image_sets(replace(data, valid_share=0.99), 0)["train"].counts() == dict.fromkeys(CLASSES, 1)


def test_what_cannot_be_split_is_told(folder, tmp_path):
    with pytest.raises(UserError, match=r"give --data\.folder"):
        image_sets(Data(), 0)
    with pytest.raises(UserError, match=r"must lie between 0 and 1, got 1\.5"):
        image_sets(Data(folder=str(folder / "Train"), valid_share=1.5), 0)
    shutil.copytree(folder / "Train", tmp_path / "few")
    for number in range(1, 5):
        (tmp_path / "few" / "star" / f"{number:02d}.png").unlink()
    with pytest.raises(UserError, match="class 'star' has 1 picture; two are needed"):
        image_sets(Data(folder=str(tmp_path / "few")), 0)
    shutil.copytree(folder, tmp_path / "more")
    (tmp_path / "more" / "Valid" / "star").rename(tmp_path / "more" / "Valid" / "moon")
    with pytest.raises(UserError, match="has classes that training lacks: moon; known are checks, red_disc, star"):
        image_sets(Data(folder=str(tmp_path / "more")), 0)


SMALL = Network(name="convnet", width=1 / 16, weights="none", base_end="conv2", head=Head(kind="cam"))


def test_the_seed_decides_the_first_parameters():
    config = Config(network=SMALL, preprocessing=Preprocessing.named("unit", size=(20, 24)), seed=4)
    classifier = initial_classifier(config, CLASSES)
    assert classifier.class_names == CLASSES
    assert classifier.network.size == classifier.preprocessing.size == (20, 24)
    _, direct = build(
        "convnet", width=1 / 16, base_end="conv2", head=Head(kind="cam"), classes=3, input_size=(20, 24),
        key=jax.random.key(4),
    )  # fmt: skip
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), classifier.params, direct)
    again, other = (initial_classifier(replace(config, seed=seed), CLASSES) for seed in (4, 5))
    assert again.fingerprint == classifier.fingerprint != other.fingerprint


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file with a base of VGG16, a sixteenth as wide, up to the end."""
    chain = NetworkSpec(name="vgg16", width=1 / 16, head="none").chain()
    shapes = flatten_dict(chain.abstract((1, 32, 32, 3)), sep="/")
    generator = np.random.default_rng(0)
    values = {name: generator.normal(size=leaf.shape).astype(np.float32) for name, leaf in shapes.items()}
    file = tmp_path_factory.mktemp("weights") / "base.safetensors"
    save_file(values, file)
    return file, values


def test_the_base_comes_from_the_weights_and_the_head_is_fresh(weights):
    file, values = weights
    network = Network(name="vgg16", width=1 / 16, weights=str(file), base_end="block5_conv1")
    config = Config(network=network, preprocessing=Preprocessing.named("tf", size=(32, 32)))
    params = flatten_dict(initial_classifier(config, CLASSES).params, sep="/")
    assert "block5_conv1/kernel" in params
    assert "block5_conv2/kernel" not in params
    for name, value in params.items():
        if name in values:
            np.testing.assert_array_equal(value, values[name])
    assert {name for name in params if name not in values} == {"conv_last/kernel", "conv_last/bias"}
    assert 0.01 < np.std(params["conv_last/kernel"]) < 1


def test_weights_that_do_not_fit_are_told(weights):
    network = Network(name="vgg16", width=1 / 8, weights=str(weights[0]))
    with pytest.raises(UserError, match="does not fit vgg16"):
        initial_classifier(Config(network=network, preprocessing=Preprocessing.named("tf", size=(32, 32))), CLASSES)
    with pytest.raises(UserError, match="are for vgg16_mini, not for 'convnet'"):
        initial_classifier(Config(network=replace(SMALL, weights="mini")), CLASSES)
    with pytest.raises(UserError, match=r"no weights 'nowhere\.h5': it is no file and none of none, mini, imagenet"):
        initial_classifier(Config(network=replace(SMALL, weights="nowhere.h5")), CLASSES)
