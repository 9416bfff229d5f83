"""One reader for every weight file: the format is recognised by the file's first bytes, not by its name."""

import struct
import zipfile
from pathlib import Path

import numpy as np

from jaxcam.errors import UserError
from jaxcam.weights.messages import one_line

SUPPORTED = "Keras .h5 and .weights.h5, torch .pth, .safetensors"


def detect_format(path: str | Path) -> str:
    """`keras`, `torch_zip`, `torch_legacy` or `safetensors`; a `UserError` says what the file seems to be."""
    path = Path(path)
    if not path.is_file():
        kind = "is a folder, not a file" if path.is_dir() else "no such file"
        raise UserError(f"{path}: {kind}; give the path of a weight file ({SUPPORTED})")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "keras"
    # Before pickles: a header of 640 bytes begins with the same two bytes as a pickle.
    if head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= size - 8:
        return "safetensors"
    if head.startswith(b"PK\x03\x04"):
        return _detect_zip(path)
    if len(head) > 2 and head[0] == 0x80 and head[1] <= 5:
        return "torch_legacy"
    raise UserError(f"{path}: {_describe(head)}; supported are {SUPPORTED}")


def _detect_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UserError(one_line(f"{path}: a broken or truncated zip archive ({error}); download it again")) from error
    if any(name.endswith(".weights.h5") for name in names):
        raise UserError(f"{path}: a whole Keras model; save its weights with model.save_weights('NAME.weights.h5')")
    if any(name.endswith("constants.pkl") for name in names):
        raise UserError(f"{path}: a TorchScript program; save the state dict with torch.save(model.state_dict(), ...)")
    return "torch_zip"


def _describe(head: bytes) -> str:
    if not head:
        return "the file is empty"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the weights; run git lfs pull"
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        return "a web page, not weights; the download went wrong"
    if head[257:262] == b"ustar":
        return "a tar archive (torch of 2016); load it with torch and save it again"
    return "not a weight file"


def read(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a weight file by the names they have in it.

    The arrays may be read-only views on the file, of any number type and memory order. `UserError` for anything that is
    not a sound weight file; nothing in a file is ever executed.
    """
    path = Path(path)
    kind = detect_format(path)
    if kind == "keras":
        from jaxcam.weights.keras_files import read_keras

        return read_keras(path)
    if kind == "safetensors":
        from jaxcam.weights.safetensors_files import read_safetensors

        return read_safetensors(path)
    from jaxcam.weights import torch_files

    return torch_files.read_torch_zip(path) if kind == "torch_zip" else torch_files.read_torch_legacy(path)
