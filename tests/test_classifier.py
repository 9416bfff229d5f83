"""A classifier saved, loaded, fed rightly and wrongly."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import jaxcam
from jaxcam.classifier import Classifier, Predictions
from jaxcam.data.colour_order import learn
from jaxcam.errors import UserError
from jaxcam.networks import Head, NetworkSpec
from jaxcam.preprocessing import Preprocessing

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def classifier():
    spec = NetworkSpec(
        name="vgg16", width=1 / 16, classes=3, head=Head(kind="cam"), base_end="block5_conv3", input_size=(48, 64)
    )
    params = spec.chain().init(jax.random.key(0), spec.shape)
    return Classifier(spec, params, Preprocessing.named("tf", size=(48, 64)), ("ant", "bee", "cat"))


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3), dtype=np.uint8)


def test_saved_and_loaded_it_computes_the_same(classifier, pixels, tmp_path):
    classifier.save(tmp_path / "classifier")
    loaded = jaxcam.load(tmp_path)
    assert loaded.fingerprint == classifier.fingerprint
    assert loaded.class_names == ("ant", "bee", "cat")
    np.testing.assert_array_equal(loaded.logits(pixels), classifier.logits(pixels))


def test_predict_takes_files_images_and_arrays(classifier, pixels, tmp_path):
    files = []
    for i, image in enumerate(pixels):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(image).save(files[-1])
    from_files = classifier.predict(files, batch_size=2)
    np.testing.assert_allclose(from_files.logits, classifier.predict(pixels).logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        classifier.predict([Image.fromarray(p) for p in pixels]).logits, from_files.logits, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(from_files.probabilities.sum(1), 1, rtol=1e-6)
    assert set(from_files.labels) <= {"ant", "bee", "cat"}


def test_arrays_that_mean_the_same_pictures_give_the_same_answer(classifier, pixels):
    wanted = classifier.predict(pixels).logits
    for images in (pixels.astype(np.float64), pixels.astype(np.int32), list(pixels), tuple(pixels)):
        np.testing.assert_array_equal(classifier.predict(images).logits, wanted)
    np.testing.assert_array_equal(classifier.predict(pixels / 255, value_range=(0, 1)).logits, wanted)
    np.testing.assert_allclose(classifier.predict(pixels[0]).logits, wanted[:1], rtol=1e-4, atol=1e-5)
    assert classifier.predict([]).logits.shape == (0, 3)
    assert classifier.predict([]).warnings == classifier.predict(pixels[:0]).labels == ()


def test_normalised_images_are_refused(classifier, pixels):
    wrong = {
        "it looks divided by 255 already; give the uint8 picture": pixels / 255,
        "below 0, so it looks normalised already": np.asarray(
            classifier.preprocessing.normalise(jax.numpy.asarray(pixels))
        ),
        "NaN or infinite values": np.where(pixels == 3, np.inf, pixels),
        r"give x.transpose\(0, 2, 3, 1\)": pixels.transpose(0, 3, 1, 2),
        "above 255": pixels.astype(np.uint16) * 257,
    }
    for words, images in wrong.items():
        with pytest.raises(UserError, match=words):
            classifier.predict(images)
        with pytest.raises(UserError, match=words):
            classifier.explain(images)
    with pytest.raises(UserError, match=r"uint8 images of \(48, 64\)"):
        classifier.logits(pixels[:, :40])


def test_odd_pictures_are_warned_of(classifier, pixels, tmp_path):
    found = classifier.predict([pixels[0], np.full((9, 9, 3), 200, np.uint8), Image.fromarray(pixels[1] // 200)])
    assert found.warnings[0] == ()
    assert "blank (all of it about RGB (200, 200, 200))" in found.warnings[1][0]
    assert "looks divided by 255" in found.warnings[2][0]
    generator = np.random.default_rng(0)
    seas = generator.integers((0, 60, 150), (60, 120, 256), (30, 48, 64, 3)).astype(np.uint8)
    classifier.save(tmp_path)
    learn(seas).write(tmp_path)
    loaded = jaxcam.load(tmp_path)
    assert loaded.predict(seas[:4]).warnings == ((),) * 4
    assert all("OpenCV reads BGR" in words[0] for words in loaded.predict(seas[:4, ..., ::-1]).warnings)


def test_explain_gives_a_map_for_each_class(classifier, pixels):
    maps = classifier.explain(pixels, methods=("cam", "grad_cam"), targets="all")
    assert maps["cam"].shape == (5, 3, 3, 4)
    one = classifier.explain(pixels, methods=("grad_cam",), targets=np.array([2, 1, 0, 0, 1]))["grad_cam"]
    np.testing.assert_allclose(one[0], maps["grad_cam"][0, 2], rtol=2e-3, atol=1e-6)
    with pytest.raises(UserError, match="unknown target 'dog'"):
        classifier.explain(pixels, targets="dog")


def test_a_broken_or_foreign_folder_is_told(classifier, tmp_path):
    with pytest.raises(UserError, match="no classifier"):
        jaxcam.load(tmp_path)
    classifier.save(tmp_path)
    description = json.loads((tmp_path / "classifier.json").read_text())
    description["network"]["width"] = 1 / 8
    (tmp_path / "classifier.json").write_text(json.dumps(description))
    with pytest.raises(UserError, match="not those of its network"):
        jaxcam.load(tmp_path)
    (tmp_path / "params.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(UserError, match="cannot be read"):
        jaxcam.load(tmp_path)


def test_the_fingerprint_sees_a_single_weight(classifier):
    params = jax.tree.map(np.array, dict(classifier.params))
    params["conv_last"]["bias"][0] += 1e-3
    other = Classifier(classifier.network, params, classifier.preprocessing, classifier.class_names)
    assert other.fingerprint != classifier.fingerprint


def test_answers_show_themselves(classifier, pixels):
    found = classifier.predict(pixels)
    assert len(found) == 5
    picture = found.show(truth=[found.labels[0], *["cat"] * 4], columns=3, width=64)
    assert picture.mode == "RGB"
    assert picture.width == 6 + 3 * 70
    assert found._repr_png_().startswith(b"\x89PNG")
    assert str(found).splitlines()[0].startswith(f"0: {found.labels[0]} {found.probabilities[0].max():.4f}")
    assert "5 images" in repr(found)
    with pytest.raises(UserError, match="2 right classes for 5"):
        found.show(truth=["ant", "bee"])
    bare = Predictions(found.logits, found.class_names)
    assert bare._repr_png_() is None
    with pytest.raises(UserError, match="no pictures to show"):
        bare.show()


def test_an_audit_needs_a_run(classifier):
    with pytest.raises(UserError, match="not loaded from a run"):
        classifier.audit()
    placed = dataclasses.replace(classifier, folder=Path("run/classifier"))
    with pytest.raises(UserError, match="unknown option 'mask'"):
        placed.audit(mask="masks")
    with pytest.raises(UserError, match="unknown layer 'maps'"):
        placed.audit(only="maps")
    with pytest.raises(UserError, match="no run"):
        placed.audit(counter="swapped", masks="masks")
