"""Reading Keras' HDF5 files, of every generation."""

from pathlib import Path

import h5py
import ml_dtypes
import numpy as np
import pytest

from jaxcam import weights
from jaxcam.errors import UserError

FIXTURES = Path(__file__).parent / "fixtures"
KERNEL = np.arange(12, dtype=np.float32).reshape(3, 4)
BIAS = np.arange(4, dtype=np.float32)


def write_legacy(root, layers, *, chunked=False):
    """`layers`: {layer: {weight name: array}}, in the form of Keras 1, 2 or 3."""
    names = [name.encode() for name in layers]
    if chunked:
        root.attrs["layer_names0"], root.attrs["layer_names1"] = names[:1], names[1:]
    else:
        root.attrs["layer_names"] = names
    for layer, tensors in layers.items():
        group = root.create_group(layer)
        group.attrs["weight_names"] = [name.encode() for name in tensors]
        for name, value in tensors.items():
            group.create_dataset(name, data=value)


LAYERS = {
    "input_1": {},
    "fc1": {"fc1_W_1:0": KERNEL, "fc1_b_1:0": BIAS},
    "flatten": {},
    "fc2": {"fc2/kernel:0": KERNEL + 1, "fc2/bias:0": BIAS},
    "predictions": {"model/predictions/kernel": KERNEL + 2},
}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("under", ["/", "model_weights"])
def test_legacy_names_of_three_generations(tmp_path, under, chunked):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write_legacy(file.require_group(under), LAYERS, chunked=chunked)
    tensors = weights.read(tmp_path / "w.h5")
    assert list(tensors) == [
        "fc1/fc1_W_1:0",
        "fc1/fc1_b_1:0",
        "fc2/fc2/kernel:0",
        "fc2/fc2/bias:0",
        "predictions/model/predictions/kernel",
    ]
    np.testing.assert_array_equal(tensors["fc2/fc2/kernel:0"], KERNEL + 1)


def test_names_as_text_attribute(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = ["fc1"]
        group = file.create_group("fc1")
        group.attrs["weight_names"] = ["kernel"]
        group["kernel"] = KERNEL
    np.testing.assert_array_equal(weights.read(tmp_path / "w.h5")["fc1/kernel"], KERNEL)


def test_weights_beside_the_layers_are_not_lost(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write_legacy(file, {"fc1": {"kernel": KERNEL}})
        group = file.create_group("top_level_model_weights")
        group.attrs["weight_names"] = [b"scale"]
        group["scale"] = BIAS
    assert "top_level_model_weights/scale" in weights.read(tmp_path / "w.h5")


def test_compressed_data_is_read(tmp_path):
    value = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write_legacy(file, {"fc1": {}})
        file["fc1"].attrs["weight_names"] = [b"kernel"]
        file["fc1"].create_dataset("kernel", data=value, compression="gzip")
    np.testing.assert_array_equal(weights.read(tmp_path / "w.h5")["fc1/kernel"], value)


def test_keras3_real_file_has_the_layers_names():
    tensors = weights.read(FIXTURES / "keras3.weights.h5")
    assert len(tensors) == 32
    assert tensors["layers/block1_conv1/vars/0"].shape == (3, 3, 3, 2)
    assert tensors["layers/predictions/vars/1"].shape == (5,)


def test_keras3_without_names_falls_back_to_the_order_of_classes(tmp_path):
    """Older Keras 3 wrote no names: `conv2d_3` is then the fourth convolution."""
    with h5py.File(FIXTURES / "keras3.weights.h5") as old, h5py.File(tmp_path / "w.weights.h5", "w") as new:
        for layer, group in old["layers"].items():
            for number, value in group["vars"].items():
                new[f"layers/{layer}/vars/{number}"] = value[()]
        new["optimizer/vars/0"] = np.zeros((), np.int64)
        new["optimizer/vars"].attrs["name"] = "adam"
        new["layers/dropout/seed_generator/vars/0"] = np.zeros(2, np.uint32)
    got = weights.load(tmp_path / "w.weights.h5", None)
    expected = weights.load(FIXTURES / "keras3.weights.h5", None)
    assert list(got) == list(expected)
    for stage, leaves in expected.items():
        for kind, value in leaves.items():
            np.testing.assert_array_equal(got[stage][kind], value)


def test_keras3_bfloat16(tmp_path):
    value = np.arange(4).astype(ml_dtypes.bfloat16)
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        for layer, stored in (("dense", value.view("V2")), ("dense_1", value)):
            dataset = file.create_dataset(f"layers/{layer}/vars/0", data=stored)
            dataset.attrs["dtype"] = "bfloat16"
    for array in weights.read(tmp_path / "w.weights.h5").values():
        assert array.dtype == ml_dtypes.bfloat16
        np.testing.assert_array_equal(array.astype(np.float32), [0, 1, 2, 3])


def one_line_error(path, *words):
    with pytest.raises(UserError) as error:
        weights.read(path)
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    assert all(word in message.replace(str(path), "") for word in words), message


def test_truncated_file(tmp_path):
    content = (FIXTURES / "keras.h5").read_bytes()
    (tmp_path / "w.h5").write_bytes(content[: len(content) // 2])
    one_line_error(tmp_path / "w.h5", "not a readable Keras HDF5 file")


def test_listed_but_absent_weight(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write_legacy(file, {"fc1": {"kernel": KERNEL}})
        del file["fc1/kernel"]
    one_line_error(tmp_path / "w.h5", "'kernel'", "'fc1'", "absent")


def test_hdf5_of_something_else(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["images"] = KERNEL
    one_line_error(tmp_path / "w.h5", "layer_names")


def test_data_outside_the_file_is_not_read(tmp_path):
    """A weight file could otherwise make a program read, and publish, any file of its user."""
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["kernel"] = KERNEL
    with h5py.File(tmp_path / "link.h5", "w") as file:
        write_legacy(file, {"fc1": {}})
        file["fc1"].attrs["weight_names"] = [b"kernel"]
        file["fc1/kernel"] = h5py.ExternalLink(str(secret), "/kernel")
    one_line_error(tmp_path / "link.h5", "absent")
    with h5py.File(tmp_path / "storage.h5", "w") as file:
        write_legacy(file, {"fc1": {}})
        file["fc1"].attrs["weight_names"] = [b"kernel"]
        file["fc1"].create_dataset("kernel", (4,), np.float32, external=[(str(secret), 0, 16)])
    one_line_error(tmp_path / "storage.h5", "another file")
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        write_legacy(file, {"fc1": {}})
        file["fc1"].attrs["weight_names"] = [b"kernel"]
        layout = h5py.VirtualLayout((3, 4), np.float32)
        layout[:] = h5py.VirtualSource(str(secret), "kernel", (3, 4))
        file["fc1"].create_virtual_dataset("kernel", layout)
    one_line_error(tmp_path / "virtual.h5", "another file")


def test_claimed_sizes_are_not_allocated(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write_legacy(file, {"fc1": {}})
        file["fc1"].attrs["weight_names"] = [b"kernel"]
        file["fc1"].create_dataset("kernel", (10**6, 10**6), np.float32, chunks=(1000, 1000), compression="gzip")
    one_line_error(tmp_path / "w.h5", "claims 4000000000000 bytes")


def test_text_where_numbers_belong(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        write_legacy(file, {"fc1": {}})
        file["fc1"].attrs["weight_names"] = [b"kernel"]
        file["fc1/kernel"] = "text"
    one_line_error(tmp_path / "w.h5", "not numbers")
