"""Slices of a chain, names, randomness."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam import networks
from jaxcam.errors import UserError
from jaxcam.networks.chain import split_params


@pytest.fixture(scope="module")
def net():
    return networks.build("vgg16", width=1 / 32, classes=7, input_size=(64, 64), key=jax.random.key(4))


def test_every_slice_composes_to_the_whole(net):
    chain, params = net
    x = jax.random.normal(jax.random.key(0), (2, 64, 64, 3))
    whole = chain.apply(params, x)
    for name in chain.names[:-1]:
        middle = chain.apply(params, x, stop=name)
        assert middle.shape == chain.shapes((2, 64, 64, 3))[name]
        np.testing.assert_array_equal(whole, chain.apply(params, middle, start=name))


def test_positional_start_and_stop(net):
    chain, params = net
    x = jnp.ones((1, 64, 64, 3))
    pooled = chain.apply(params, x, None, "block1_pool")
    np.testing.assert_array_equal(
        chain.apply(params, pooled, "block1_pool", "block2_conv1"), chain.apply(params, x, stop="block2_conv1")
    )


def test_vgg16_has_keras_names_shapes_and_size():
    chain = networks.NetworkSpec(name="vgg16").chain()
    abstract = chain.abstract((1, 224, 224, 3))
    assert sum(leaf.size for leaf in jax.tree.leaves(abstract)) == 138_357_544  # Keras' summary()
    assert list(abstract)[:2] == ["block1_conv1", "block1_conv2"]
    assert abstract["fc1"]["kernel"].shape == (25088, 4096)
    assert chain.shapes((1, 224, 224, 3))["block5_pool"] == (1, 7, 7, 512)


def test_the_storys_size_gives_22_by_40():
    spec = networks.NetworkSpec(name="vgg16", base_end="block5_conv3", head="none", input_size=(360, 640))
    assert spec.chain().shapes((1, 360, 640, 3))["block5_conv3"] == (1, 22, 40, 512)


def test_mini_is_an_eighth_as_wide():
    chain = networks.NetworkSpec(name="vgg16_mini", head="none").chain()
    assert chain.abstract((1, 224, 224, 3))["block5_conv3"]["kernel"].shape == (3, 3, 64, 64)


def test_an_odd_row_and_column_are_dropped_by_the_pool():
    x = jnp.arange(2 * 5 * 7 * 3, dtype=jnp.float32).reshape(2, 5, 7, 3)
    ours = networks.layers.max_pool_2x2(x)
    theirs = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    np.testing.assert_array_equal(ours, theirs)


def test_pool_gradient_equals_reduce_window_without_ties():
    x = jax.random.normal(jax.random.key(0), (2, 6, 8, 3))
    theirs = lambda a: jax.lax.reduce_window(a, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    ours = jax.grad(lambda a: (networks.layers.max_pool_2x2(a) ** 2).sum())(x)
    np.testing.assert_allclose(ours, jax.grad(lambda a: (theirs(a) ** 2).sum())(x))


def test_bfloat16_compute_keeps_float32_parameters():
    chain, params = networks.build(
        "vgg16", width=1 / 32, head=networks.Head(), classes=3, input_size=(32, 32), dtype="bfloat16"
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert chain.apply(params, jnp.ones((1, 32, 32, 3)), stop="block5_conv3").dtype == jnp.bfloat16


def test_dropout_needs_training_and_depends_on_the_key():
    head = networks.Head(kind="dense", hidden=(16,), dropout=0.5)
    chain, params = networks.build("convnet", width=1 / 8, classes=3, head=head, input_size=(64, 64))
    x = jax.random.normal(jax.random.key(0), (2, 64, 64, 3))
    quiet = chain.apply(params, x)
    a, b = (chain.apply(params, x, train=True, key=jax.random.key(k)) for k in (1, 2))
    assert not np.allclose(a, quiet)
    assert not np.allclose(a, b)
    middle = chain.apply(params, x, stop="pool4")
    np.testing.assert_array_equal(a, chain.apply(params, middle, start="pool4", train=True, key=jax.random.key(1)))


def test_mistakes_are_told_in_one_line(net):
    chain, params = net
    x = jnp.ones((1, 64, 64, 3))
    with pytest.raises(UserError, match=r"unknown stage 'block6'; this network has: block1_conv1, .*predictions"):
        chain.apply(params, x, stop="block6")
    with pytest.raises(UserError, match="comes before"):
        chain.apply(params, x, start="fc1", stop="block1_conv1")
    with pytest.raises(UserError, match=r"unknown network 'vgg17'; there are: vgg16"):
        networks.build("vgg17")
    with pytest.raises(UserError, match="too small"):
        networks.NetworkSpec(name="vgg16", head="none", input_size=(16, 64)).chain()


def test_split_params(net):
    chain, params = net
    head, base = split_params(params, chain.trainable_from("fc1"))
    assert list(head) == ["fc1", "fc2", "predictions"]
    assert {**base, **head}.keys() == params.keys()
