"""The training step: what moves, what counts, what it costs."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcam import devices, networks
from jaxcam.config import Phase
from jaxcam.networks import Head, portions, split_params
from jaxcam.networks.convolution import one_operation
from jaxcam.training import phases
from jaxcam.training.step import Sums, TrainState, losses_of, make_eval_step, make_train_step

CLASSES = 3
HEAD = ("dense_1", "predictions")
KEY = jax.random.key(0)
SGD = optax.sgd(0.1, momentum=0.9)


@pytest.fixture(scope="module")
def net():
    head = Head(kind="dense", hidden=(6,), dropout=0.5)
    return networks.build("convnet", width=1 / 16, base_end="conv2", classes=CLASSES, head=head, input_size=(20, 24))


@pytest.fixture(scope="module")
def forward(net):
    chain, _ = net
    return lambda params, x, *, rows, key: chain.apply_training(params, x, trained=HEAD, rows=rows, key=key)


@pytest.fixture(scope="module")
def batch():
    generator = np.random.default_rng(0)
    images = generator.normal(size=(8, 20, 24, 3)).astype(np.float32)
    labels = np.array([0, 1, 2, 0, 1, 2, 1, 0], np.int32)
    return images, labels, np.arange(8) < 6


@pytest.fixture(scope="module")
def step(forward):
    return make_train_step(forward, SGD, seed_key=KEY)


def start(net, trainable, optimiser=SGD):
    """A fresh state, the sums, and the frozen parameters."""
    moving, frozen = split_params(net[1], trainable)
    moving = jax.tree.map(jnp.array, moving)
    return TrainState(moving, {}, optimiser.init(moving), jnp.zeros((), jnp.int32)), Sums.zero(CLASSES), frozen


ONES = jnp.ones(CLASSES)


def test_only_the_trainable_parameters_have_a_gradient_and_move(net, step, batch):
    state, sums, frozen = start(net, HEAD)
    before = jax.tree.map(np.array, frozen)
    moments = {path[-2].key for path, _ in jax.tree.leaves_with_path(state.opt_state)}
    assert moments == set(HEAD)
    for _ in range(2):
        state, sums, _ = step(state, sums, frozen, *batch, ONES)
    assert int(state.step) == 2
    jax.tree.map(np.testing.assert_array_equal, before, frozen)
    moved = jax.tree.map(
        lambda a, b: bool((np.asarray(a) != np.asarray(b)).any()), state.trainable, start(net, HEAD)[0][0]
    )
    assert all(jax.tree.leaves(moved))


@pytest.mark.parametrize("junk", [np.nan, np.inf, 1e30])
def test_what_stands_in_a_padded_row_changes_nothing(net, step, batch, junk):
    images, labels, mask = batch
    dirty, other = images.copy(), labels.copy()
    dirty[6:], other[6:] = junk, 0
    clean = step(*start(net, HEAD), images, labels, mask, ONES)
    filled = step(*start(net, HEAD), dirty, other, mask, ONES)
    jax.tree.map(np.testing.assert_array_equal, clean, filled)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(filled))
    assert filled[1].images == 6


def test_class_weights_are_keras_own(net, forward, batch):
    """One step of plain descent is the gradient of sum(weight * loss) / number of images."""
    images, labels, mask = batch
    weights = jnp.array([1.0, 3.0, 0.5])
    plain = make_train_step(forward, optax.sgd(1.0), seed_key=KEY)
    state, sums, frozen = start(net, HEAD, optax.sgd(1.0))
    old = jax.tree.map(np.array, state.trainable)
    new, sums, mean = plain(state, sums, frozen, images, labels, mask, weights)

    def keras(trainable):
        params, key = {**frozen, **trainable}, jax.random.fold_in(KEY, 0)
        logits = forward(params, jnp.asarray(images), rows=jnp.asarray(mask), key=key)[0][:6]
        shares = jax.nn.softmax(logits)[jnp.arange(6), labels[:6]]
        return -(weights[labels[:6]] * jnp.log(shares)).sum() / 6

    value, gradient = jax.value_and_grad(keras)(jax.tree.map(jnp.asarray, old))
    expected = jax.tree.map(lambda a, g: a - np.asarray(g), old, gradient)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), new.trainable, expected)
    np.testing.assert_allclose([float(sums.loss) / 6, float(mean)], value, rtol=1e-5)
    squares = [np.square(leaf).sum() for leaf in jax.tree.leaves(gradient)]
    np.testing.assert_allclose(sums.numbers()["gradient_norm"], np.sqrt(sum(squares)), rtol=1e-5)


def test_a_class_weight_counts_with_a_batch_of_one(net, step, batch):
    images, labels, _ = batch
    single = (images[:1], labels[:1], np.array([True]))
    moves = []
    for factor in (1.0, 5.0):
        state, sums, frozen = start(net, HEAD)
        old = np.array(state.trainable["predictions"]["bias"])
        new, *_ = step(state, sums, frozen, *single, factor * ONES)
        moves.append(np.asarray(new.trainable["predictions"]["bias"]) - old)
    np.testing.assert_allclose(moves[1], 5 * moves[0], rtol=1e-5)


def test_dropout_is_drawn_anew_in_every_step_and_from_the_step_alone(net, step, batch):
    losses = []
    for number in (0, 0, 1):
        state, sums, frozen = start(net, HEAD)
        _, sums, _ = step(state._replace(step=jnp.asarray(number, jnp.int32)), sums, frozen, *batch, ONES)
        losses.append(float(sums.loss))
    assert losses[0] == losses[1] != losses[2]


def test_two_devices_equal_one(net, step, batch):
    assert jax.device_count() == 2
    results = []
    for place, copy in ((jnp.asarray, jnp.asarray), (devices.shard, devices.replicate)):
        state, sums, frozen = jax.tree.map(copy, start(net, HEAD))
        for _ in range(3):
            inputs = jax.tree.map(place, batch)
            state, sums, _ = step(state, sums, frozen, *inputs, ONES)
        assert len(inputs[0].sharding.device_set) == len(state.step.sharding.device_set) == 1 + len(results)
        results.append((state, sums))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), *results)


def test_sums_are_over_the_masked_images_only(net, batch):
    from sklearn.metrics import balanced_accuracy_score

    images, labels, mask = batch
    chain, params = net
    evaluate = make_eval_step(chain.apply)
    sums = evaluate(params, Sums.zero(CLASSES), images, labels, mask)
    sums = evaluate(params, sums, images[:, ::-1], labels, np.arange(8) == 2)
    kept = np.asarray(chain.apply(params, jnp.concatenate([images[:6], images[2:3, ::-1]])))
    right = np.append(labels[:6], labels[2])
    losses = np.log(np.exp(kept).sum(1)) - kept[np.arange(7), right]
    numbers = sums.numbers()
    np.testing.assert_allclose(numbers["loss"], losses.mean(), rtol=1e-5)
    np.testing.assert_allclose(numbers["accuracy"], (kept.argmax(1) == right).mean(), rtol=1e-6)
    np.testing.assert_allclose(numbers["balanced_accuracy"], balanced_accuracy_score(right, kept.argmax(1)), rtol=1e-6)
    np.testing.assert_allclose(numbers["logit_spread"], np.ptp(kept, axis=0).max(), rtol=1e-5)
    assert "gradient_norm" not in numbers
    assert all(np.isnan(value) for value in Sums.zero(CLASSES).numbers().values())


def test_a_class_that_was_not_seen_does_not_enter_the_balanced_accuracy(net, batch):
    images, _, mask = batch
    chain, params = net
    biased = {**params, "predictions": {"kernel": jnp.zeros((6, 3)), "bias": jnp.array([1.0, 0.0, 0.0])}}
    sums = make_eval_step(chain.apply)(biased, Sums.zero(CLASSES), images, np.array([0, 0, 0, 2, 0, 0, 1, 1]), mask)
    numbers = sums.numbers()
    np.testing.assert_allclose([numbers["accuracy"], numbers["balanced_accuracy"]], [5 / 6, 1 / 2], rtol=1e-6)


def test_the_spread_of_equal_logits_is_exactly_zero(net, batch):
    images, labels, mask = batch
    chain, params = net
    dead = {**params, "predictions": {"kernel": jnp.zeros((6, 3)), "bias": jnp.array([0.1, -7.3, 1e3])}}
    assert make_eval_step(chain.apply)(dead, Sums.zero(CLASSES), images, labels, mask).numbers()["logit_spread"] == 0


@pytest.mark.peers
def test_label_smoothing_is_keras_own(batch):
    import keras

    logits = np.random.default_rng(1).normal(size=(8, 4)).astype(np.float32)
    labels, weights = np.array([0, 1, 2, 3, 0, 1, 2, 3], np.int32), np.array([1.0, 2.0, 0.5, 0.0], np.float32)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, reduction=None)
    theirs = np.asarray(loss(np.eye(4, dtype=np.float32)[labels], logits)) * weights[labels]
    ours = losses_of(jnp.asarray(logits), jnp.asarray(labels), jnp.asarray(weights), 0.1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("trainable", "low", "high"), [("conv_last", 1.0, 1.05), ("block5_conv1", 1.1, 1.2)])
def test_a_step_costs_little_more_than_what_it_trains(trainable, low, high, monkeypatch):
    """Although the step sums the gradient's norm."""
    monkeypatch.setattr(portions, "POSITIONS", 10**9)  # the analysis counts the body of a loop once
    spec = networks.NetworkSpec(name="vgg16", classes=2, head=Head(kind="cam"), base_end="block5_conv3")
    chain = spec.chain()
    params = chain.abstract((1, 224, 224, 3))
    moving, frozen = split_params(params, chain.trainable_from(trainable))
    optimiser = phases.optimiser(Phase(), 1)
    state = TrainState(moving, {}, jax.eval_shape(optimiser.init, moving), jax.ShapeDtypeStruct((), jnp.int32))
    sums = jax.eval_shape(lambda: Sums.zero(2))
    images = jax.ShapeDtypeStruct((4, 224, 224, 3), jnp.float32)
    labels, mask = jax.ShapeDtypeStruct((4,), jnp.int32), jax.ShapeDtypeStruct((4,), bool)
    forward = lambda params, x, *, rows, key: chain.apply_training(
        params, x, trained=chain.trainable_from(trainable), rows=rows, key=key
    )
    step = make_train_step(forward, optimiser, seed_key=KEY)

    def flops(function, *arguments):
        with one_operation():  # by definition: on CPUs fewer operations are done
            return function.lower(*arguments).compile().cost_analysis()["flops"]

    whole = flops(step, state, sums, frozen, images, labels, mask, jax.ShapeDtypeStruct((2,), jnp.float32))
    ratio = whole / flops(jax.jit(chain.apply), params, images)
    assert low < ratio <= high
