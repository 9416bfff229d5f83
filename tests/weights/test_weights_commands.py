"""What the `weights` commands print and write."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jaxcam import weights
from jaxcam.errors import UserError
from jaxcam.weights import catalog
from jaxcam.weights.pretrained import load_entry
from jaxcam.weights.safetensors_files import flatten, read_metadata

FIXTURES = Path(__file__).parent / "fixtures"


def placed(monkeypatch, folder, source):
    """A catalogue with one entry whose file is in the cache already."""
    content = (FIXTURES / source).read_bytes()
    (folder / source).write_bytes(content)
    entry = replace(
        catalog.DOWNLOADED[0],
        name="narrow",
        file=source,
        checksum=f"sha256:{hashlib.sha256(content).hexdigest()}",
        bytes=len(content),
    )
    monkeypatch.setattr(catalog, "DOWNLOADED", (entry,))
    return entry


def test_list_is_a_table_of_all_entries(tmp_path, monkeypatch):
    lines = weights.weights_list(cache=tmp_path).splitlines()
    assert len(lines) == 1 + len(weights.list_entries())
    row = next(line for line in lines if line.startswith("vgg16_torchvision "))
    assert all(word in row for word in ("553.4 MB", "BSD-3-Clause", "no", "71.592 %"))
    assert "size unknown" in next(line for line in lines if line.startswith("vgg16_timm"))
    placed(monkeypatch, tmp_path, "keras.h5")
    row = next(line for line in weights.weights_list(cache=tmp_path).splitlines() if line.startswith("narrow"))
    assert row.split("CC BY 4.0")[1].split()[0] == "yes"


def test_fetch_says_where_the_file_is(tmp_path, monkeypatch):
    entry = placed(monkeypatch, tmp_path, "keras.h5")
    text = weights.weights_fetch("narrow", cache=tmp_path)
    assert str(tmp_path / "keras.h5") in text
    assert entry.checksum in text
    with pytest.raises(UserError, match="there are: vgg16_mini, narrow"):
        weights.weights_fetch("other", cache=tmp_path)


@pytest.mark.parametrize("file", ["keras.h5", "keras3.weights.h5", "torchvision_legacy.pth", "timm.safetensors"])
def test_convert_keeps_every_number(tmp_path, file):
    out = tmp_path / "w.safetensors"
    text = weights.weights_convert(FIXTURES / file, out)
    assert "32 tensors" in text
    assert hashlib.sha256(out.read_bytes()).hexdigest() in text
    expected = flatten(weights.load(FIXTURES / file, None))
    params, metadata = weights.load_safetensors(out)
    assert flatten(params).keys() == expected.keys()
    for name, value in flatten(params).items():
        np.testing.assert_array_equal(value, expected[name])
    assert metadata["converted_from"] == file
    assert metadata["converted_from_checksum"] == f"sha256:{hashlib.sha256((FIXTURES / file).read_bytes()).hexdigest()}"
    again = weights.weights_convert(FIXTURES / file, tmp_path / "again.safetensors")
    assert again.split()[-1] == text.split()[-1], "the same input gives the same file"
    weights.weights_convert(out, tmp_path / "twice.safetensors")
    assert read_metadata(tmp_path / "twice.safetensors")["original_converted_from"] == file


def test_convert_without_top(tmp_path):
    text = weights.weights_convert(FIXTURES / "keras.h5", tmp_path / "w.safetensors", ignore_top=True)
    assert "26 tensors" in text


def test_convert_of_a_catalogued_file_keeps_its_licence(tmp_path, monkeypatch):
    placed(monkeypatch, tmp_path, "keras.h5")
    weights.weights_convert(tmp_path / "keras.h5", tmp_path / "w.safetensors")
    assert read_metadata(tmp_path / "w.safetensors")["original_licence"] == "CC BY 4.0"


def test_convert_mistakes(tmp_path):
    with pytest.raises(UserError, match="safetensors"):
        weights.weights_convert(FIXTURES / "keras.h5", tmp_path / "w.h5")
    with pytest.raises(UserError, match="no such file"):
        weights.weights_convert(tmp_path / "absent.h5", tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="vgg99"):
        weights.weights_convert(FIXTURES / "keras.h5", tmp_path / "w.safetensors", "vgg99")
    weights.weights_convert(FIXTURES / "keras.h5", tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="overwrite its own source"):
        weights.weights_convert(tmp_path / "w.safetensors", tmp_path / "w.safetensors")


def test_load_entry_fetches_and_ports(tmp_path, monkeypatch):
    entry = placed(monkeypatch, tmp_path, "keras.h5")
    expected = flatten(weights.load(FIXTURES / "keras.h5", None))
    for given in (entry, "narrow"):
        assert flatten(load_entry(given, None, cache=tmp_path)).keys() == expected.keys()
    assert len(flatten(load_entry(entry, None, cache=tmp_path, ignore_top=True))) == 26
