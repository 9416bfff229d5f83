"""What a step is fed: features held in memory or pictures decoded anew, with the same results."""

import jax.numpy as jnp
import numpy as np
import pytest
from commands import CLASSES, write_pictures

from jaxcam.config import Config, Network
from jaxcam.data.folder import load_folder
from jaxcam.errors import UserError
from jaxcam.networks import Head
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress
from jaxcam.training.inputs import Cached, Streamed, filled, gather, in_order, input_leaf, shuffled
from jaxcam.training.start import initial_classifier

QUIET = Progress(quiet=True)


@pytest.fixture(scope="module")
def classifier():
    network = Network(name="convnet", width=1 / 16, weights="none", base_end="conv4", head=Head(kind="cam"))
    return initial_classifier(Config(network=network, preprocessing=Preprocessing.named("tf", size=(48, 56))), CLASSES)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Ten pictures, one of them (the last but two) cut off in the middle."""
    return load_folder(write_pictures(tmp_path_factory.mktemp("inputs") / "set", valid=3) / "Valid")


def gathered(classifier, images, start, gib=1.0):
    return gather(classifier, images, start, cache_gib=gib, progress=QUIET, batch_size=4)


def table_of(order, size):
    return filled([np.asarray(order[first : first + size]) for first in range(0, len(order), size)], size)


def rows_of(inputs, order, size):
    """All masked-in rows of an epoch, joined; every batch has one size."""
    batches = list(inputs.epoch(table_of(order, size)))
    assert {batch.inputs.shape[0] for batch in batches} == {size + size % 2}  # two devices
    return tuple(
        np.concatenate([part[batch.mask] for batch, part in zip(batches, parts, strict=True)])
        for parts in ([b.inputs for b in batches], [b.labels for b in batches])
    )


def test_pictures_in_memory_equal_pictures_decoded_anew(classifier, images):
    whole = images.subset([row for row in range(len(images)) if not images.paths[row].endswith("cut.png")])
    cached, errors = gathered(classifier, whole, None)
    streamed, none = gathered(classifier, whole, None, gib=0.0)
    assert (type(cached), type(streamed), errors, none) == (Cached, Streamed, (), ())
    assert len(cached) == len(streamed) == 9
    assert cached.values.dtype == np.uint8
    order = [5, 0, 8, 2, 2]
    for size in (2, 3, 9):
        for ours, theirs in zip(rows_of(cached, order, size), rows_of(streamed, order, size), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(rows_of(cached, order, 3)[1], whole.labels[order])


def test_features_are_the_frozen_base_of_the_pictures(classifier, images):
    features, _ = gathered(classifier, images, "pool3")
    pictures, _ = gathered(classifier, images, None)
    assert features.values.shape[1:] == input_leaf(classifier, "pool3").shape == (4, 5, 8)
    np.testing.assert_array_equal(features.labels, pictures.labels)
    direct = classifier.apply(classifier.params, jnp.asarray(pictures.values), stop="pool3")
    np.testing.assert_allclose(features.values, direct, rtol=1e-4, atol=1e-5)
    logits = classifier.chain.apply(classifier.params, jnp.asarray(features.values), start="pool3")
    np.testing.assert_allclose(logits, classifier.logits(pictures.values), rtol=1e-4, atol=1e-5)


def test_unreadable_pictures_are_left_out_and_named(classifier, images):
    row = next(row for row in range(len(images)) if images.paths[row].endswith("cut.png"))
    cached, errors = gathered(classifier, images, None)
    assert len(cached) == len(images) - 1
    assert [path for path, _ in errors] == ["star/cut.png"]
    np.testing.assert_array_equal(cached.labels, np.delete(images.labels, row))

    streamed, _ = gathered(classifier, images, None, gib=0.0)
    batches = list(streamed.epoch(in_order(len(images), 4)))
    assert sum(int(batch.mask.sum()) for batch in batches) == len(images) - 1
    assert not batches[row // 4].mask[row % 4]
    assert streamed.unreadable == dict(errors)
    assert all(batch.labels.min() >= 0 for batch in batches)  # a label of -1 would index the last class


def test_pictures_of_unknown_classes_are_not_trained_on(classifier, images):
    fewer = load_folder(images.root, class_names=("red_disc", "star"))
    cached, _ = gathered(classifier, fewer, None)
    assert np.bincount(cached.labels).tolist() == [3, 3]
    streamed, _ = gathered(classifier, fewer, None, gib=0.0)
    assert len(rows_of(streamed, range(len(fewer)), 5)[1]) == 6


def test_the_budget_decides_and_counts_what_is_held(classifier, images):
    pictures, features = 10 * 48 * 56 * 3 / 2**30, 10 * 4 * 5 * 8 * 4 / 2**30
    for start, need in ((None, pictures), ("pool3", features)):
        held, _ = gathered(classifier, images, start, gib=need * 1.001)
        assert isinstance(held, Cached)
        assert held.gib == pytest.approx(need * 9 / 10)
        assert isinstance(gathered(classifier, images, start, gib=need * 0.999)[0], Streamed)


def test_a_set_without_a_readable_picture_is_refused(classifier, images):
    only = images.subset([row for row in range(len(images)) if images.paths[row].endswith("cut.png")])
    with pytest.raises(UserError, match=r"no readable picture in .*: star/cut.png: "):
        gathered(classifier, only, None)


def test_passes_follow_each_other_whatever_the_length_of_an_epoch():
    orders = [np.random.default_rng(number).permutation(7) for number in range(9)]

    def rows(epoch, steps):
        return shuffled(7, 3, epoch=epoch, steps=steps, order=lambda number: orders[number])

    whole = np.concatenate([rows(epoch, 3) for epoch in range(8)])
    assert whole.shape == (24, 4)  # two devices
    for number in range(8):
        lines = whole[3 * number : 3 * number + 3]
        np.testing.assert_array_equal(lines[lines >= 0], orders[number])
        assert (lines >= 0).sum(1).tolist() == [3, 3, 1]
    for steps in (1, 2, 5, 8):
        again = np.concatenate([rows(epoch, steps) for epoch in range(24 // steps)])
        np.testing.assert_array_equal(again, whole[: len(again)])
