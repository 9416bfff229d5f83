"""Formats are told apart by content, and what is no weight file is named."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from jaxcam import weights
from jaxcam.errors import UserError
from jaxcam.weights.readers import detect_format

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("keras.h5", "keras"),
        ("keras3.weights.h5", "keras"),
        ("torchvision.pth", "torch_zip"),
        ("torchvision_legacy.pth", "torch_legacy"),
        ("first_torch.pth", "torch_legacy"),
        ("timm.safetensors", "safetensors"),
    ],
)
def test_format_by_content_whatever_the_name(tmp_path, file, kind):
    copy = tmp_path / "weights.bin"
    copy.write_bytes((FIXTURES / file).read_bytes())
    assert detect_format(copy) == kind
    assert len(weights.read(copy)) in (4, 32)


def test_safetensors_whose_header_begins_like_a_pickle(tmp_path):
    """A header of 640 bytes gives a file that begins with 80 02, as pickles do."""
    for padding in range(0, 600, 8):
        weights.save_safetensors(tmp_path / "w", {"a": {"kernel": np.ones(3, np.float32)}}, {"pad": "x" * padding})
        if (tmp_path / "w").read_bytes()[:2] == b"\x80\x02":
            break
    else:
        pytest.fail("no padding gave a header of 640 bytes")
    assert detect_format(tmp_path / "w") == "safetensors"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "git lfs pull"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a weight file"),
        (bytes(257) + b"ustar" + bytes(300), "tar archive"),
        (b"PK\x03\x04" + bytes(100), "zip archive"),
        (b"{", "not a weight file"),
        ((10**15).to_bytes(8, "little") + b"{", "not a weight file"),
    ],
)
def test_no_weight_file(tmp_path, content, word):
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=word) as error:
        weights.read(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("member", "word"), [("model.weights.h5", "save_weights"), ("x/constants.pkl", "TorchScript")])
def test_archives_of_whole_models(tmp_path, member, word):
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr(member, b"")
    with pytest.raises(UserError, match=word):
        weights.read(tmp_path / "m.keras")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        weights.read(tmp_path / "absent.h5")
    with pytest.raises(UserError, match="folder"):
        weights.read(tmp_path)
