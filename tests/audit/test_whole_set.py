from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.special import log_softmax

from jaxcam.audit.model.alike import class_likeness
from jaxcam.audit.model.program import settings_for
from jaxcam.audit.sample import Sample, quotas, sample
from jaxcam.audit.sample import tested as pictures_tested
from jaxcam.audit.subject import AuditOptions, Subject
from jaxcam.audit.whole_set import SetSums, sums_of, whole_set
from jaxcam.calibration import reliability
from jaxcam.classifier import Classifier
from jaxcam.data.folder import load_folder
from jaxcam.networks import Head, NetworkSpec, build
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress

pytestmark = pytest.mark.usefixtures("quick_compilation")
QUIET = Progress(quiet=True)
GENERATOR = np.random.default_rng(3)
MAPS = GENERATOR.random((9, 4, 6)).astype(np.float32)
MAPS[4] = 0
LOGITS = (3 * GENERATOR.standard_normal((9, 3))).astype(np.float32)
LABELS = np.array([0, 0, 0, 1, 1, 1, 1, -1, 2], np.int32)


def test_sums_equal_numpy():
    found = sums_of(jnp.asarray(MAPS), jnp.asarray(LOGITS), jnp.asarray(LABELS)).on_host()
    known = LABELS >= 0
    np.testing.assert_allclose(found.count, [3, 4, 1])
    np.testing.assert_allclose(found.cold, [0, 1, 0])
    shares = np.where(MAPS.sum((1, 2), keepdims=True) > 0, MAPS, 1)
    shares = shares / shares.sum((1, 2), keepdims=True)
    np.testing.assert_allclose(found.mean_maps()[1], shares[3:7].mean(0), rtol=1e-5)
    pairs = np.corrcoef(MAPS[:3].reshape(3, -1))[np.triu_indices(3, 1)]
    assert found.alike()[0] == pytest.approx(pairs.mean(), abs=1e-5)
    assert np.isnan(found.alike()[2])
    chances = np.exp(log_softmax(LOGITS, 1))
    right = LOGITS.argmax(1) == LABELS
    expected = reliability(chances.max(1)[known], right[known])
    np.testing.assert_allclose(found.bins, expected.count)
    np.testing.assert_allclose(found.correct, expected.right)
    assert found.calibration_error() == pytest.approx(expected.error, abs=1e-6)
    assert found.loss == pytest.approx(-log_softmax(LOGITS, 1)[known, LABELS[known]].sum(), rel=1e-5)
    assert found.confusion.sum() == 8
    assert found.confusion[0].argmax() in LOGITS[:3].argmax(1)


def test_sums_of_parts_add_up_and_numbers_that_are_none_count_not():
    parts = [
        sums_of(jnp.asarray(MAPS[p]), jnp.asarray(LOGITS[p]), jnp.asarray(LABELS[p])) for p in (slice(4), slice(4, 9))
    ]
    whole = sums_of(jnp.asarray(MAPS), jnp.asarray(LOGITS), jnp.asarray(LABELS)).on_host()
    both = (parts[0].on_host() + parts[1].on_host()).heat
    np.testing.assert_allclose(both, whole.heat, rtol=1e-5)
    broken = LOGITS.copy()
    broken[0] = np.nan
    found: SetSums = sums_of(jnp.asarray(MAPS), jnp.asarray(broken), jnp.asarray(LABELS)).on_host()
    np.testing.assert_allclose(found.count, [2, 4, 1])
    assert np.isfinite(found.loss)


def test_likeness_and_its_error_by_leaving_pictures_out():
    labels = np.zeros(8, np.int32)
    maps = GENERATOR.random((8, 5, 5)).astype(np.float32)

    def mean_correlation(rows):
        matrix = np.corrcoef(maps[rows].reshape(len(rows), -1))
        return matrix[np.triu_indices(len(rows), 1)].mean()

    value, error = class_likeness(maps, labels, [0])
    assert value[0] == pytest.approx(mean_correlation(np.arange(8)), abs=1e-6)
    left = np.array([mean_correlation(np.delete(np.arange(8), i)) for i in range(8)])
    assert error[0] == pytest.approx(np.sqrt(7 / 8 * ((left - left.mean()) ** 2).sum()), rel=1e-4)


def pictures(folder: Path, counts: dict[str, int], *, seed: int = 0, size: int = 24) -> Path:
    generator = np.random.default_rng(seed)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(generator.integers(0, 255, (size, size, 3), dtype=np.uint8)).save(
                folder / name / f"{i}.png"
            )
    return folder


def test_a_sample_is_even_stable_and_without_unreadable_pictures(tmp_path):
    folder = pictures(tmp_path / "p", {"a": 12, "b": 3, "c": 9})
    (folder / "a" / "0.png").write_bytes(b"\x89PNG broken")
    images = load_folder(folder, class_names=("a", "b"), name="valid")
    options = {"per_class": 11, "total": 10, "seed": 4, "progress": QUIET}
    inputs = Preprocessing.named("unit", size=(24, 24))
    for seed in range(3):
        found = sample(images, inputs, **{**options, "seed": seed})
        assert found.counts == {0: 7, 1: 3}
        assert "a/0.png" not in found.paths
        assert (np.diff(found.rows) > 0).all()
        assert all(images.paths[row] == path for row, path in zip(found.rows, found.paths, strict=True))
        np.testing.assert_array_equal(found.pixels[0], images.decode(found.rows[0], inputs))
    assert sample(images, inputs, **options).paths == sample(images, inputs, **options).paths
    assert len(sample(images, inputs, **{**options, "total": 100})) == 14
    assert len(sample(images.subset([]), inputs, **options)) == 0


def test_quotas_share_what_there_is():
    np.testing.assert_array_equal(quotas(np.array([3, 500, 0, 90]), 200, 100), [3, 49, 0, 48])
    np.testing.assert_array_equal(quotas(np.full(1000, 50), 200, 2000), np.full(1000, 2))
    np.testing.assert_array_equal(quotas(np.array([5, 5]), 200, 1), [1, 0])


def tiny() -> Classifier:
    spec = NetworkSpec(
        name="convnet", classes=2, head=Head(kind="cam"), base_end="pool1", width=1 / 8, input_size=(24, 24)
    )
    _, params = build("convnet", classes=2, head=spec.head, base_end="pool1", width=1 / 8, input_size=(24, 24))
    return Classifier(spec, params, Preprocessing.named("tf", size=(24, 24)), ("a", "b"))


def test_training_pictures_are_added_where_there_are_few(tmp_path):
    valid = load_folder(pictures(tmp_path / "v", {"a": 4, "b": 6}), class_names=("a", "b"), name="valid")
    folder = pictures(tmp_path / "t", {"a": 40, "b": 20}, seed=1)
    copy = (tmp_path / "v" / "a" / "0.png").read_bytes()
    for i in range(15):
        (folder / "a" / f"{i}.png").write_bytes(copy)
    train = load_folder(folder, class_names=("a", "b"), name="train")
    subject = Subject(run=tmp_path, classifier=tiny(), audited=valid, train=train, options=AuditOptions())
    found = pictures_tested(subject, progress=QUIET)
    assert found.added == len(found) - 10
    assert found.counts == {0: 4 + 25, 1: 6 + 20}
    assert found.paths[0].startswith("a/")
    assert found.paths[-1].startswith("train:")
    assert len({picture.tobytes() for picture in found.pixels}) == len(found)
    part: Sample = found.take([0, len(found) - 1])
    assert part.added == 1


def test_the_pass_over_a_set_equals_its_pictures_one_by_one(tmp_path):
    images = load_folder(pictures(tmp_path / "v", {"a": 5, "b": 4}), class_names=("a", "b"), name="valid")
    classifier = tiny()
    settings = settings_for(classifier, "auto", None, 0)
    assert settings.request.methods == ("cam",)
    found = whole_set(classifier, images, settings, colour=np.full(3, 127, np.float32), batch_size=4, progress=QUIET)
    pixels = np.stack([images.decode(row, classifier.preprocessing) for row in range(9)])
    maps = np.maximum(classifier.explain(pixels, methods="cam")["cam"], 0)
    logits = np.asarray(classifier.logits(pixels))
    own = sums_of(jnp.asarray(maps), jnp.asarray(logits), jnp.asarray(images.labels)).on_host()
    np.testing.assert_allclose(found.heat, own.heat, atol=1e-4)
    np.testing.assert_allclose(found.unit, own.unit, atol=1e-4)
    np.testing.assert_allclose(found.confusion, own.confusion)
    np.testing.assert_allclose(found.loss, own.loss, rtol=1e-4)
