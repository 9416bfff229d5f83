"""State dicts written by `torch.save`, read without torch and without running anything of the file.

Two formats. Since torch 1.6 a zip archive of uncompressed records: `data.pkl` describes the tensors, `data/KEY` holds
one storage each. Before that (torchvision's `vgg16-397923af.pth` is of 2017) a stream: three small pickles, the
object's pickle, a pickled list of storage keys, then every storage as a 64-bit count and its elements, little-endian.
Both are memory-mapped; a tensor's data is read from disk when it is used.
"""

import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxcam.errors import UserError
from jaxcam.weights.messages import one_line
from jaxcam.weights.torch_pickle import MAX_BYTES, PickleRefused, Storage, Tensor, tensors_of, unpickle

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
ADVICE = "save the state dict again, with torch.save(model.state_dict(), ...) or as .safetensors"


def read_torch_zip(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a `torch.save` file of torch 1.6 or later, by their names in the state dict.

    Raises:
        UserError: for a truncated archive, compressed records, storages of the wrong size, and for anything in the
            pickle that is not needed to describe tensors. Nothing of the file is executed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            records = {info.filename: info for info in archive.infolist()}
            main = [name for name in records if name == "data.pkl" or name.endswith("/data.pkl")]
            if len(main) != 1:
                raise PickleRefused(f"the archive holds no state dict but {', '.join(list(records)[:5])}")
            prefix = main[0].removesuffix("data.pkl")
            packed = [name for name, info in records.items() if info.compress_type != zipfile.ZIP_STORED]
            if packed:
                raise PickleRefused(f"record {packed[0]!r} is compressed, which torch.save never does")
            if records[main[0]].file_size > MAX_BYTES:
                raise PickleRefused(f"its pickle claims {records[main[0]].file_size} bytes")
            tensors = tensors_of(unpickle(io.BytesIO(archive.read(main[0]))))
            big_endian = f"{prefix}byteorder" in records and archive.read(f"{prefix}byteorder") == b"big"
        data = np.memmap(path, np.uint8, mode="r")
        starts = {
            key: _record(data, records.get(f"{prefix}data/{key}"), key, storage.count * storage.dtype.itemsize)
            for key, storage in _storages(tensors).items()
        }
    except PickleRefused as error:
        raise UserError(one_line(f"{path}: refused, nothing was run: {error}; {ADVICE}")) from error
    except (zipfile.BadZipFile, struct.error, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise UserError(
            one_line(f"{path}: not a readable torch archive ({error}); download or copy it again")
        ) from error
    return {name: _array(data, starts, tensor, ">" if big_endian else "<") for name, tensor in tensors.items()}


def read_torch_legacy(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a `torch.save` file from before torch 1.6, by their names in the state dict.

    Raises:
        UserError: as `read_torch_zip`.
    """
    try:
        data = np.memmap(path, np.uint8, mode="r")
        stream = io.BytesIO(data[:MAX_BYTES].tobytes())
        if unpickle(stream) != LEGACY_MAGIC or unpickle(stream) != LEGACY_PROTOCOL:
            raise PickleRefused("it is a pickle, but not one of torch.save")
        unpickle(stream)  # sizes of C types on the machine that wrote it; the data is little-endian on any
        tensors = tensors_of(unpickle(stream))
        keys = unpickle(stream)
        if not isinstance(keys, list):
            raise PickleRefused("its list of storages is broken")
        starts = _legacy_storages(data, stream.tell(), keys, _storages(tensors))
    except PickleRefused as error:
        raise UserError(one_line(f"{path}: refused, nothing was run: {error}; {ADVICE}")) from error
    except (OSError, ValueError) as error:
        raise UserError(one_line(f"{path}: not readable ({error}); download or copy it again")) from error
    return {name: _array(data, starts, tensor, "<") for name, tensor in tensors.items()}


def _storages(tensors: Mapping[str, Tensor]) -> dict[str, Storage]:
    """One storage a key; the same key with another type or size is refused."""
    out: dict[str, Storage] = {}
    for tensor in tensors.values():
        known = out.setdefault(tensor.storage.key, tensor.storage)
        if (known.dtype, known.count) != (tensor.storage.dtype, tensor.storage.count):
            raise PickleRefused(f"storage {known.key!r} is described twice, differently")
    return out


def _record(data: np.ndarray, info: zipfile.ZipInfo | None, key: str, size: int) -> int:
    """Where a record's bytes begin in the file; the local header before them has a length of its own."""
    if info is None:
        raise PickleRefused(f"storage {key!r} is missing")
    header = data[info.header_offset : info.header_offset + 30].tobytes()
    signature, flags, name_length, extra_length = struct.unpack("<4s2xH18xHH", header)
    start = info.header_offset + 30 + name_length + extra_length
    if signature != b"PK\x03\x04" or flags & 1:
        raise PickleRefused(f"record {info.filename!r} is encrypted or broken")
    if info.file_size != size or start + size > data.size:
        raise PickleRefused(f"storage {key!r} should have {size} bytes, the file holds {info.file_size}")
    return int(start)


def _legacy_storages(data: np.ndarray, start: int, keys: list, storages: Mapping[str, Storage]) -> dict[str, int]:
    """Where each storage's elements begin; the storages lie behind one another in the order of `keys`."""
    starts: dict[str, int] = {}
    for key in map(str, keys):
        if key not in storages:
            raise PickleRefused(f"storage {key[:40]!r} belongs to no tensor")
        storage = storages[key]
        size = storage.count * storage.dtype.itemsize
        if start + 8 > data.size:
            raise PickleRefused(f"the file ends before storage {key[:40]!r}")
        (count,) = struct.unpack("<q", data[start : start + 8].tobytes())
        if count != storage.count or start + 8 + size > data.size:
            raise PickleRefused(
                f"storage {key[:40]!r} should have {storage.count} elements; the file claims {count} "
                f"and holds {data.size - start - 8} bytes from there on"
            )
        starts[key] = start + 8
        start += 8 + size
    missing = [key for key in storages if key not in starts]
    if missing:
        raise PickleRefused(f"storage {missing[0][:40]!r} is missing")
    return starts


def _array(data: np.ndarray, starts: Mapping[str, int], tensor: Tensor, order: str) -> np.ndarray:
    """The tensor as a view on the mapped file; `torch_pickle` has checked that it lies inside its storage."""
    storage = tensor.storage
    dtype = storage.dtype if storage.dtype.kind == "V" else storage.dtype.newbyteorder(order)  # type: ignore[arg-type]
    start = starts[storage.key]
    raw = np.asarray(data[start : start + storage.count * dtype.itemsize])
    if dtype.kind == "V" and order == ">":  # bfloat16 has no byte order of its own in numpy
        raw = raw.reshape(-1, dtype.itemsize)[:, ::-1].reshape(-1)
    flat = raw.view(dtype)[tensor.offset :]
    strides = tuple(stride * dtype.itemsize for stride in tensor.strides)
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, storage.dtype)
    return np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False)
