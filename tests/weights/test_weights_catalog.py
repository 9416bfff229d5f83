"""Entries are complete and honest about what they need."""

import pytest

from jaxcam import networks, weights
from jaxcam.errors import UserError
from jaxcam.preprocessing import Preprocessing
from jaxcam.weights import catalog
from jaxcam.weights.fetch import digest_matches
from jaxcam.weights.tables import NETWORKS

ENTRIES = {entry.name: entry for entry in weights.list_entries()}


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=list(ENTRIES))
def test_entry_is_complete(entry):
    assert weights.get(entry.name) is entry
    assert entry.network in NETWORKS
    assert entry.network in networks.ARCHITECTURES
    assert entry.licence
    assert entry.source
    assert Preprocessing.named(entry.preprocessing, size=entry.input_size).size == entry.input_size
    assert "/" not in entry.file
    kind, _, digest = entry.checksum.partition(":")
    if not kind:
        assert "no checksum" in entry.note, "what nobody publishes must be said"
    assert kind in ("", "sha256-prefix") or len(digest) == {"sha256": 64, "md5": 32}[kind]
    assert set(digest) <= set("0123456789abcdef")
    names = weights.class_names(entry)
    assert len(set(names)) == len(names) > 1
    assert entry.url is None or entry.url.startswith("https://")


@pytest.mark.parametrize("entry", catalog.PACKAGED, ids=lambda entry: entry.name)
def test_packaged_file_is_the_one_described(entry):
    path = catalog.packaged_path(entry)
    assert path.stat().st_size == entry.bytes
    assert digest_matches(path, entry.checksum)[0]
    assert entry.accuracy


def test_names_and_files_differ():
    assert len(ENTRIES) == len(weights.list_entries())
    assert len({entry.file for entry in ENTRIES.values()}) == len(ENTRIES)


def test_imagenet_names_are_in_the_order_of_keras_and_torchvision():
    names = weights.class_names(weights.get("vgg16_keras"))
    assert len(names) == 1000
    known = {0: "tench", 281: "tabby", 340: "zebra", 386: "African elephant", 517: "crane", 999: "toilet tissue"}
    assert {index: names[index] for index in known} == known
    assert all(name == name.strip() and name for name in names)


def test_unknown_name():
    with pytest.raises(UserError, match=r"'vgg'.*vgg16_keras.*vgg16_torchvision"):
        weights.get("vgg")


def test_class_names_of_an_entrys_own(tmp_path):
    entry = catalog.WeightEntry(**{**vars(weights.get("vgg16_keras")), "class_names": ("cat", "dog")})
    assert weights.class_names(entry) == ("cat", "dog")
    assert catalog.provenance(entry)["licence"] == "CC BY 4.0"
    with pytest.raises(ValueError, match="downloaded"):
        catalog.packaged_path(entry)


def test_package_is_light():
    """Listing weights must not load JAX or HDF5: it is what `jaxcam weights list` and `--help` do."""
    import subprocess
    import sys

    code = (
        "import sys; from jaxcam import weights; weights.list_entries();"
        "weights.class_names(weights.get('vgg16_keras'));"
        "print(sorted({'jax', 'h5py', 'numpy', 'safetensors', 'flax', 'torch'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = weights.nothing_like_it
