"""Batch norm in training: what Keras and torch do, in stages that move and in frozen ones, padded and split."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam import devices
from jaxcam.config import Phase
from jaxcam.networks import build
from jaxcam.networks.chain import Chain, merged, split_params, split_statistics
from jaxcam.networks.layers import Conv, Dense, GlobalAveragePool
from jaxcam.networks.normalised import BatchNorm, ConvNorm, moments
from jaxcam.training import phases
from jaxcam.training.step import Sums, TrainState, make_train_step

pytestmark = pytest.mark.usefixtures("quick_compilation")
CHAIN = Chain(
    (
        ("block", ConvNorm(4, padding="VALID", bias=True, epsilon=1e-3)),
        ("conv", Conv(5, padding="VALID")),
        ("norm", BatchNorm(epsilon=1e-5, momentum=0.9)),
        ("gap", GlobalAveragePool()),
        ("predictions", Dense(3)),
    )
)
PHASE = Phase(optimiser="sgd", learning_rate=0.1)
ONES = jnp.ones(3)
TRAINED = {"all": CHAIN.names, "above the block": CHAIN.names[1:], "the head": CHAIN.names[3:]}


@pytest.fixture(scope="module")
def params():
    """Fresh kernels, and statistics as if something had been learned before."""
    generator = np.random.default_rng(0)
    start = CHAIN.init(jax.random.key(0), (1, 8, 9, 3))
    learned, statistics = split_statistics(start)
    draw = lambda leaf: jnp.asarray(generator.uniform(0.5, 1.5, leaf.shape), jnp.float32)
    return merged(learned, jax.tree.map(draw, statistics))


@pytest.fixture(scope="module")
def batches():
    """Five batches of six images and two rows of padding, on a mean far from zero."""
    generator = np.random.default_rng(1)
    mask = np.arange(8) < 6
    images = [generator.normal(3.0, 2.0, (8, 8, 9, 3)).astype(np.float32) for _ in range(5)]
    return [(x, generator.integers(0, 3, 8).astype(np.int32), mask) for x in images]


def trained(params, batches, names, *, phase=PHASE, place=jnp.asarray, spread=lambda tree: tree):
    """Parameters after a step with each batch, the sums, and the state."""
    moving, frozen = split_params(params, names)
    learned, statistics = split_statistics(moving)
    optimiser = phases.optimiser(phase, 1)
    forward = lambda p, x, *, rows, key: CHAIN.apply_training(p, x, trained=names, rows=rows, key=key)
    step = make_train_step(forward, optimiser, seed_key=jax.random.key(0))
    state = TrainState(learned, statistics, optimiser.init(learned), jnp.zeros((), jnp.int32))
    state, sums, frozen = spread(jax.tree.map(jnp.array, (state, Sums.zero(3), frozen)))
    for batch in batches:
        state, sums, _ = step(state, sums, frozen, *jax.tree.map(place, batch), ONES)
    return {**frozen, **state.params}, sums, state


def close(ours, theirs, tolerance=1e-5):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    check = lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    jax.tree.map(check, ours, theirs)


def keras_model(params):
    import keras

    layers = [
        keras.layers.Conv2D(4, 3, name="conv0"),
        keras.layers.BatchNormalization(name="norm0"),
        keras.layers.ReLU(),
        keras.layers.Conv2D(5, 3, activation="relu", name="conv1"),
        keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name="norm1"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3, name="dense"),
    ]
    model = keras.Sequential([keras.Input((8, 9, 3)), *layers])
    for name, values in from_ours(params).items():
        model.get_layer(name).set_weights(values)
    return model


NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def from_ours(params):
    """Our parameters as Keras' lists."""
    kernel = lambda values: [np.asarray(values[name]) for name in ("kernel", "bias")]
    norm = lambda values: [np.asarray(values[name]) for name in NORM]
    block = params["block"]
    found = {"conv0": kernel(block["conv"]), "norm0": norm(block["norm"]), "conv1": kernel(params["conv"])}
    return found | {"norm1": norm(params["norm"]), "dense": kernel(params["predictions"])}


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("which", TRAINED)
def test_several_steps_are_keras_own(params, batches, which):
    """Keras gets the images without the padding; its frozen layers are `trainable = False`."""
    import keras

    ours, sums, _ = trained(params, batches, TRAINED[which])
    with jax.numpy_dtype_promotion("standard"):
        model = keras_model(params)
        frozen = {"all": (), "above the block": ("conv0", "norm0"), "the head": ("conv0", "norm0", "conv1", "norm1")}
        for name in frozen[which]:
            model.get_layer(name).trainable = False
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
        losses = [float(model.train_on_batch(x[:6], labels[:6])) for x, labels, _ in batches]
        theirs = {name: model.get_layer(name).get_weights() for name in from_ours(ours)}
    close(from_ours(ours), theirs)
    np.testing.assert_allclose(sums.numbers()["loss"], np.mean(losses), rtol=1e-4)
    moved = [name for name, new in from_ours(ours).items() if (new[-1] != from_ours(params)[name][-1]).any()]
    assert moved == [name for name in theirs if name not in frozen[which]]


@pytest.mark.peers
def test_output_and_gradient_are_torchs():
    import torch

    x = np.random.default_rng(2).normal(5.0, 3.0, (6, 4, 5, 3)).astype(np.float32)
    weights = np.random.default_rng(3).normal(size=x.shape).astype(np.float32)
    norm = BatchNorm(momentum=0.9)
    params = {"gamma": jnp.array([0.5, 1.0, 2.0]), "beta": jnp.array([0.0, 1.0, -1.0])}
    params |= {"moving_mean": jnp.zeros(3), "moving_variance": jnp.ones(3)}

    def ours(x):
        y, moved = norm.apply({"params": params}, x, rows=jnp.ones(6, bool), mutable=["statistics"])
        return (y * weights).sum(), (y, moved["statistics"])

    (_, (y, moved)), gradient = jax.value_and_grad(ours, has_aux=True)(jnp.asarray(x))
    theirs = torch.from_numpy(x.transpose(0, 3, 1, 2)).requires_grad_()
    mean, variance = torch.zeros(3), torch.ones(3)
    gamma, beta = (torch.from_numpy(np.array(params[name])) for name in ("gamma", "beta"))
    out = torch.nn.functional.batch_norm(theirs, mean, variance, gamma, beta, training=True, momentum=0.1, eps=1e-3)
    (out * torch.from_numpy(weights.transpose(0, 3, 1, 2))).sum().backward()
    np.testing.assert_allclose(y, out.detach().numpy().transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradient, theirs.grad.numpy().transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moved["moving_mean"], mean, rtol=1e-5, atol=1e-6)
    # torch's running variance is divided by n - 1, Keras' by n.
    count = 6 * 4 * 5
    expected = 0.9 + (variance.numpy() - 0.9) * (count - 1) / count
    np.testing.assert_allclose(moved["moving_variance"], expected, rtol=1e-5)


def test_what_stands_in_a_padded_row_changes_nothing(params, batches):
    dirty = [(np.where(mask[:, None, None, None], x, np.nan), labels, mask) for x, labels, mask in batches[:2]]
    clean = trained(params, batches[:2], CHAIN.names)
    jax.tree.map(np.testing.assert_array_equal, clean[:2], trained(params, dirty, CHAIN.names)[:2])
    without = [(x[:6], labels[:6], mask[:6]) for x, labels, mask in batches[:2]]
    close(clean[0], trained(params, without, CHAIN.names)[0])


def test_a_batch_without_images_moves_no_statistics(params, batches):
    x, labels, mask = batches[0]
    after, *_ = trained(params, [(x, labels, np.zeros_like(mask))], CHAIN.names)
    jax.tree.map(np.testing.assert_array_equal, after, dict(params))


def test_two_devices_have_the_statistics_of_the_whole_batch(params, batches):
    one = trained(params, batches, CHAIN.names)[:2]
    two = trained(params, batches, CHAIN.names, place=devices.shard, spread=devices.replicate)[:2]
    close(*jax.tree.map(np.asarray, (one, two)))


def test_the_optimiser_never_sees_the_statistics(params, batches):
    phase = Phase(optimiser="adam", learning_rate=0.1, weight_decay=0.5, clip_norm=1e-3)
    after, sums, state = trained(params, batches[:1], CHAIN.names, phase=phase)
    paths = {jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(state.opt_state)}
    assert not any("moving" in path for path in paths)
    plain, *_ = trained(params, batches[:1], CHAIN.names)
    close(split_statistics(after)[1], split_statistics(plain)[1])
    assert 0 < sums.numbers()["gradient_norm"] < 100


def test_bfloat16_has_its_sums_in_float32():
    x = np.random.default_rng(4).normal(100.0, 1.0, (64, 16, 16, 1)).astype(np.float32)
    half = jnp.asarray(x, jnp.bfloat16)
    norm = BatchNorm(dtype=jnp.bfloat16)
    params = norm.init(jax.random.key(0), half)
    y, moved = norm.apply(params, half, rows=jnp.ones(64, bool), mutable=["statistics"])
    assert y.dtype == jnp.bfloat16
    assert moved["statistics"]["moving_mean"].dtype == jnp.float32
    exact = np.asarray(half, np.float64)
    np.testing.assert_allclose(moved["statistics"]["moving_mean"], 0.01 * exact.mean(), rtol=1e-5)
    np.testing.assert_allclose(moved["statistics"]["moving_variance"], 0.99 + 0.01 * exact.var(), rtol=1e-5)
    np.testing.assert_allclose(float(y.astype(jnp.float32).std()), 1.0, atol=0.01)


def test_a_variance_that_the_mean_of_squares_would_lose():
    x = np.float32(4096.0) + np.random.default_rng(5).normal(size=(512, 1)).astype(np.float32)
    _, variance = moments(jnp.asarray(x), jnp.ones(512, bool))
    np.testing.assert_allclose(variance, x.astype(np.float64).var(0), rtol=1e-4)


def test_every_batch_norm_inside_a_block_moves_where_its_stage_is_trained():
    chain, params = build("resnet50", width=1 / 32, classes=2, input_size=(32, 32), base_end="conv2_block2_out")
    x = jax.random.normal(jax.random.key(1), (4, 32, 32, 3))
    names = ("conv2_block2_out", "predictions")
    run = jax.jit(lambda p, x: chain.apply_training(p, x, trained=names, rows=jnp.ones(4, bool)))
    _, statistics = run(params, x)
    assert list(statistics) == ["conv2_block2_out"]
    assert sorted(statistics["conv2_block2_out"]) == ["1", "2", "3"]
    moved = merged(params, statistics)
    assert jax.tree.structure(moved) == jax.tree.structure(params)
    _, before = split_statistics(params)
    same = jax.tree.map(lambda a, b: bool((a == b).all()), split_statistics(moved)[1], before)
    assert not any(jax.tree.leaves(same["conv2_block2_out"]))
    assert all(jax.tree.leaves({name: value for name, value in same.items() if name != "conv2_block2_out"}))
