"""What a classifier says to pictures of nothing."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from jaxcam.classifier import Classifier
from jaxcam.data.sets import load_set
from jaxcam.networks import Head, NetworkSpec
from jaxcam.preprocessing import Preprocessing
from jaxcam.training import blanks

NAMES = ("ant", "bee")
pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def classifier():
    spec = NetworkSpec(
        name="vgg16", width=1 / 16, classes=2, head=Head(kind="cam"), base_end="block1_pool", input_size=(19, 18)
    )
    params = jax.tree.map(np.array, dict(spec.chain().init(jax.random.key(1), spec.shape)))
    return Classifier(spec, params, Preprocessing.named("unit", size=(19, 18)), NAMES)


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (5, 19, 18, 3), dtype=np.uint8)


def test_every_kind_is_asked_about(classifier, pictures):
    labels = np.array([0, 1, 0, 1, -1])
    found = blanks.probe(classifier, pictures, labels, key=jax.random.key(0))
    kinds = {kind.name: kind for kind in found.kinds}
    assert list(kinds) == ["pictures", "blank", "uniform", "gaussian", "pixels", "tiles", "divided", "multiplied"]
    plain = classifier.predict(pictures)
    np.testing.assert_allclose(kinds["pictures"].probability, plain.probabilities.max(1), rtol=1e-5)
    np.testing.assert_array_equal(kinds["pictures"].predicted, plain.logits.argmax(1))
    assert kinds["pictures"].right == (plain.logits.argmax(1) == labels)[:4].mean()
    assert [kinds[name].right for name in ("blank", "uniform", "gaussian", "pixels")] == [None] * 4
    assert kinds["tiles"].right is not None

    greys = classifier.predict(np.stack([np.full((19, 18, 3), grey, np.uint8) for grey in blanks.GREYS]))
    np.testing.assert_allclose(kinds["blank"].probability[:5], greys.probabilities.max(1), rtol=1e-5)
    # The network takes x / 255: fed x, its logits are those of inputs 255 times as large.
    fed = classifier.chain.apply(classifier.params, jax.numpy.asarray(pictures, "float32"), train=False)
    np.testing.assert_allclose(kinds["multiplied"].probability, np.asarray(jax.nn.softmax(fed)).max(1), rtol=1e-4)

    again = blanks.probe(classifier, pictures, labels, key=jax.random.key(0))
    for one, two in zip(found.kinds, again.kinds, strict=True):
        np.testing.assert_array_equal(one.probability, two.probability)
    assert blanks.probe(classifier, pictures, key=jax.random.key(0)).kinds[0].right is None
    with pytest.raises(ValueError, match="no picture"):
        blanks.probe(classifier, pictures[:0], key=jax.random.key(0))


def test_scrambled_pictures_hold_the_same_pixels(pictures):
    generator = np.random.default_rng(0)
    tiles, pixels = blanks._shuffled_tiles(pictures, generator), blanks._shuffled_pixels(pictures, generator)
    for scrambled in (tiles, pixels):
        assert (scrambled != pictures).mean() > 0.5
        for one, other in zip(scrambled, pictures, strict=True):
            assert sorted(map(tuple, one.reshape(-1, 3))) == sorted(map(tuple, other.reshape(-1, 3)))
    # 19 x 18 in 4 x 4 tiles of 4 x 4: what is left at the edges stays.
    np.testing.assert_array_equal(tiles[:, 16:], pictures[:, 16:])
    np.testing.assert_array_equal(tiles[:, :, 16:], pictures[:, :, 16:])


def test_a_certain_answer_to_nothing_is_said_but_not_judged(classifier, pictures):
    sure = jax.tree.map(np.array, dict(classifier.params))
    sure["conv_last"]["bias"] = np.array([0, 12], np.float32)
    sure["conv_last"]["kernel"] = 0 * sure["conv_last"]["kernel"]
    found = blanks.probe(
        Classifier(classifier.network, sure, classifier.preprocessing, NAMES), pictures, key=jax.random.key(0)
    )
    words = blanks.summary(found)
    assert "noise, all values alike likely" in words
    assert "bee 100 %" in words
    assert "note: nearly certain of a class where there is none (one colour each" in words
    flat = jax.tree.map(np.zeros_like, sure)
    found = blanks.probe(
        Classifier(classifier.network, flat, classifier.preprocessing, NAMES), pictures, key=jax.random.key(0)
    )
    assert "note:" not in blanks.summary(found)
    assert found.kinds[1].probability.tolist() == [0.5] * 6


def test_logits_of_a_broken_network_become_null(classifier, pictures):
    nothing = jax.tree.map(lambda x: np.full_like(x, np.nan), dict(classifier.params))
    broken = Classifier(classifier.network, nothing, classifier.preprocessing, NAMES)
    found = blanks.probe(broken, pictures, key=jax.random.key(0))
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["probes"][0]["mean_probability"] is None
    assert blanks.summary(found)


def test_a_set_is_sampled_from_all_classes_and_written(classifier, tmp_path):
    generator = np.random.default_rng(0)
    for name, count in (("ant", 30), ("bee", 3)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number:02d}.png")
    file = tmp_path / "pictures" / "bee" / "00.png"
    file.write_bytes(file.read_bytes()[:60])
    images = load_set(tmp_path / "pictures", class_names=NAMES)
    found = blanks.probe_set(classifier, images, count=6)
    assert len(found.kinds[0].predicted) == 6
    blanks.write(tmp_path, found)
    text = json.loads((tmp_path / "evaluation" / "probes.json").read_text())
    assert [kind["name"] for kind in text["probes"]][:2] == ["pictures", "blank"]
    assert text["probes"][0]["pictures"] == 6
    assert text["probes"][1]["accuracy"] is None

    nobody = blanks.probe_set(classifier, images.subset([30]))
    assert nobody is None
    blanks.write(tmp_path / "none", nobody)
    assert not (tmp_path / "none").exists()
    assert blanks.summary(nobody) == "no picture could be read, so nothing was probed"
