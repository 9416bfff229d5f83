"""The catalogue's networks at full width beside Keras' own, on the same random weights: every stage, and the logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam import networks
from jaxcam.weights.port import port

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("default")]
NETWORKS = {
    "vgg19": ("VGG19", 64),
    "resnet50": ("ResNet50", 97),
    "mobilenet": ("MobileNet", 96),
    "inception_v3": ("InceptionV3", 107),
    "xception": ("Xception", 107),
}


@pytest.fixture(autouse=True)
def promotion():
    with jax.numpy_dtype_promotion("standard"):
        yield


def keras_model(name: str, size: int):
    """Keras' network with random weights under which activations neither vanish nor explode."""
    keras = pytest.importorskip("keras")
    keras.utils.clear_session()
    generator = np.random.default_rng(1)
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(size, size + 2, 3), classes=11, classifier_activation=None
    )
    for layer in model.layers:
        values = []
        for variable in layer.weights:
            if variable.name in ("gamma", "moving_variance"):
                values.append(generator.uniform(0.5, 1.5, variable.shape))
            elif variable.ndim == 1:
                values.append(generator.normal(0, 0.1, variable.shape))
            else:
                inputs = np.prod(variable.shape[: 2 if "depthwise" in layer.name or "dw" in layer.name else -1])
                values.append(generator.normal(0, np.sqrt(2 / inputs), variable.shape))
        layer.set_weights([value.astype(np.float32) for value in values])
    return keras, model


def keras_layer(network: str, stage: str) -> str:
    """The Keras layer whose output a stage gives; those without a name of their own are counted."""
    if network == "xception" and stage.removeprefix("block").isdigit():
        number = int(stage.removeprefix("block")) - 2
        return f"add_{number}" if number else "add"
    return stage.replace("conv2d", "activation") if network == "inception_v3" else stage


@pytest.mark.parametrize("name", NETWORKS)
def test_every_stage_equals_keras(name):
    keras_name, size = NETWORKS[name]
    keras, model = keras_model(keras_name, size)
    tensors = {
        f"{layer.name}/{variable.name}": np.asarray(variable) for layer in model.layers for variable in layer.weights
    }
    spec = networks.NetworkSpec(name=name, classes=11, input_size=(size, size + 2))
    chain = spec.chain()
    params = port(tensors, chain.abstract(spec.shape), network=name, source="keras")
    picture = np.random.default_rng(0).normal(0, 1, (1, size, size + 2, 3)).astype(np.float32)
    layers = {layer.name for layer in model.layers}
    shared = [stage for stage in chain.names if keras_layer(name, stage) in layers]
    assert len(shared) > 5, shared
    outputs = keras.Model(model.input, [model.get_layer(keras_layer(name, stage)).output for stage in shared])(picture)

    @jax.jit
    def run(params, x):
        out, start = [], None
        for stop in shared:
            x = chain.apply(params, x, start=start, stop=stop)
            start = stop
            out.append(x)
        return out

    errors = {}
    for stage, got, expected in zip(shared, run(params, jnp.asarray(picture)), outputs, strict=True):
        expected = np.asarray(expected).reshape(got.shape)
        assert 1e-3 < expected.std() < 1e6, f"{stage} has vanished or exploded, the comparison says nothing"
        errors[stage] = float(np.abs(np.asarray(got) - expected).max() / np.abs(expected).max())
    print(name, {stage: f"{error:.0e}" for stage, error in errors.items()})
    assert max(errors.values()) < 1e-4, errors
