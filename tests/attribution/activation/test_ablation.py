"""Ablation-CAM against running the head once for every channel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_network import (
    CLASS_0,
    CUT,
    IMAGE,
    LAST,
    MAPS,
    WHOLE,
    WIDE,
    after_conv,
    after_relu,
    conv1,
    relu1,
)

from jaxcam import networks
from jaxcam.attribution import ablation_cam
from jaxcam.attribution.activation.ablation import channel_drops
from jaxcam.networks.convolution import one_operation
from jaxcam.networks.layers import max_pool_2x2

pytestmark = pytest.mark.usefixtures("quick_compilation")

TARGETS = jnp.array([[0, 3], [4, 4], [1, 2]])
HEADS = {**CUT, **WHOLE}
IN_ROUNDS = ("dense", "channels first", "convolution")


def brute_force(head, activations, targets):
    """Drops of the targets' scores (n, t, c), a run of the head for each channel."""
    score = lambda a: jnp.take_along_axis(head(a), targets, 1)
    channel = jnp.arange(activations.shape[-1])
    without = lambda c: score(jnp.where(channel == c, 0.0, activations))
    return jax.vmap(lambda c: score(activations) - without(c), out_axes=-1)(channel)


@pytest.fixture(scope="module")
def drops():
    """By head: exact drops, and those of one, of several and of many rounds."""
    run = lambda head, memory: channel_drops(head, MAPS, TARGETS, memory=memory)[0]

    @jax.jit
    def program():
        all_at_once = {name: run(head, 2**29) for name, head in HEADS.items()}
        exact = {name: brute_force(head, MAPS, TARGETS) for name, head in HEADS.items()}
        rounds = {name: [run(HEADS[name], m) for m in (1, 3000, 7000)] for name in IN_ROUNDS}
        return all_at_once, exact, rounds

    return program()


@pytest.mark.parametrize("name", HEADS)
def test_every_channel_is_exactly_left_out(name, drops):
    all_at_once, exact, _ = drops
    np.testing.assert_allclose(all_at_once[name], exact[name], atol=2e-6 * float(jnp.abs(exact[name]).max()))


@pytest.mark.parametrize("name", IN_ROUNDS)
def test_rounds_change_nothing(name, drops):
    all_at_once, _, rounds = drops
    for values in rounds[name]:
        np.testing.assert_allclose(values, all_at_once[name], atol=2e-6 * float(jnp.abs(values).max()))


def test_negative_activations_and_a_layer_that_does_not_keep_zero():
    maps = jax.random.normal(jax.random.key(9), MAPS.shape)
    heads = [HEADS[name] for name in ("one for zero", "dense", "maximum")]
    both = jax.jit(lambda: [(channel_drops(h, maps, TARGETS)[0], brute_force(h, maps, TARGETS)) for h in heads])()
    for ours, exact in both:
        np.testing.assert_allclose(ours, exact, atol=2e-5)


def test_case_43_weights():
    drops, scores = channel_drops(after_relu, relu1(IMAGE), CLASS_0)
    np.testing.assert_allclose(scores, [[54]])
    np.testing.assert_allclose(drops[0, 0] / scores[0, 0], [54 / 54, (54 - 75) / 54], rtol=1e-6)
    before, _ = channel_drops(after_conv, conv1(IMAGE), CLASS_0)
    np.testing.assert_allclose(before, drops)


def test_the_drop_itself_keeps_its_sign_where_the_score_is_negative():
    head = lambda x: x.mean((1, 2)) @ -jnp.ones((8, 5))
    relative, plain = (ablation_cam(head, MAPS, jnp.zeros(3, jnp.int32), relu=False, relative=r) for r in (True, False))
    assert (relative >= 0).all()
    assert (plain <= 0).all()


def test_a_score_of_zero_is_not_hidden():
    zero = ablation_cam(lambda x: 0.0 * x.mean((1, 2)), MAPS, jnp.zeros(3, jnp.int32), relu=False)
    assert np.isnan(zero).all()
    drops = ablation_cam(lambda x: 0.0 * x.mean((1, 2)), MAPS, jnp.zeros(3, jnp.int32), relative=False)
    np.testing.assert_array_equal(drops, np.zeros((3, 4, 6)))


def test_a_bfloat16_head_is_evaluated_in_float32():
    def head(activations, dtype):
        rows = max_pool_2x2(activations).reshape(3, -1).astype(dtype)
        return jax.nn.relu(rows @ WIDE.astype(dtype)) @ LAST.astype(dtype)

    drops, scores = channel_drops(lambda a: head(a, jnp.bfloat16), MAPS.astype(jnp.bfloat16), TARGETS)
    rounded = MAPS.astype(jnp.bfloat16).astype(jnp.float32)
    assert drops.dtype == scores.dtype == jnp.float32
    np.testing.assert_allclose(drops, brute_force(lambda a: head(a, jnp.float32), rounded, TARGETS), atol=5e-5)


def test_512_channels_of_vgg16_cost_less_than_two_forwards():
    """FLOPs of the program as it is handed to XLA; there is no loop in it, so all of them count."""
    chain = networks.NetworkSpec(name="vgg16").chain()
    params = chain.abstract((1, 224, 224, 3))
    images, targets = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32), jax.ShapeDtypeStruct((1,), jnp.int32)

    def head_and_map(params, activations, targets):
        head = lambda a: chain.apply(params, a, start="block5_conv3")
        return ablation_cam(head, activations, targets)

    activations = jax.ShapeDtypeStruct((1, 14, 14, 512), jnp.float32)
    lowered = jax.jit(head_and_map).lower(params, activations, targets)
    assert "while" not in lowered.as_text()
    with one_operation():  # by definition: on CPUs fewer operations are done
        forward = jax.jit(chain.apply).lower(params, images).cost_analysis()["flops"]
    assert lowered.cost_analysis()["flops"] < 0.75 * forward
