"""Sets of TensorFlow Datasets: really prepared, really read, and never with TensorFlow."""

import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from test_folder import fails

from jaxcam.config import Data
from jaxcam.data import drawn
from jaxcam.data.decode import UnreadableImage, decode
from jaxcam.data.loader import batches
from jaxcam.data.preparing import prepare
from jaxcam.data.sets import load_all, load_set, reader, splits_of, word_for
from jaxcam.data.tfds import parse
from jaxcam.data.tfds_records import load_tfds
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress
from jaxcam.training.start import image_sets

CLASSES = ("star", "checks", "red_disc")  # in the set's own order, which is not the alphabet's
SETTINGS = Preprocessing(size=(20, 24))


def encoded(label, number, kind="JPEG", size=32):
    picture = drawn.draw(drawn.CLASS_NAMES.index(CLASSES[label]), np.random.default_rng([label, number]), size=size)
    content = io.BytesIO()
    Image.fromarray(picture).save(content, kind)
    content.seek(0)
    return content


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Sets prepared as anyone would prepare their own: with builders, without TensorFlow."""
    import tensorflow_datasets as tfds

    folder = tmp_path_factory.mktemp("tfds")
    image = tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg")
    label = tfds.features.ClassLabel(names=CLASSES)

    class Shapes(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.2.0")
        counts: dict[str, int] = {"train": 12, "validation": 6, "extra": 3}  # noqa: RUF012
        features: dict = {"image": image, "label": label, "image/filename": tfds.features.Text()}  # noqa: RUF012
        supervised: tuple | None = ("image", "label")

        def _info(self):
            features = tfds.features.FeaturesDict(self.features)
            return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=self.supervised)

        def _split_generators(self, dl_manager):
            return {split: self.made(split, count) for split, count in self.counts.items()}

        def _generate_examples(self):
            raise NotImplementedError

        def made(self, split, count):
            for number in range(count):
                row = {"image": encoded(number % 3, number), "label": number % 3}
                yield number, row | {"image/filename": f"some where/{split} {number}.jpg"}

    class Single(Shapes):
        """One split, other features, no keys for supervised training, pictures as PNG."""

        counts = {"train": 9}  # noqa: RUF012
        supervised = None
        features = {  # noqa: RUF012
            "picture": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "mask": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "species": label,
            "family": tfds.features.ClassLabel(num_classes=2),
            "box": tfds.features.BBoxFeature(),
        }

        def made(self, split, count):
            for number in range(count):
                box = tfds.features.BBox(0.1, 0.1, 0.5, 0.5)
                row = {"mask": encoded(0, 0, "PNG"), "species": number % 3 if number else -1, "family": 1}
                yield number, row | {"picture": encoded(number % 3, number, "PNG"), "box": box}

    for builder in (Shapes, Single):
        builder(data_dir=str(folder), file_format="array_record").download_and_prepare()
    older = folder / "shapes" / "1.0.0"
    shutil.copytree(folder / "shapes" / "1.2.0", older)
    text = (older / "dataset_info.json").read_text().replace('"1.2.0"', '"1.0.0"')
    (older / "dataset_info.json").write_text(text)
    return folder


@pytest.fixture
def here(data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    return data_dir


def test_a_set_by_name(here):
    assert splits_of("tfds:shapes") == ("train", "valid")
    sets = load_all("tfds:shapes")
    assert {name: len(images) for name, images in sets.items()} == {"train": 12, "valid": 6}
    train = sets["train"]
    assert train.class_names == ("checks", "red_disc", "star")
    assert train.counts() == dict.fromkeys(train.class_names, 4)
    assert len(set(train.paths)) == 12
    for row, path in enumerate(train.paths):
        # TFDS has shuffled the records; the file's name tells which one it is.
        assert path.startswith(f"train/{row:02d}-train-")
        number = int(path.rpartition("-")[2].removesuffix(".jpg"))
        assert train.read(row) == encoded(number % 3, number).getvalue()
        assert train.folder_names[row] == train.class_names[train.labels[row]] == CLASSES[number % 3]
    for batch in batches(train, SETTINGS, batch_size=5):
        for row, pixels in zip(batch.index, batch.images, strict=True):
            expected = decode(train.read(row), SETTINGS) if row >= 0 else np.zeros((20, 24, 3), np.uint8)
            np.testing.assert_array_equal(pixels, expected)
    with pytest.raises(ValueError, match="are no files"):
        train.file(0)


def test_classes_of_a_classifier(here):
    images = load_set("tfds:shapes", "valid", class_names=("star", "moon"))
    assert images.class_names == ("star", "moon")
    assert sorted(zip(images.folder_names, images.labels.tolist(), strict=True)) == [
        ("checks", -1), ("checks", -1), ("red_disc", -1), ("red_disc", -1), ("star", 0), ("star", 0),
    ]  # fmt: skip


def test_split_expressions_and_versions(here):
    whole = load_set("tfds:shapes", "train")
    first, rest = load_set("tfds:shapes", "train[:75%]"), load_set("tfds:shapes?split=train[75%:]")
    assert [*first.stamps(), *rest.stamps()] != whole.stamps()  # numbers count within the expression
    assert [first.read(row) for row in range(9)] + [rest.read(row) for row in range(3)] == [
        whole.read(row) for row in range(12)
    ]
    assert splits_of("tfds:shapes?split=train[75%:]") == ()
    assert str(rest.root) == "tfds:shapes?split=train[75%:]"
    read = reader(rest.root)
    assert read(rest.paths[1]) == rest.read(1)
    old, new = load_set("tfds:shapes:1.0.0", "train"), load_set("tfds:shapes:1.2.0", "train")
    assert new.fingerprint() == whole.fingerprint() != old.fingerprint()
    assert load_set("tfds:shapes", "train").fingerprint() == whole.fingerprint()
    by_folder = load_set(f"tfds:{here}/shapes/1.2.0", "train")
    assert [by_folder.read(row) for row in range(12)] == [whole.read(row) for row in range(12)]
    assert (word_for("tfds:shapes"), word_for(f"tfds:{here}/shapes/1.2.0")) == ("shapes", "shapes")
    assert parse(str(rest.root)) == parse("tfds:shapes?split=train[75%:]")


def test_another_data_dir_and_other_features(data_dir, monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    name = f"tfds:single?data_dir={data_dir}"
    assert splits_of(name) == ("train",)
    assert "name its image feature with ?image=KEY; there are: mask, picture" in fails(load_set, name)
    assert "name its label feature with ?label=KEY; there are: family, species" in fails(
        load_set, f"{name}&image=picture"
    )
    images = load_set(f"{name}&image=picture&label=species")
    assert images.counts() == {"checks": 3, "red_disc": 3, "star": 2}
    assert sorted(images.labels) == [-1, 0, 0, 0, 1, 1, 1, 2, 2]
    assert images.folder_names[int(np.argmin(images.labels))] == ""
    sizes = {images.decode(row, SETTINGS).shape for row in range(9)}
    assert sizes == {(20, 24, 3)}
    assert load_set(f"{name}&image=picture&label=family").class_names == ("0", "1")


def test_a_damaged_record_is_told_and_the_others_are_read(data_dir, tmp_path, monkeypatch):
    shutil.copytree(data_dir / "shapes", tmp_path / "shapes")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    (shard,) = (tmp_path / "shapes" / "1.2.0").glob("*train.array_record*")
    content = bytearray(shard.read_bytes())
    content[5000:8000] = bytes(3000)
    shard.write_bytes(bytes(content))
    images = load_tfds("tfds:shapes:1.2.0", "train")
    broken = []
    for row in range(12):
        try:
            images.decode(row, SETTINGS)
        except UnreadableImage:
            broken.append(row)
    assert 1 <= len(broken) < 12
    errors = [error for batch in batches(images, SETTINGS, batch_size=5) for error in batch.errors]
    assert [row for row, _ in errors] == broken
    shard.unlink()
    assert "is missing; delete" in fails(load_tfds, "tfds:shapes:1.2.0", "train")


def test_training_sets_and_prepared_sets(data_dir, tmp_path, monkeypatch):
    shutil.copytree(data_dir, tmp_path / "sets")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "sets"))
    sets = image_sets(Data(source="tfds:shapes"), 0)
    assert {name: len(images) for name, images in sets.items()} == {"train": 12, "valid": 6}
    single = Data(source="tfds:shapes?split=train", valid_share=0.25)  # no validation split: a share is held out
    held = [image_sets(single, seed) for seed in (0, 0, 1)]
    assert [(one["train"].counts(), one["valid"].counts()) for one in held] == [
        (dict.fromkeys(sorted(CLASSES), 3), dict.fromkeys(sorted(CLASSES), 1))
    ] * 3
    assert held[0]["valid"].paths == held[1]["valid"].paths != held[2]["valid"].paths
    parts = Data(source="tfds:shapes", train="train[:50%]", valid="train[50%:]")
    both = image_sets(parts, 0)
    assert {images.read(row) for images in both.values() for row in range(6)} == {
        sets["train"].read(row) for row in range(12)
    }
    prepare(load_all("tfds:shapes"), "tfds:shapes", "tfds", tmp_path / "out", SETTINGS, progress=Progress(quiet=True))
    ready = load_set(tmp_path / "out", "train")
    assert ready.fingerprint() == sets["train"].fingerprint()
    plain = list(batches(sets["train"], SETTINGS, batch_size=5))
    for one, other in zip(plain, batches(ready, SETTINGS, batch_size=5), strict=True):
        np.testing.assert_array_equal(one.images, other.images)
    newer = tmp_path / "sets" / "shapes" / "1.10.0"  # newer than 1.2.0, as a version
    shutil.copytree(tmp_path / "sets" / "shapes" / "1.2.0", newer)
    about = (newer / "dataset_info.json").read_text().replace('"1.2.0"', '"1.10.0"')
    (newer / "dataset_info.json").write_text(about)
    assert "out is stale: tfds:shapes changed since" in fails(load_set, tmp_path / "out", "train")
    shutil.rmtree(tmp_path / "sets")
    assert len(load_set(tmp_path / "out", "train")) == 12


def test_what_is_not_there_says_how_to_prepare_it(here, tmp_path):
    told = fails(load_set, "tfds:cats_vs_dogs", "train")
    assert f"no set 'cats_vs_dogs' in {here} (there are: shapes, single)" in told
    command = f"tfds build cats_vs_dogs --file_format=array_record --data_dir={here}"
    assert f"pip install 'jaxcam[tfds-prepare]' && {command}" in told
    assert "it holds none" in fails(splits_of, f"tfds:svhn_cropped?data_dir={tmp_path}/none")
    assert "tfds build a/b:1.0.0 " in fails(splits_of, "tfds:a/b:1.0.0")
    assert "no version 3.0.0" in fails(splits_of, "tfds:shapes:3.0.0")
    assert "has no split 'dev'; there are: train, validation, extra" in fails(load_set, "tfds:shapes", "dev")
    assert "is divided into" in fails(load_set, "tfds:shapes")


def test_a_set_stored_as_tfrecord_says_how_to_convert_it(data_dir, tmp_path):
    """Only the description is looked at: reading tfrecord files would need TensorFlow."""
    folder = tmp_path / "shapes" / "1.0.0"
    folder.mkdir(parents=True)
    about = json.loads((data_dir / "shapes" / "1.0.0" / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps({**about, "fileFormat": "tfrecord"}))
    told = fails(splits_of, f"tfds:shapes?data_dir={tmp_path}")
    assert "stored as tfrecord, which needs TensorFlow" in told
    assert f"tfds convert_format --dataset_version_dir={folder} --out_file_format=array_record" in told
    # After the conversion both formats lie side by side, and the description still names the first as its own.
    more = {**about, "fileFormat": "tfrecord", "alternativeFileFormats": ["array_record"]}
    (folder / "dataset_info.json").write_text(json.dumps(more))
    for file in (data_dir / "shapes" / "1.0.0").iterdir():
        if file.name != "dataset_info.json":
            shutil.copy(file, folder)
    assert len(load_set(f"tfds:shapes?data_dir={tmp_path}", "train")) == 12
    (folder / "dataset_info.json").write_text("{")
    assert "cannot be read; prepare the set again" in fails(splits_of, f"tfds:shapes?data_dir={tmp_path}")


@pytest.mark.parametrize(
    "spec", ["tfds:", "tfds:a//b", "tfds:a b", "tfds:a:", "tfds:a/", "tfds:a/..", "tfds:a/b/c", "tfds:a?colour=red"]
)
def test_names_that_are_none(spec):
    assert repr(spec) in fails(splits_of, spec)


PROGRAM = """
import sys
from jaxcam.data.preparing import prepare
from jaxcam.data.sets import load_all
from jaxcam.errors import UserError
from jaxcam.preprocessing import Preprocessing
images = load_all("tfds:shapes")["train"]
images.decode(0, Preprocessing(size=(8, 8)))
try:
    load_all("tfds:absent")
except UserError:
    print(len(images), sorted(name for name in sys.modules if name.split(".")[0] == "tensorflow"))
"""


def test_tensorflow_is_never_imported(here):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env={**os.environ, "JAX_PLATFORMS": "cpu"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("12 []\n", 0), done.stderr


def test_labels_of_large_sets_are_kept(here, tmp_path, monkeypatch):
    from jaxcam.data import tfds_records

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = load_set("tfds:shapes", "train")
    assert not any(tmp_path.rglob("*.npz"))
    monkeypatch.setattr(tfds_records, "_WORTH_KEEPING", 5)
    load_set("tfds:shapes", "train")
    (kept,) = tmp_path.rglob("*.npz")
    again = load_set("tfds:shapes", "train")
    np.testing.assert_array_equal(again.labels, first.labels)
    assert (again.paths, again.folder_names) == (first.paths, first.folder_names)
    kept.write_bytes(kept.read_bytes()[:50])
    np.testing.assert_array_equal(load_set("tfds:shapes", "train").labels, first.labels)
