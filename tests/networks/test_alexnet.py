"""AlexNet with batch norm: sizes, every stage and a training step beside Keras, and maps at its stages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam import attribution, networks
from jaxcam.errors import UserError

pytestmark = pytest.mark.usefixtures("quick_compilation")
WIDTH, SIZE = 1 / 16, 75


def test_published_shapes():
    spec = networks.NetworkSpec(name="alexnet", classes=10)
    shapes = spec.chain().shapes(spec.shape)
    told = {"conv1": (55, 55, 96), "pool1": (27, 27, 96), "conv2": (27, 27, 256), "pool2": (13, 13, 256)}
    told |= {"conv3": (13, 13, 384), "conv5": (13, 13, 256), "pool5": (6, 6, 256), "dense_1": (4096,)}
    assert {name: shapes[name][1:] for name in told} == told
    with pytest.raises(UserError, match="too small"):
        networks.build("alexnet", input_size=(66, 80))


@pytest.fixture(scope="module")
def small():
    return networks.build("alexnet", classes=4, width=WIDTH, input_size=(SIZE, SIZE), key=jax.random.key(3))


@pytest.mark.peers
@pytest.mark.filterwarnings("default")
def test_every_stage_and_the_statistics_equal_keras(small):
    keras = pytest.importorskip("keras")
    chain, params = small
    layers = [keras.Input((SIZE, SIZE, 3))]
    for i, (name, kernel) in enumerate((("valid", 11), ("same", 5), ("same", 3), ("same", 3), ("same", 3)), start=1):
        filters, strides = params[f"conv{i}"]["bias"].size, 4 if i == 1 else 1
        layers.append(
            keras.layers.Conv2D(filters, kernel, strides=strides, padding=name, activation="relu", name=f"conv{i}")
        )
        layers.append(keras.layers.BatchNormalization(name=f"norm{i}"))
        if i in (1, 2, 5):
            layers.append(keras.layers.MaxPooling2D(3, strides=2, name=f"pool{i}"))
    with jax.numpy_dtype_promotion("standard"):
        model = keras.Sequential(layers)
        for name, values in params.items():
            if name.startswith(("conv", "norm")):
                order = (
                    ("kernel", "bias") if "kernel" in values else ("gamma", "beta", "moving_mean", "moving_variance")
                )
                model.get_layer(name).set_weights([np.asarray(values[part]) for part in order])
        pixels = np.random.default_rng(0).uniform(0, 1, (4, SIZE, SIZE, 3)).astype(np.float32)
        fixed, moved = (np.asarray(model(pixels, training=training)) for training in (False, True))
        after = {name: model.get_layer(name).get_weights()[2:] for name in ("norm1", "norm5")}
    pixels = jnp.asarray(pixels)
    np.testing.assert_allclose(chain.apply(params, pixels, stop="pool5"), fixed, rtol=1e-3, atol=1e-4)
    part = chain.slice(stop="pool5")
    found, statistics = part.apply_training(params, pixels, trained=part.names, rows=jnp.ones(4, bool))
    np.testing.assert_allclose(found, moved, rtol=1e-2, atol=1e-3)
    for name, (mean, variance) in after.items():
        np.testing.assert_allclose(statistics[name]["moving_mean"], mean, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(statistics[name]["moving_variance"], variance, rtol=1e-3, atol=1e-5)


def test_maps_at_its_last_convolution(small):
    chain, params = small
    images = jax.random.uniform(jax.random.key(1), (2, SIZE, SIZE, 3))
    activations = chain.apply(params, images, stop="norm5")
    maps = attribution.grad_cam(lambda a: chain.apply(params, a, start="norm5"), activations, jnp.array([0, 3]))
    assert maps.shape == (2, 3, 3)
    assert np.isfinite(maps).all()
