import equinox
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute import assert_equal, brute_force
from flax import nnx

from jaxcam.attribution import incremental

OFFSETS = np.array([[0, 0], [7, 3], [11, 12]])


@pytest.fixture(autouse=True)
def their_promotion():
    """Other libraries mix dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def test_equinox_network_with_channels_first():
    keys = jax.random.split(jax.random.key(0), 3)
    model = equinox.nn.Sequential(
        [
            equinox.nn.Conv2d(3, 4, 3, padding=1, key=keys[0]),
            equinox.nn.Lambda(jax.nn.relu),
            equinox.nn.MaxPool2d(2, 2),
            equinox.nn.Conv2d(4, 5, 3, key=keys[1]),
            equinox.nn.AvgPool2d(2, 2),
            equinox.nn.Lambda(jnp.ravel),
            equinox.nn.Linear(45, 4, key=keys[2]),
        ]
    )

    def fn(x):
        return jax.vmap(model)(x.transpose(0, 3, 1, 2))

    x = jax.random.normal(jax.random.key(1), (2, 17, 16, 3))
    assert_equal(incremental(fn)(x, window=(5, 4), offsets=OFFSETS, groups=1), brute_force(fn, x, (5, 4), OFFSETS))
    assert incremental(fn).plan(x.shape, window=(5, 4), offsets=OFFSETS).fallbacks == ()


def test_nnx_network():
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.conv = nnx.Conv(3, 4, (3, 3), strides=2, rngs=rngs)
            self.norm = nnx.BatchNorm(4, use_running_average=True, rngs=rngs)
            self.head = nnx.Linear(4, 3, rngs=rngs)

        def __call__(self, x):
            x = nnx.avg_pool(nnx.gelu(self.norm(self.conv(x))), (2, 2), (2, 2), "SAME")
            return self.head(x.mean((1, 2)))

    model = Net(nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (2, 17, 16, 3))
    assert_equal(
        incremental(model)(x, window=(5, 4), offsets=OFFSETS, groups=1), brute_force(model, x, (5, 4), OFFSETS)
    )
    assert incremental(model).plan(x.shape, window=(5, 4), offsets=OFFSETS).fallbacks == ()


NETWORKS = {
    "VGG16": (32, {"include_top": False, "pooling": "avg"}),
    "VGG19": (32, {"include_top": False, "pooling": "avg"}),
    "ResNet50": (48, {"classes": 5}),
    "MobileNet": (64, {"classes": 5, "alpha": 0.25}),
    "InceptionV3": (75, {"classes": 5}),
    "Xception": (71, {"classes": 5}),
}


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NETWORKS)
def test_keras_networks_on_jax(name):
    import keras

    size, options = NETWORKS[name]
    if options.get("classes"):
        options = {**options, "classifier_activation": None}
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), **options)
    random = np.random.default_rng(0)
    for variable in model.weights:
        if variable.path.endswith(("gamma", "moving_variance")):
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
    trainable = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]

    def fn(x):
        return model.stateless_call(trainable, others, x, training=False)[0]

    x = jax.random.normal(jax.random.key(0), (1, size, size, 3))
    offsets = np.array([[0, 0], [size - 12, size - 9], [11, 5]])
    ours = incremental(fn)(x, window=(12, 9), offsets=offsets, fill=0.2, groups=1)
    assert_equal(ours, brute_force(fn, x, (12, 9), offsets, 0.2))
    assert incremental(fn).plan(x.shape, window=(12, 9), offsets=offsets).fallbacks == ()
