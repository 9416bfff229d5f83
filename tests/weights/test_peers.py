"""VGG16 at full size against PyTorch and Keras, on random weights of a scale at which activations neither vanish nor
explode. Slow (a minute and 3 GB); `make_fixtures.py` has the same comparison for narrow networks, in files."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam import networks, weights

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("default")]
SHAPE = (1, 224, 224, 3)
STOPS = (*(f"block{i}_pool" for i in range(1, 6)), "predictions")


@pytest.fixture(scope="module")
def fixtures():
    for package in ("torch", "keras"):
        pytest.importorskip(package)
    path = Path(__file__).with_name("make_fixtures.py")
    spec = importlib.util.spec_from_file_location("make_fixtures", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.float32) / 64 - 2


def check(path, picture, expected, record_property):
    """Relative errors (largest difference by largest value) of every pool and of the logits."""
    chain = networks.NetworkSpec(name="vgg16").chain()
    params = weights.load(path, chain.abstract(SHAPE))
    path.unlink()  # half a gigabyte

    @jax.jit
    def run(params, x):
        out = {}
        for start, stop in zip([None, *STOPS[:-1]], STOPS, strict=True):
            x = out[stop] = chain.apply(params, x, start=start, stop=stop)
        return out

    got = run(params, jnp.asarray(picture))
    errors = {}
    for stop, value in zip(STOPS, expected, strict=True):
        value = np.asarray(value)
        assert got[stop].shape == value.shape
        assert 1e-2 < value.std() < 1e2, f"{stop} has vanished or exploded, the comparison says nothing"
        errors[stop] = float(np.abs(np.asarray(got[stop]) - value).max() / np.abs(value).max())
        record_property(stop, errors[stop])
    print({stop: f"{error:.1e}" for stop, error in errors.items()})
    assert all(error < 1e-4 for error in errors.values()), errors


@pytest.mark.parametrize("zip_format", [True, False], ids=["zip", "legacy"])
def test_torch(fixtures, picture, tmp_path, zip_format, record_property):
    import torch

    blocks = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
    model = fixtures.randomise(fixtures.TorchVGG(blocks, 4096, 1000, (7, 7)), seed=5)
    torch.save(model.state_dict(), tmp_path / "vgg16.pth", _use_new_zipfile_serialization=zip_format)
    with torch.no_grad():
        logits, pools = model(torch.from_numpy(picture).permute(0, 3, 1, 2))
    expected = [*(pool.numpy() for pool in pools), logits.numpy()]
    del model
    check(tmp_path / "vgg16.pth", picture, expected, record_property)


def test_keras(fixtures, picture, tmp_path, record_property):
    import keras

    with jax.numpy_dtype_promotion("standard"):
        model = keras.applications.VGG16(weights=None, classifier_activation=None)
        fixtures.randomise_keras(model, seed=6)
        model.save_weights(tmp_path / "vgg16.weights.h5")
        outputs = keras.Model(model.input, [model.get_layer(stop).output for stop in STOPS])
        expected = [np.asarray(value) for value in outputs(picture)]
        del model, outputs
    check(tmp_path / "vgg16.weights.h5", picture, expected, record_property)
