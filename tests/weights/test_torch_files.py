"""Reading `torch.save` files without torch: what real torch wrote, and files made to do harm."""

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from jaxcam import weights
from jaxcam.errors import UserError
from jaxcam.weights import torch_files, torch_pickle
from jaxcam.weights.torch_files import LEGACY_MAGIC

FIXTURES = Path(__file__).parent / "fixtures"
BASE = np.arange(24, dtype=np.float32).reshape(4, 6)
KINDS = {
    "float32": BASE,
    "transposed": BASE.T,
    "column": BASE[:, 2],
    "corner": BASE[2:, 3:],
    "bfloat16": (np.arange(6).reshape(2, 3) / 4).astype(ml_dtypes.bfloat16),
    "bfloat16_view": (np.arange(12) / 4).astype(ml_dtypes.bfloat16)[1::2],
    "float16": np.array([0.5, -2.0], np.float16),
    "float64": np.array([[1e-3]]),
    "int64": np.array(7),
    "bool": np.array([True, False, True]),
    "empty": np.zeros((0, 3), np.float32),
    "parameter": np.array([1.0, 2.0], np.float32),
}


@pytest.mark.parametrize("file", ["kinds.pth", "kinds_legacy.pth"])
def test_types_strides_offsets_and_shared_storages(file):
    tensors = weights.read(FIXTURES / file)
    assert list(tensors) == list(KINDS)
    for name, expected in KINDS.items():
        assert tensors[name].dtype == expected.dtype, name
        assert tensors[name].shape == expected.shape, name
        np.testing.assert_array_equal(tensors[name].astype(np.float64), expected.astype(np.float64), err_msg=name)


def test_big_endian_archive(tmp_path):
    """Written on another machine: the record `byteorder` says so."""
    with zipfile.ZipFile(FIXTURES / "kinds.pth") as old, zipfile.ZipFile(tmp_path / "b.pth", "w") as new:
        widths = {"data/0": 4, "data/1": 2, "data/2": 2, "data/3": 2, "data/4": 8, "data/5": 8}
        for info in old.infolist():
            content = old.read(info)
            name = info.filename.split("/", 1)[1]
            if name == "byteorder":
                content = b"big"
            elif name in widths:
                content = np.frombuffer(content, f"V{widths[name]}").view(np.uint8)
                content = content.reshape(-1, widths[name])[:, ::-1].tobytes()
            new.writestr(info.filename, content)
    tensors = weights.read(tmp_path / "b.pth")
    for name in ("float32", "corner", "bfloat16", "bfloat16_view", "float16", "float64", "int64"):
        np.testing.assert_array_equal(tensors[name].astype(np.float64), KINDS[name].astype(np.float64), err_msg=name)


def test_calls_of_2017_as_in_torchvisions_vgg16():
    """vgg16-397923af.pth names `_rebuild_tensor`, `FloatStorage` and `OrderedDict`, in the old stream format."""
    tensors = weights.read(FIXTURES / "first_torch.pth")
    expected = weights.read(FIXTURES / "first_torch.safetensors")
    assert b"_rebuild_tensor\n" in (FIXTURES / "first_torch.pth").read_bytes()
    assert tensors.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(tensors[name], value)


# Hostile and broken files. `Pickled` writes what a real pickler would write for any object.


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def archive(path, data_pkl, records=(), compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("model/data.pkl", data_pkl)
        for name, content in dict(records).items():
            file.writestr(f"model/{name}", content)


def legacy(path, *pickles, tail=b""):
    start = [pickle.dumps(obj, protocol=2) for obj in (LEGACY_MAGIC, 1001, {"little_endian": True})]
    path.write_bytes(b"".join([*start, *pickles]) + tail)


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def numbers(*values):
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor_pickle(
    *, shape=(2, 3), strides=(3, 1), offset=0, count=6, storage="torch\nFloatStorage", key="0", legacy_format=False
):
    """The pickle of `{"w": tensor}` with any claims about the tensor."""
    view = b"N" if legacy_format else b""
    reference = b"(" + text("storage") + b"c" + storage.encode() + b"\n" + text(key) + text("cpu") + number(count)
    return (
        b"\x80\x02}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n("
        + reference + view + b"tQ" + number(offset) + numbers(*shape) + numbers(*strides) + b"\x89}tRs."
    )  # fmt: skip


DATA = np.arange(6, dtype="<f4").tobytes()


def refusal(path, *words):
    with pytest.raises(UserError) as error:
        weights.read(path)
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    for word in words:
        assert word in message.replace(str(path), "")
    return message


def test_the_hand_written_pickle_is_sound(tmp_path):
    """So that the refusals below are about what they change."""
    archive(tmp_path / "w.pth", tensor_pickle(), {"data/0": DATA})
    np.testing.assert_array_equal(weights.read(tmp_path / "w.pth")["w"], [[0, 1, 2], [3, 4, 5]])
    storage = struct.pack("<q", 6) + DATA
    legacy(tmp_path / "l.pth", tensor_pickle(legacy_format=True), pickle.dumps(["0"], protocol=2), tail=storage)
    np.testing.assert_array_equal(weights.read(tmp_path / "l.pth")["w"], [[0, 1, 2], [3, 4, 5]])


def test_what_python_2_wrote(tmp_path):
    """Byte strings for text, an OrderedDict as a list of pairs, four arguments, a view on a storage."""

    def old(value):
        return b"U" + bytes([len(value)]) + value.encode()

    view = b"(" + old("1") + b"K\x02K\x04t"  # elements 2 to 5
    reference = b"(" + old("storage") + b"ctorch\nFloatStorage\n" + old("0") + old("cuda:0") + b"K\x06" + view + b"tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor\n(" + reference + b"K\x01K\x02K\x01\x86K\x01K\x01\x86tR"
    body = b"\x80\x02ccollections\nOrderedDict\n]](" + old("w") + tensor + b"ea\x85R."
    legacy(tmp_path / "l.pth", body, pickle.dumps(["0"], protocol=2), tail=struct.pack("<q", 6) + DATA)
    np.testing.assert_array_equal(weights.read(tmp_path / "l.pth")["w"], [[3], [4]])


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["archive", "legacy"])
def test_calls_of_other_functions_run_nothing(tmp_path, kind, protocol):
    mark = tmp_path / "ran"
    for function, args in [(os.system, (f"touch {mark}",)), (eval, (f"open({str(mark)!r}, 'w')",))]:
        bomb = pickle.dumps({"w": Call(function, *args)}, protocol=protocol)
        if kind == "archive":
            archive(tmp_path / "w.pth", bomb)
        else:
            legacy(tmp_path / "w.pth", bomb)
        message = refusal(tmp_path / "w.pth", "nothing was run")
        assert protocol < 2 or function.__name__ in message
        assert not mark.exists()


def test_a_bomb_in_the_first_or_last_pickle_of_a_legacy_file(tmp_path):
    mark = tmp_path / "ran"
    bomb = pickle.dumps(Call(os.system, f"touch {mark}"), protocol=2)
    (tmp_path / "first.pth").write_bytes(bomb)
    refusal(tmp_path / "first.pth", "system")
    legacy(tmp_path / "last.pth", tensor_pickle(legacy_format=True), bomb)
    refusal(tmp_path / "last.pth", "system")
    assert not mark.exists()


def test_names_beside_the_allowed_ones(tmp_path):
    for name in ("torch._utils\n_rebuild_qtensor", "torch\nload", "builtins\ngetattr", "torch.FloatStorage\n__init__"):
        archive(tmp_path / "w.pth", b"\x80\x02c" + name.encode() + b"\n.")
        refusal(tmp_path / "w.pth", "names", name.split("\n")[1])


def test_a_name_with_line_ends_and_terminal_codes_stays_on_one_line(tmp_path):
    archive(tmp_path / "w.pth", b"\x80\x04" + text("os\n\x1b[2J") + text("sys\ntem") + b"\x93.")
    message = refusal(tmp_path / "w.pth", "names")
    assert message.isprintable()


def test_a_storage_type_cannot_be_called(tmp_path):
    archive(tmp_path / "w.pth", b"\x80\x02ctorch\nFloatStorage\n)R.")
    refusal(tmp_path / "w.pth", "calls something")


def test_attributes_cannot_be_set_on_names(tmp_path):
    archive(tmp_path / "w.pth", b"\x80\x02ccollections\nOrderedDict\n}b.")
    refusal(tmp_path / "w.pth", "attributes")


@pytest.mark.parametrize(
    "claims",
    [
        {"shape": (3, 3)},
        {"offset": 1},
        {"offset": -1},
        {"strides": (3, -1)},
        {"shape": (-2, -3)},
        {"shape": (10**6, 10**6), "strides": (0, 0)},
        {"shape": (2**62, 4)},
        {"strides": (3,)},
        {"shape": (1,) * 40, "strides": (1,) * 40},
        {"count": 7},
        {"count": 5},
        {"count": 2**60},
        {"count": -6},
        {"key": "1"},
        {"key": "../../etc/passwd"},
        {"storage": "torch\nDoubleStorage"},
        {"storage": "torch\nComplexFloatStorage"},
        {"storage": "collections\nOrderedDict"},
    ],
    ids=str,
)
def test_claims_that_do_not_fit_the_data(tmp_path, claims):
    archive(tmp_path / "w.pth", tensor_pickle(**claims), {"data/0": DATA})
    refusal(tmp_path / "w.pth", "refused")
    storage = struct.pack("<q", 6) + DATA
    body = tensor_pickle(**claims, legacy_format=True)
    legacy(tmp_path / "l.pth", body, pickle.dumps(["0"], protocol=2), tail=storage)
    refusal(tmp_path / "l.pth", "refused")


@pytest.mark.parametrize(
    "tail",
    [b"", struct.pack("<q", 5) + DATA, struct.pack("<q", 2**62) + DATA, struct.pack("<q", -1), (struct.pack("<q", 6))],
)
def test_legacy_storages_that_lie_about_their_size(tmp_path, tail):
    legacy(tmp_path / "l.pth", tensor_pickle(legacy_format=True), pickle.dumps(["0"], protocol=2), tail=tail)
    refusal(tmp_path / "l.pth", "storage")


@pytest.mark.parametrize("keys", [["1"], [], "0", ["0", "1"]])
def test_legacy_lists_of_storages_that_do_not_fit(tmp_path, keys):
    storage = struct.pack("<q", 6) + DATA
    legacy(tmp_path / "l.pth", tensor_pickle(legacy_format=True), pickle.dumps(keys, protocol=2), tail=storage)
    refusal(tmp_path / "l.pth", "storage")


def test_compressed_records_are_not_unpacked(tmp_path):
    """16 MB of zeros in 16 KB: a bomb; torch never compresses."""
    bomb = {"data/0": bytes(16 * 2**20)}
    archive(tmp_path / "w.pth", tensor_pickle(count=4 * 2**20), bomb, zipfile.ZIP_DEFLATED)
    assert (tmp_path / "w.pth").stat().st_size < 50_000
    refusal(tmp_path / "w.pth", "compressed")


@pytest.mark.parametrize("name", ["torchvision.pth", "torchvision_legacy.pth", "kinds.pth", "kinds_legacy.pth"])
def test_truncated_files(tmp_path, name):
    content = (FIXTURES / name).read_bytes()
    for share in (0.02, 0.3, 0.9, 0.999):
        (tmp_path / "w.pth").write_bytes(content[: int(len(content) * share)])
        refusal(tmp_path / "w.pth")


def test_every_single_broken_byte_is_an_error_or_a_tensor(tmp_path):
    """Whatever byte of the small file is wrong, the reader neither crashes nor hangs nor runs anything."""
    content = (FIXTURES / "first_torch.pth").read_bytes()
    path = tmp_path / "w.pth"
    messages = []
    for position in range(0, len(content), 2):
        broken = bytearray(content)
        broken[position] ^= 0xA5
        path.write_bytes(bytes(broken))
        try:
            assert all(isinstance(value, np.ndarray) for value in weights.read(path).values())
        except UserError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert not any("\n" in message for message in messages)


def test_memo_index_and_lengths_of_gigabytes_cost_nothing(tmp_path):
    for body in (
        b"\x80\x02}r\xff\xff\xff\x7f.",  # memo number 2**31
        b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"abc.",  # text of a terabyte
        b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"}.",  # frame
        b"\x80\x02\x8b" + struct.pack("<i", -5) + b".",
        b"\x80\x02" + b"1" * 1000 + b".",
        b"\x80\x02h\x07.",
        b"\x80\x02.",
        b"",
    ):
        archive(tmp_path / "w.pth", body)
        refusal(tmp_path / "w.pth")


def test_keys_that_take_forever_to_hash(tmp_path):
    nested = b")" + b"q\x00h\x00\x86" * 80  # a pair of pairs of pairs ...: 2**80 elements to hash
    archive(tmp_path / "w.pth", b"\x80\x02}" + nested + b"Ns.")
    refusal(tmp_path / "w.pth", "whose key is neither text nor a number")


def test_one_storage_described_twice(tmp_path):
    second = tensor_pickle(shape=(2,), strides=(1,), count=2)[3:].removesuffix(b"s.") + b"s."
    body = tensor_pickle().removesuffix(b".") + second.replace(text("w"), text("v"))
    archive(tmp_path / "w.pth", body, {"data/0": DATA})
    refusal(tmp_path / "w.pth", "described twice")


def test_pending_negation_is_not_ignored(tmp_path):
    body = tensor_pickle().replace(b"\x89}tRs.", b"\x89}}" + text("neg") + b"\x88stRs.")
    archive(tmp_path / "w.pth", body, {"data/0": DATA})
    refusal(tmp_path / "w.pth", "negation")


def test_endless_pickle(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_pickle, "MAX_INSTRUCTIONS", 100)
    archive(tmp_path / "w.pth", b"\x80\x02" + b"}" * 101 + b".")
    refusal(tmp_path / "w.pth", "more than 100 instructions")
    monkeypatch.setattr(torch_files, "MAX_BYTES", 50)
    refusal(tmp_path / "w.pth", "claims 104 bytes")


def test_a_dictionary_in_itself(tmp_path):
    archive(tmp_path / "w.pth", b"\x80\x02}q\x00" + text("model") + b"h\x00s.")
    refusal(tmp_path / "w.pth", "no state dict")


def test_whole_models_and_other_content(tmp_path):
    archive(tmp_path / "w.pth", pickle.dumps({"epoch": 3, "loss": [1.5]}, protocol=2))
    refusal(tmp_path / "w.pth", "no state dict", "epoch")
    archive(tmp_path / "w.pth", b"\x80\x02ctorchvision.models.vgg\nVGG\n)\x81.")
    refusal(tmp_path / "w.pth", "torchvision.models.vgg.VGG", "state_dict()")
    body = tensor_pickle()[:-1] + text("note") + text("hello") + b"s."
    archive(tmp_path / "w.pth", body, {"data/0": DATA})
    refusal(tmp_path / "w.pth", "not tensors: note")
    (tmp_path / "w.pth").write_bytes(pickle.dumps({"a": 1}, protocol=2))
    refusal(tmp_path / "w.pth", "not one of torch.save")
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as file:
        file.writestr("photo.jpg", b"")
    refusal(tmp_path / "w.pth", "photo.jpg")


def test_encrypted_record(tmp_path):
    buffer = io.BytesIO()
    archive(buffer, tensor_pickle(), {"data/0": DATA})
    content = bytearray(buffer.getvalue())
    position = content.rindex(b"PK\x03\x04")
    content[position + 6] |= 1
    (tmp_path / "w.pth").write_bytes(bytes(content))
    refusal(tmp_path / "w.pth", "encrypted")
