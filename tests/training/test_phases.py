"""What a phase's description means: stages, learning rates, optimisers by hand, class weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam.config import Phase
from jaxcam.errors import UserError
from jaxcam.networks import Head, NetworkSpec
from jaxcam.training import phases

SPEC = NetworkSpec(name="vgg16", width=1 / 16, classes=3, head=Head(kind="cam"), base_end="block5_conv3")
CHAIN, BASE = SPEC.chain(), SPEC.base_names()


@pytest.mark.parametrize(
    ("trainable", "first", "frozen"),
    [
        ("head", "conv_last", "block5_conv3"),
        ("block5_conv1", "block5_conv1", "block4_pool"),
        ("block4_pool", "block4_pool", "block4_conv3"),
        ("all", "block1_conv1", None),
        ("block1_conv1", "block1_conv1", None),
    ],
)
def test_trainable_stages_and_the_last_frozen_one(trainable, first, frozen):
    stages = phases.trainable_stages(Phase(trainable=trainable), CHAIN, BASE)
    assert stages == CHAIN.names[CHAIN.index(first) :]
    assert stages[-2:] == ("conv_last", "gap")
    assert phases.last_frozen(stages, CHAIN) == frozen


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("block5_*", ("block5_conv1", "block5_conv2", "block5_conv3")),
        ("block5_conv?, conv_last", ("block5_conv1", "block5_conv2", "block5_conv3", "conv_last")),
        ("head,block1_conv1", ("block1_conv1", "conv_last", "gap")),
        ("block1_conv1,", None),
        ("block6_*", None),
        ("conv_last,block9", None),
    ],
)
def test_patterns_stand_for_exactly_their_stages(trainable, expected):
    if expected is None:
        with pytest.raises(UserError, match=r"no stage is called '.*'; this network has: block1_conv1, "):
            phases.trainable_stages(Phase(trainable=trainable), CHAIN, BASE)
    else:
        assert phases.trainable_stages(Phase(trainable=trainable), CHAIN, BASE) == expected


def test_features_behind_dropout_are_not_kept():
    chain = NetworkSpec(name="alexnet", width=1 / 32, classes=3, input_size=(67, 67)).chain()
    assert phases.last_frozen(("predictions",), chain) == "dense_1"
    assert phases.last_frozen(("norm1", "predictions"), chain) == "conv1"


def rates(phase, steps):
    schedule = phases.learning_rates(phase, steps)
    return [float(schedule(jnp.asarray(step, jnp.int32))) for step in range(phase.epochs * steps + 1)]


def test_learning_rates_are_constant_warmed_up_or_cosine():
    assert rates(Phase(epochs=2, learning_rate=0.5), 3) == [0.5] * 7
    warm = rates(Phase(epochs=2, learning_rate=0.6, warmup_epochs=1.0), 3)
    np.testing.assert_allclose(warm, [0, 0.2, 0.4, 0.6, 0.6, 0.6, 0.6], rtol=1e-6)
    cosine = rates(Phase(epochs=2, learning_rate=0.8, schedule="cosine"), 2)
    np.testing.assert_allclose(cosine, 0.4 * (1 + np.cos(np.pi * np.arange(5) / 4)), atol=1e-7)
    both = rates(Phase(epochs=3, learning_rate=0.8, schedule="cosine", warmup_epochs=1.0), 2)
    np.testing.assert_allclose(both, [0, 0.4, 0.8, *0.4 * (1 + np.cos(np.pi * np.arange(1, 5) / 4))], atol=1e-7)


def test_learning_rates_fall_in_a_line_by_a_factor_or_in_steps():
    at = np.arange(7)
    line = rates(Phase(epochs=3, learning_rate=0.6, schedule="linear"), 2)
    np.testing.assert_allclose(line, 0.6 * (1 - at / 6), atol=1e-7)
    falls = rates(Phase(epochs=3, learning_rate=0.6, schedule="exponential", decay_rate=0.5), 2)
    np.testing.assert_allclose(falls, 0.6 * 0.5 ** (at / 6), rtol=1e-5)
    each = rates(Phase(epochs=3, learning_rate=0.6, schedule="exponential", decay_rate=0.5, decay_epochs=1.0), 2)
    np.testing.assert_allclose(each, 0.6 * 0.5 ** (at / 2), rtol=1e-5)
    steps = rates(Phase(epochs=3, learning_rate=0.6, schedule="step"), 2)
    np.testing.assert_allclose(steps, 0.6 * 0.1 ** (at // 2), rtol=1e-5)
    warm = rates(Phase(epochs=3, learning_rate=0.6, schedule="step", decay_epochs=0.5, warmup_epochs=1.0), 2)
    np.testing.assert_allclose(warm, [0, 0.3, 0.6, 0.06, 0.006, 0.0006, 0.00006], rtol=1e-5, atol=1e-9)


def test_a_warm_up_that_is_rounded_to_the_whole_phase_still_ends_inside():
    assert max(rates(Phase(epochs=1, learning_rate=0.8, schedule="cosine", warmup_epochs=0.9), 3)) > 0.79


def descend(phase, gradients, start=(1.0, -2.0)):
    """Parameters after each of the gradients, for a kernel (1, 2) and a bias (2,) that get the same."""
    optimiser = phases.optimiser(phase, len(gradients))
    params = {"dense": {"kernel": jnp.array([start]), "bias": jnp.array(start)}}
    state, out = optimiser.init(params), []
    for gradient in gradients:
        g = jnp.array(gradient)
        updates, state = optimiser.update({"dense": {"kernel": g[None], "bias": g}}, state, params)
        params = jax.tree.map(jnp.add, params, updates)
        out.append(params["dense"])
    return out


GRADIENTS = [(0.3, -4.0), (0.1, 2.0), (-0.2, 1.0)]


def test_adam_rmsprop_and_sgd_are_keras_own():
    rate, at = 0.1, np.array([1.0, -2.0])
    m = v = s = momentum = np.zeros(2)
    adam, rms, sgd = at, at, at
    expected = {"adam": [], "rmsprop": [], "sgd": []}
    for t, gradient in enumerate(map(np.array, GRADIENTS), start=1):
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        adam = adam - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)
        s = 0.9 * s + 0.1 * gradient**2
        rms = rms - rate * gradient / np.sqrt(s + 1e-7)
        momentum = 0.9 * momentum - rate * gradient
        sgd = sgd + momentum
        for name, value in (("adam", adam), ("rmsprop", rms), ("sgd", sgd)):
            expected[name].append(value)
    for name, values in expected.items():
        found = descend(Phase(optimiser=name, learning_rate=rate), GRADIENTS)
        np.testing.assert_allclose([p["bias"] for p in found], values, rtol=1e-5)
        np.testing.assert_array_equal([p["bias"] for p in found], [p["kernel"][0] for p in found])


def test_decay_pulls_kernels_and_leaves_biases():
    plain = descend(Phase(optimiser="sgd", learning_rate=0.1), GRADIENTS[:1])[0]
    decayed = descend(Phase(optimiser="sgd", learning_rate=0.1, weight_decay=0.5), GRADIENTS[:1])[0]
    np.testing.assert_array_equal(plain["bias"], decayed["bias"])
    np.testing.assert_allclose(decayed["kernel"], plain["kernel"] - 0.1 * 0.5 * np.array([[1.0, -2.0]]), rtol=1e-6)


def test_decay_reaches_into_blocks():
    params = {"block": {"1": {"conv": {"kernel": jnp.ones((1, 1))}, "norm": {"gamma": jnp.ones(1)}}}}
    assert phases.is_kernel(params) == {"block": {"1": {"conv": {"kernel": True}, "norm": {"gamma": False}}}}


def test_clipping_bounds_the_norm_of_the_whole_gradient():
    clipped = descend(Phase(optimiser="sgd", learning_rate=1.0, clip_norm=0.5), [(3.0, 4.0)])[0]
    moves = np.concatenate([np.ravel(clipped["kernel"]), clipped["bias"]]) - np.array([1, -2, 1, -2])
    np.testing.assert_allclose(np.linalg.norm(moves), 0.5, rtol=1e-5)
    loose = descend(Phase(optimiser="sgd", learning_rate=1.0, clip_norm=9.0), [(3.0, 4.0)])[0]
    np.testing.assert_allclose(loose["bias"], [-2, -6], rtol=1e-6)


def test_class_weights():
    names, labels = ("ant", "bee", "cat"), np.array([0, 0, 0, 1, 1, 2, -1], np.int32)
    np.testing.assert_array_equal(phases.class_weights(Phase(), names, labels), [1, 1, 1])
    balanced = phases.class_weights(Phase(class_weights="balanced"), names, labels)
    np.testing.assert_allclose(balanced, [6 / (3 * 3), 6 / (3 * 2), 6 / 3], rtol=1e-6)
    given = phases.class_weights(Phase(class_weights=(("cat", 2.5), ("ant", 0.0))), names, labels)
    np.testing.assert_allclose(given, [0, 1, 2.5])
    with pytest.raises(UserError, match=r"unknown classes \['dog'\]; the classes are ant, bee, cat"):
        phases.class_weights(Phase(class_weights=(("dog", 2.0),)), names, labels)
