"""jaxcam's own weight files."""

import os

import ml_dtypes
import numpy as np
import pytest

from jaxcam import weights
from jaxcam.errors import UserError
from jaxcam.weights.safetensors_files import flatten, nest, read_metadata

PARAMS = {
    "conv": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3).T, "bias": np.ones(3, np.float32)},
    "block": {"norm": {"scale": np.float32(2.0)}},
}


def test_round_trip_of_params_and_metadata(tmp_path):
    metadata = {"network": "vgg16_mini", "accuracy": "0.91", "note": "größer\nlines"}
    weights.save_safetensors(tmp_path / "deep" / "w.safetensors", PARAMS, metadata)
    params, read_back = weights.load_safetensors(tmp_path / "deep" / "w.safetensors")
    assert read_back == metadata
    assert flatten(params).keys() == flatten(PARAMS).keys()
    for name, value in flatten(PARAMS).items():
        np.testing.assert_array_equal(flatten(params)[name], value)  # the transposed kernel too
        assert flatten(params)[name].shape == np.shape(value)


def test_same_input_same_bytes(tmp_path):
    metadata = {f"key{i}": "value" for i in range(8)}
    for i in range(4):
        weights.save_safetensors(tmp_path / f"{i}", PARAMS, metadata)
    assert len({(tmp_path / f"{i}").read_bytes() for i in range(4)}) == 1


def test_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "w.safetensors"
    weights.save_safetensors(path, PARAMS)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        weights.save_safetensors(path, PARAMS, {"bad": object()})  # type: ignore[dict-item]
    with pytest.raises(Exception, match="dtype"):
        weights.save_safetensors(path, {"a": np.array(["text"])})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_bfloat16_is_read(tmp_path):
    value = np.array([0.5, -3.0], ml_dtypes.bfloat16)
    weights.save_safetensors(tmp_path / "w", {"a": value})
    got = weights.read(tmp_path / "w")["a"]
    np.testing.assert_array_equal(got.astype(np.float32), [0.5, -3.0])


def test_nest_is_the_inverse_of_flatten():
    assert nest(flatten({"a": {"b": {"c": 1}, "d": 2}, "e": 3})) == {"a": {"b": {"c": 1}, "d": 2}, "e": 3}


def test_truncated_file(tmp_path):
    weights.save_safetensors(tmp_path / "w", PARAMS)
    content = (tmp_path / "w").read_bytes()
    for cut in (len(content) - 1, len(content) // 2, 20):
        (tmp_path / "cut").write_bytes(content[:cut])
        with pytest.raises(UserError) as error:
            weights.read(tmp_path / "cut")
        assert "\n" not in str(error.value)


def test_absent_file_and_broken_metadata(tmp_path):
    from safetensors.numpy import save_file

    with pytest.raises(UserError, match="no such file"):
        weights.load_safetensors(tmp_path / "absent")
    save_file({"a": np.ones(1, np.float32)}, tmp_path / "w", metadata={"jaxcam": "[1"})
    with pytest.raises(UserError, match="metadata"):
        weights.load_safetensors(tmp_path / "w")
    save_file({"a": np.ones(1, np.float32)}, tmp_path / "w", metadata={"format": "pt"})
    assert read_metadata(tmp_path / "w") == {"format": "pt"}
