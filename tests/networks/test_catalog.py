"""The catalogue's networks: sizes that the papers and Keras state, heads, narrow versions, real weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import shared

from jaxcam import networks
from jaxcam.networks.heads import Head
from jaxcam.networks.normalised import window_pool
from jaxcam.weights.port import load
from jaxcam.weights.tables import NETWORKS

# Keras' table of applications and model.count_params() of each.
PARAMETERS = {
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "resnet50": 25_636_712,
    "mobilenet": 4_253_864,
    "inception_v3": 23_851_784,
    "xception": 22_910_480,
}
LAST_MAPS = {
    "vgg16": ("block5_conv3", (14, 14, 512)),
    "vgg19": ("block5_conv4", (14, 14, 512)),
    "resnet50": ("conv5_block3_out", (7, 7, 2048)),
    "mobilenet": ("conv_pw_13_relu", (7, 7, 1024)),
    "inception_v3": ("mixed10", (8, 8, 2048)),
    "xception": ("block14_sepconv2_act", (10, 10, 2048)),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_published_sizes(name):
    spec = networks.NetworkSpec(name=name)
    chain = spec.chain()
    params = chain.abstract(spec.shape)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == PARAMETERS[name]
    stage, shape = LAST_MAPS[name]
    assert chain.shapes(spec.shape)[stage] == (1, *shape)
    flat = {"/".join(str(key.key) for key in path) for path, _ in jax.tree_util.tree_flatten_with_path(params)[0]}
    assert flat == set(NETWORKS[name].targets), "the porting table and the network must name the same parameters"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["resnet50", "mobilenet", "inception_v3", "xception"])
def test_a_cam_head_stands_on_each_in_both_types(name, dtype):
    spec = networks.NetworkSpec(name=name, classes=3, head=Head(kind="cam"), input_size=(75, 91), dtype=dtype)
    chain = spec.chain()
    params, images = chain.abstract(spec.shape), jax.ShapeDtypeStruct((2, 75, 91, 3), jnp.float32)
    last = chain.names[-3]
    activations = jax.eval_shape(lambda p, x: chain.apply(p, x, stop=last), params, images)
    logits = jax.eval_shape(lambda p, a: chain.apply(p, a, start=last), params, activations)
    assert activations.dtype == jnp.dtype(dtype)
    assert (logits.shape, logits.dtype) == ((2, 3), jnp.float32)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))


@pytest.fixture(scope="module")
def narrow():
    """A narrow MobileNet with random parameters."""
    spec = networks.NetworkSpec(name="mobilenet", classes=3, width=1 / 16, input_size=(64, 64))
    chain, generator = spec.chain(), np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(generator.uniform(-1 if len(leaf.shape) > 1 else 0.5, 1, leaf.shape), leaf.dtype),
        chain.abstract(spec.shape),
    )
    return chain, params


def test_running_statistics_take_no_gradient(narrow):
    chain, params = narrow
    images = jax.random.normal(jax.random.key(1), (1, 64, 64, 3))
    norms = jax.jit(jax.grad(lambda p: chain.apply(p, images).sum()))(params)["conv_pw_3_relu"]["norm"]
    assert not np.asarray(norms["moving_mean"]).any()
    assert not np.asarray(norms["moving_variance"]).any()
    assert np.asarray(norms["gamma"]).any()


def test_mean_pool_counts_only_what_is_inside():
    x = jnp.arange(1.0, 10.0).reshape(1, 3, 3, 1)
    pooled = window_pool(x, "mean", 3, 1, "SAME")[0, :, :, 0]
    np.testing.assert_allclose(pooled[:2, :2], [[3.0, 3.5], [4.5, 5.0]], rtol=1e-6)


def test_real_mobilenet_weights():
    file = shared() / "weights" / "mobilenet_v1_1.0_224_upto_conv_pw_12.safetensors"
    spec = networks.NetworkSpec(name="mobilenet", head="none", base_end="conv_dw_13_relu", input_size=(96, 96))
    chain = spec.chain()
    params = load(file, chain.abstract(spec.shape), network="mobilenet")
    activations = np.asarray(chain.apply(params, jnp.zeros(spec.shape), stop="conv_pw_12_relu"))
    assert activations.shape == (1, 3, 3, 1024)
    assert 0 <= activations.min() < activations.max() <= 6
