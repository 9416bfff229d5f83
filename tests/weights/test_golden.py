"""Our VGG16 on weights of real PyTorch and Keras files gives what those libraries computed (`make_fixtures.py`)."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam import networks, weights

FIXTURES = Path(__file__).parent / "fixtures"
SHAPE = (1, 64, 96, 3)
TORCH = ["torchvision.pth", "torchvision_legacy.pth", "torchvision.safetensors", "timm.safetensors"]
KERAS = ["keras.h5", "keras3.weights.h5"]


@pytest.fixture(scope="module")
def chain():
    spec = networks.NetworkSpec(name="vgg16", width=1 / 32, classes=5, input_size=SHAPE[1:3])
    return spec.chain()


@pytest.fixture(scope="module")
def outputs_of(chain):
    stops = [f"block{i}_pool" for i in range(1, 6)] + ["predictions"]

    @jax.jit
    def run(params, x):
        out = {}
        for start, stop in zip([None, *stops[:-1]], stops, strict=True):
            x = out[stop] = chain.apply(params, x, start=start, stop=stop)
        return out

    return run


def relative_error(got, expected):
    return float(np.abs(np.asarray(got) - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("file", [*TORCH, *KERAS])
def test_ported_weights_give_the_logits_and_maps_of_their_library(chain, outputs_of, file):
    expected = np.load(FIXTURES / ("torch_expected.npz" if file in TORCH else "keras_expected.npz"))
    params = weights.load(FIXTURES / file, chain.abstract(SHAPE))
    x = (jnp.asarray(expected["picture"]).astype(jnp.float32) - 128) / 64
    got = outputs_of(params, x)
    errors = {stop: relative_error(got[stop], expected[stop]) for stop in got}
    assert all(error < 1e-4 for error in errors.values()), errors
    assert np.ptp(expected["predictions"]) > 0.1, "logits that are all alike would hide a wrong order"


def test_file_without_top_gives_the_same_maps(chain, outputs_of):
    whole = weights.load(FIXTURES / "keras.h5", chain.abstract(SHAPE))
    base_only = networks.NetworkSpec(name="vgg16", width=1 / 32, head="none", input_size=SHAPE[1:3]).chain()
    base = weights.load(FIXTURES / "keras_notop.h5", base_only.abstract(SHAPE))
    dropped = weights.load(FIXTURES / "keras.h5", base_only.abstract(SHAPE), ignore_top=True)
    assert set(base) == {name for name in whole if name.startswith("block")}
    for stage, leaves in base.items():
        for kind, value in leaves.items():
            np.testing.assert_array_equal(value, whole[stage][kind])
            np.testing.assert_array_equal(value, dropped[stage][kind])


def test_every_source_of_one_network_gives_the_same_parameters(chain):
    template = chain.abstract(SHAPE)
    for files in (TORCH, KERAS):
        first, *others = (weights.load(FIXTURES / file, template) for file in files)
        for other in others:
            jax.tree.map(np.testing.assert_array_equal, other, first)


def test_wrong_flatten_order_would_be_seen(chain, outputs_of):
    """The golden test has teeth: fc1 in torch's own order gives other logits."""
    expected = np.load(FIXTURES / "torch_expected.npz")
    params = weights.load(FIXTURES / "torchvision.pth", chain.abstract(SHAPE))
    kernel = params["fc1"]["kernel"]
    params["fc1"]["kernel"] = kernel.reshape(6, 16, -1).transpose(1, 0, 2).reshape(kernel.shape)
    x = (jnp.asarray(expected["picture"]).astype(jnp.float32) - 128) / 64
    assert relative_error(outputs_of(params, x)["predictions"], expected["predictions"]) > 0.01
