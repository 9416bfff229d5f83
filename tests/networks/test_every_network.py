"""Everything else works on every network from its chain alone: maps, occlusion, features, training, export.

The chains are short and narrow: every kind of stage once, in the network's order. What the whole networks compute is
compared elsewhere (`test_keras_parity.py`, `test_golden_networks.py`).
"""

from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxcam.attribution import incremental
from jaxcam.classifier import Classifier
from jaxcam.config import Phase
from jaxcam.exporting.program import checked, exported_program
from jaxcam.features.activations import activations_of
from jaxcam.maps.memory import Explanation, explain_images
from jaxcam.maps.options import METHODS
from jaxcam.maps.program import NON_FINITE
from jaxcam.networks import ARCHITECTURES, Chain, Head, NetworkSpec
from jaxcam.networks.catalog import Architecture
from jaxcam.networks.chain import split_params, split_statistics
from jaxcam.preprocessing import Preprocessing
from jaxcam.training import phases
from jaxcam.training.forward import Forward
from jaxcam.training.step import Sums, TrainState, make_train_step

pytestmark = pytest.mark.usefixtures("quick_compilation")
NAMES = ("ant", "bee", "cat")
SHORT = {
    "vgg19": ("block1_conv1", "block1_pool", "block2_conv1", "block5_conv4"),
    "resnet50": ("conv1_relu", "pool1_pool", "conv2_block1_out", "conv2_block2_out"),
    "resnet50_torchvision": ("conv1_relu", "conv2_block1_out", "conv3_block1_out"),
    "mobilenet": ("conv1_relu", "conv_dw_1_relu", "conv_pw_1_relu", "conv_dw_2_relu"),
    "inception_v3": ("conv2d", "mixed3", "mixed9"),
    "inception_v3_torchvision": ("conv2d", "max_pooling2d", "mixed0"),
    "xception": ("block1_conv1_act", "block2", "block4", "block5"),
}
SIZE, WINDOW = (45, 52), (15, 13)
LAYER = METHODS[: METHODS.index("guided_grad_cam") + 1]
GRADIENT = METHODS[len(LAYER) : METHODS.index("relevance")]
OTHERS = {"vgg19": "rise", "mobilenet": "lime", "inception_v3_torchvision": "kernel_shap"}


def methods(name: str) -> tuple[str, ...]:
    """Some of every family, so that all networks together have all of them."""
    number, count = list(SHORT).index(name), len(SHORT)
    chosen = (*LAYER[number::count], *GRADIENT[number::count], ("deep_lift", "relevance")[number % 2])
    return (*chosen, "occlusion", *((OTHERS[name],) if name in OTHERS else ()))


def test_all_methods_are_tried():
    assert {method for name in SHORT for method in methods(name)} == set(METHODS)


def short(name: str, **options) -> tuple:
    return tuple(stage for stage in ARCHITECTURES[name].base(**options) if stage[0] in SHORT[name])


def drawn(path, leaf, generator) -> jax.Array:
    """Values under which activations keep their size, batch norm's statistics included."""
    kind = path[-1].key
    if kind in ("gamma", "moving_variance"):
        return jnp.asarray(generator.uniform(0.5, 1.5, leaf.shape), jnp.float32)
    scale = 0.1 if len(leaf.shape) == 1 else np.sqrt(2 / np.prod(leaf.shape[:-1]))
    return jnp.asarray(generator.normal(0, scale, leaf.shape), jnp.float32)


@pytest.fixture(scope="module", params=list(SHORT))
def classifier(request):
    """A short network of that name, as the catalogue gives the whole one."""
    name, own = request.param, ARCHITECTURES[request.param]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ARCHITECTURES, f"short_{name}", Architecture(partial(short, name), own.top))
        spec = NetworkSpec(name=f"short_{name}", width=1 / 16, classes=3, input_size=SIZE, head=Head(kind="dense"))
        draw = partial(drawn, generator=np.random.default_rng(0))
        params = jax.tree_util.tree_map_with_path(draw, spec.chain().abstract(spec.shape))
        yield Classifier(spec, params, Preprocessing.named("tf", size=SIZE), NAMES)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(1).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def explained(classifier, pixels) -> Explanation:
    """Maps of every family, from one program."""
    return explain_images(
        classifier,
        pixels,
        methods=methods(classifier.network.name.removeprefix("short_")),
        targets="bee",
        window=WINDOW,
        stride=WINDOW,
        fill="grey",
        noise_samples=2,
        steps=2,
        references=2,
        rise_masks=4,
        lime_samples=20,
        segments=4,
    )


def test_maps_of_every_family(explained):
    for name, maps in explained.items():
        assert (maps.shape[0], maps.ndim) == (2, 3), name
        assert np.isfinite(maps).all(), name
        assert not (explained.flags[name] & NON_FINITE).any(), name
        assert maps.any() or name in ("guided_grad_cam", "finer_cam"), f"{name} is empty"
    if "deep_lift" in explained:
        scale = max(1.0, float(np.abs(explained.logits).max()))
        np.testing.assert_allclose(explained.numbers["deep_lift_error"], 0, atol=2e-5 * scale)


def test_occlusion_equals_brute_force_and_features_its_activations(classifier, pixels, explained):
    rows, columns = explained["occlusion"].shape[1:]
    hidden = [pixels]
    for row in range(rows):
        for column in range(columns):
            y, x = (
                min(place * side, whole - side) for place, side, whole in zip((row, column), WINDOW, SIZE, strict=True)
            )
            hidden.append(pixels.copy())
            hidden[-1][:, y : y + WINDOW[0], x : x + WINDOW[1]] = 127
    stages = (*SHORT[classifier.network.name.removeprefix("short_")], "predictions")
    found = activations_of(classifier, np.concatenate(hidden), stages)
    shapes = classifier.chain.shapes((2 * len(hidden), *SIZE, 3))
    assert {name: values.shape for name, values in found.items()} == {name: shapes[name] for name in stages}
    logits = found["predictions"].reshape(len(hidden), 2, 3)
    np.testing.assert_allclose(explained.logits, logits[0], rtol=1e-4, atol=1e-5)
    drops = (logits[:1] - logits[1:])[..., 1].T.reshape(2, rows, columns)
    assert np.abs(drops).max() > 1e-3
    np.testing.assert_allclose(explained["occlusion"], drops, atol=2e-5 * np.abs(logits).max())


def test_a_step_moves_the_last_stage_and_the_head_alone(classifier, pixels):
    chain, last = classifier.chain, classifier.network.base_names()[-1]
    names = phases.trainable_stages(Phase(trainable=last), chain, classifier.network.base_names())
    assert names == (last, "gap", "predictions")
    start = phases.last_frozen(names, chain)
    moving, frozen = split_params(classifier.params, names)
    learned, statistics = split_statistics(moving)
    optimiser = phases.optimiser(Phase(optimiser="sgd", learning_rate=0.1), 1)
    forward = Forward(classifier, start, names)
    step = make_train_step(forward.training, optimiser, seed_key=jax.random.key(0))
    features = activations_of(classifier, pixels, (start,))[start]
    state = TrainState(learned, statistics, optimiser.init(learned), jnp.zeros((), jnp.int32))
    before = {name: np.asarray(value) for name, value in flatten_dict(moving, sep="/").items()}
    arguments = (features, np.array([0, 2], np.int32), np.ones(2, bool), jnp.ones(3))
    after, sums, loss = step(jax.tree.map(jnp.array, state), Sums.zero(3), frozen, *arguments)
    assert np.isfinite(loss)
    assert sums.numbers()["gradient_norm"] > 0
    after = {name: np.asarray(value) for name, value in flatten_dict(after.params, sep="/").items()}
    assert after.keys() == before.keys()
    still = [name for name, value in after.items() if np.array_equal(value, before[name])]
    # Batch norm takes away whatever a bias before it adds.
    assert all(name.endswith("conv/bias") for name in still), f"these did not move: {still}"


def test_one_exported_program_for_any_number_of_images(classifier, pixels):
    request = checked(classifier, ("cam",), "predicted", None, {})
    exported = jax.export.deserialize(exported_program(classifier, request, ("cpu",)).serialize())
    flat = flatten_dict(classifier.params, sep="/")
    out = exported.call(flat, np.concatenate([pixels, pixels[:1]]))
    probabilities = classifier.predict(pixels).probabilities
    np.testing.assert_allclose(out["probabilities"][:2], probabilities, atol=1e-6)
    assert out["cam"].shape[0] == 3
    np.testing.assert_array_equal(out["cam"][0], out["cam"][2])


def test_occlusion_where_the_last_map_is_one_position():
    """There a constant with one row for all images has the shape of a map."""
    base = dict(ARCHITECTURES["mobilenet"].base(width=1 / 16))
    chain = Chain((("conv1_relu", base["conv1_relu"]), ("conv_dw_1_relu", base["conv_dw_1_relu"])))
    params = chain.init(jax.random.key(0), (1, 2, 2, 3))
    images = jax.random.normal(jax.random.key(1), (3, 2, 2, 3))
    offsets = np.array([[0, 0], [1, 1]])
    fn = lambda x: chain.apply(params, x).mean((1, 2))
    found = incremental(fn)(images, window=(1, 1), offsets=offsets)
    expected = [fn(images.at[:, y, x].set(0.0)) for y, x in offsets]
    np.testing.assert_allclose(found, np.stack(expected, 1), rtol=1e-5, atol=1e-6)
