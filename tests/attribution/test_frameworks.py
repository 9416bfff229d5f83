"""`split` on models of other libraries: what they name with `checkpoint_name` is where they are cut."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

from jaxcam.attribution import grad_cam, split

pytestmark = [pytest.mark.usefixtures("quick_compilation"), pytest.mark.filterwarnings("default")]

IMAGES = jax.random.normal(jax.random.key(0), (2, 8, 10, 3))
TARGETS = jnp.array([1, 3])


def check(function, last_maps, top):
    """The cut is where it was named, the parts make the whole, and Grad-CAM is that of the written head."""

    @jax.jit
    def parts(images):
        features, head = split(function, at="last")
        value = features(images)
        return value, head(value), grad_cam(head, value, TARGETS, relu=False)

    value, logits, maps = parts(IMAGES)
    np.testing.assert_allclose(value, last_maps, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits, function(IMAGES), rtol=1e-4, atol=1e-5)
    score = lambda a: jnp.take_along_axis(top(a), TARGETS[:, None], 1).sum()
    weights = jax.grad(score)(value).mean((1, 2))
    np.testing.assert_allclose(maps, jnp.einsum("nhwc,nc->nhw", value, weights), rtol=1e-3, atol=1e-5)


def test_nnx():
    from flax import nnx

    class Network(nnx.Module):
        def __init__(self, rngs):
            self.conv = nnx.Conv(3, 6, (3, 3), rngs=rngs)
            self.norm = nnx.BatchNorm(6, use_running_average=True, rngs=rngs)
            self.dense = nnx.Linear(6, 4, rngs=rngs)

        def maps(self, x):
            return nnx.relu(self.norm(self.conv(x)))

        def __call__(self, x):
            return self.dense(checkpoint_name(self.maps(x), "last").mean((1, 2)))

    network = Network(nnx.Rngs(0))
    check(network, network.maps(IMAGES), lambda a: network.dense(a.mean((1, 2))))
    graph, state = nnx.split(network)
    check(jax.jit(lambda x: nnx.merge(graph, state)(x)), network.maps(IMAGES), lambda a: network.dense(a.mean((1, 2))))


def test_linen():
    from flax import linen as nn

    class Network(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Conv(6, (3, 3))(x))
            x = nn.max_pool(checkpoint_name(x, "last"), (2, 2), (2, 2))
            return nn.Dense(4, name="logits")(nn.relu(nn.Dense(7, name="hidden")(x.reshape(x.shape[0], -1))))

    network = Network()
    variables = network.init(jax.random.key(1), IMAGES)
    values = variables["params"]
    maps = nn.relu(nn.Conv(6, (3, 3)).apply({"params": values["Conv_0"]}, IMAGES))

    def top(a):
        rows = nn.max_pool(a, (2, 2), (2, 2)).reshape(a.shape[0], -1)
        hidden = nn.relu(rows @ values["hidden"]["kernel"] + values["hidden"]["bias"])
        return hidden @ values["logits"]["kernel"] + values["logits"]["bias"]

    check(lambda x: network.apply(variables, x), maps, top)


def test_equinox():
    """Equinox works on one image, channels first, under `vmap`; the named value is turned to (n, h, w, c)."""
    eqx = pytest.importorskip("equinox")
    first, second = jax.random.split(jax.random.key(2))
    conv, dense = eqx.nn.Conv2d(3, 6, 3, padding=1, key=first), eqx.nn.Linear(6, 4, key=second)

    def one(x):
        maps = jax.nn.relu(conv(x.transpose(2, 0, 1))).transpose(1, 2, 0)
        return dense(checkpoint_name(maps, "last").mean((0, 1)))

    maps = jax.vmap(lambda x: jax.nn.relu(conv(x.transpose(2, 0, 1))).transpose(1, 2, 0))(IMAGES)
    check(jax.vmap(one), maps, lambda a: jax.vmap(dense)(a.mean((1, 2))))
    check(eqx.filter_jit(jax.vmap(one)), maps, lambda a: jax.vmap(dense)(a.mean((1, 2))))


@pytest.mark.peers
def test_keras_on_jax():
    import keras

    if keras.backend.backend() != "jax":
        pytest.skip("Keras runs on another backend here")
    inputs = keras.Input((8, 10, 3))
    maps = keras.layers.Conv2D(6, 3, padding="same", activation="relu")(inputs)
    named = keras.layers.Lambda(lambda x: checkpoint_name(x, "last"))(maps)
    dense = keras.layers.Dense(4)
    model = keras.Model(inputs, dense(keras.layers.GlobalAveragePooling2D()(named)))
    base = keras.Model(inputs, maps)
    top = lambda a: a.mean((1, 2)) @ dense.kernel.value + dense.bias.value
    check(lambda x: model(x, training=False), base(IMAGES), top)
    variables = [v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables]
    check(lambda x: model.stateless_call(*variables, x, training=False)[0], base(IMAGES), top)
