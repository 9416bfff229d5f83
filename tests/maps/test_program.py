"""The program behind the maps: batches, targets, stages, flags."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam.classifier import Classifier
from jaxcam.errors import UserError
from jaxcam.maps import program
from jaxcam.maps.memory import explain_images
from jaxcam.maps.program import compiled_program, flags_of, map_shapes
from jaxcam.maps.request import Request
from jaxcam.networks import Head, NetworkSpec, portions
from jaxcam.preprocessing import Preprocessing

NAMES = ("ant", "bee", "cat")
HALF = {"rtol": 2e-3, "atol": 2e-6}  # maps leave as float16


def make(head):
    spec = NetworkSpec(name="convnet", width=1 / 8, classes=3, head=head, base_end="conv4", input_size=(48, 64))
    params = jax.jit(spec.chain().init, static_argnums=1, compiler_options={"xla_backend_optimization_level": 1})(
        jax.random.key(3), spec.shape
    )
    return Classifier(spec, params, Preprocessing.named("tf", size=(48, 64)), NAMES)


@pytest.fixture(scope="module")
def classifier():
    """Global average pooling with a dense layer behind it: CAM is defined and needs that layer's weights."""
    return make(Head(kind="dense", pool="average"))


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (7, 48, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def every(classifier, pixels):
    """Both methods for all classes."""
    return explain_images(classifier, pixels, methods=("cam", "grad_cam"), targets="all", stage=None)


def cam_of(classifier, pixels, **options):
    return explain_images(classifier, pixels, **{"methods": ("grad_cam",), "stage": None} | options)["grad_cam"]


def test_a_batch_equals_single_images(classifier, pixels, every):
    assert every["cam"].shape == every["grad_cam"].shape == (7, 3, 2, 4)
    for row in range(2):
        single = explain_images(
            classifier, pixels[row : row + 1], methods=("cam", "grad_cam"), targets="all", stage=None
        )
        for method, maps in single.items():
            np.testing.assert_allclose(maps[0], every[method][row], **HALF)


def test_a_last_batch_of_one_is_padded_and_cut_again(classifier, pixels, every):
    parts = explain_images(classifier, pixels, methods=("cam", "grad_cam"), targets="all", stage=None, batch_size=3)
    for method, maps in parts.items():
        assert maps.shape == every[method].shape
        np.testing.assert_allclose(maps, every[method], **HALF)


def test_targets_choose_the_class_of_each_map(classifier, pixels, every):
    logits = np.asarray(classifier.logits(pixels))
    rows, mixed = np.arange(7), np.array([2, 0, 1, 1, 0, 2, 2])
    peaks = every["grad_cam"].max((0, 2, 3))
    best = int(peaks.argmax())
    assert peaks[best] > 0.01
    for targets, classes in (("predicted", logits.argmax(1)), (NAMES[best], np.full(7, best)), (mixed, mixed)):
        np.testing.assert_allclose(
            cam_of(classifier, pixels, targets=targets), every["grad_cam"][rows, classes], **HALF
        )
    for row in range(2):  # n images with n targets are n calls
        one = cam_of(classifier, pixels[row : row + 1], targets=mixed[row : row + 1])
        np.testing.assert_allclose(one[0], every["grad_cam"][row, mixed[row]], **HALF)


def test_true_targets_are_the_labels_and_unknown_ones_the_prediction(classifier, pixels):
    request = Request(targets="true").checked(classifier)
    labels = jnp.array([2, -1, 0, 1, -1, 2, 0], jnp.int32)
    out = compiled_program(classifier, request)(classifier.params, jnp.asarray(pixels), labels)
    expected = np.where(labels >= 0, labels, np.asarray(out["logits"]).argmax(1))
    np.testing.assert_array_equal(out["targets"][:, 0], expected)
    np.testing.assert_allclose(out["scores"][:, 0], np.asarray(out["logits"])[np.arange(7), expected])


def test_what_the_program_gives(classifier, pixels):
    request = Request(methods=("cam", "grad_cam"), targets="all").checked(classifier)
    out = compiled_program(classifier, request)(classifier.params, jnp.asarray(pixels), jnp.zeros(7, jnp.int32))
    assert {name: (array.dtype.name, array.shape) for name, array in out.items()} == {
        "cam": ("float16", (7, 3, 2, 4)),
        "grad_cam": ("float16", (7, 3, 2, 4)),
        "logits": ("float32", (7, 3)),
        "targets": ("int32", (7, 3)),
        "scores": ("float32", (7, 3)),
        "flags": ("uint8", (7, 2, 3)),
    }
    np.testing.assert_allclose(out["logits"], classifier.logits(pixels), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(out["scores"], out["logits"])
    assert map_shapes(classifier, request) == {"cam": (3, 2, 4), "grad_cam": (3, 2, 4)}
    assert map_shapes(classifier, Request().checked(classifier)) == {"grad_cam": (2, 4)}


def test_cam_is_the_weighted_maps_and_signed(classifier, pixels, every):
    maps = np.asarray(classifier.apply(classifier.params, jnp.asarray(pixels), stop="conv4"))
    expected = np.einsum("nhwc,ck->nkhw", maps, classifier.params["predictions"]["kernel"])
    np.testing.assert_allclose(every["cam"], expected, **HALF)
    assert every["cam"].min() < 0 <= every["grad_cam"].min()
    np.testing.assert_allclose(every["grad_cam"], np.maximum(expected, 0) / (2 * 4), **HALF)


def test_cam_of_a_head_whose_maps_are_the_classes(pixels):
    own = make(Head(kind="cam"))
    found = explain_images(own, pixels, methods=("cam",), targets="all", stage=None)["cam"]
    maps = np.asarray(own.apply(own.params, jnp.asarray(pixels), stop="conv_last"))
    np.testing.assert_allclose(found, maps.transpose(0, 3, 1, 2), **HALF)


def test_any_spatial_stage_can_be_explained(classifier, pixels):
    for stage, size in (("conv2", (21, 29)), ("pool3", (4, 6))):
        maps = cam_of(classifier, pixels, targets="cat", stage=stage)
        assert maps.shape == (7, *size)

        def score(values, stage=stage):
            return classifier.chain.apply(classifier.params, values, start=stage)[:, 2].sum()

        activations = classifier.apply(classifier.params, jnp.asarray(pixels), stop=stage)
        weights = jax.grad(score)(activations).mean((1, 2))
        expected = np.maximum(np.einsum("nhwc,nc->nhw", activations, weights), 0)
        np.testing.assert_allclose(maps, expected, rtol=5e-3, atol=1e-5)


def test_the_default_stage_is_the_last_convolution_below_the_head(classifier):
    assert Request().checked(classifier).stage == "conv4"
    assert Request(stage="pool3").checked(classifier).stage == "pool3"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(stage="conv9"), "unknown stage 'conv9'; this network has: conv1, "),
        (Request(stage="gap"), "stage 'gap' has no positions; maps can be made at: conv1, pool1, .*conv4"),
        (Request(targets="dog"), "unknown target 'dog'; there are: predicted, true, all, ant, bee, cat"),
        (Request(methods=("cam", "limes")), "methods cam, limes: give each once, of cam, grad_cam"),
        (Request(methods=()), "methods none"),
        (Request(methods=("cam", "cam")), "give each once"),
    ],
)
def test_requests_that_cannot_be_are_told(classifier, request_, message):
    with pytest.raises(UserError, match=message):
        request_.checked(classifier)


def test_cam_without_pooling_is_told(pixels):
    flat = make(Head(kind="dense", pool="flatten"))
    with pytest.raises(UserError, match="cam needs a head that ends in global average pooling"):
        explain_images(flat, pixels, methods=("cam",), targets="all", stage=None)


@pytest.mark.parametrize("targets", [np.array([0, 1, 2, 3, 0, 0, 0]), np.full(7, -1)])
def test_targets_that_are_no_classes_are_told(classifier, pixels, targets):
    with pytest.raises(UserError, match=r"targets must be 7 class numbers in 0\.\.2"):
        cam_of(classifier, pixels, targets=targets)


def test_a_wrong_number_of_targets_is_refused(classifier, pixels):
    with pytest.raises((UserError, TypeError), match="targets"):  # the runtime type check comes first where it is on
        cam_of(classifier, pixels, targets=np.array([0, 1]))


def test_true_targets_need_labels(classifier, pixels):
    with pytest.raises(UserError, match="needs labels"):
        cam_of(classifier, pixels, targets="true")


def test_the_program_is_compiled_once_for_all_parameters(classifier, pixels):
    request = Request(methods=("grad_cam",), targets="bee").checked(classifier)
    other = replace(classifier, params=jax.tree.map(lambda x: 2 * x, classifier.params))
    assert compiled_program(classifier, request) is compiled_program(other, request)
    assert compiled_program(classifier, request) is not compiled_program(classifier, replace(request, targets="cat"))
    options = {"methods": ("cam",), "targets": "bee", "stage": None}
    ours, theirs = (explain_images(net, pixels, **options)["cam"] for net in (classifier, other))
    assert np.abs(ours).max() < 0.5 * np.abs(theirs).max()


def test_flags_of_single_maps():
    maps = {
        "fine": ([[1.0, -2.0]], 0.5, 0),
        "all negative": ([[-1.0, -2.0]], 0.5, program.ALL_NEGATIVE),
        "not above zero": ([[0.0, -2.0]], 0.5, program.ALL_NEGATIVE),
        "zero": ([[0.0, 0.0]], 0.5, program.ZERO),
        "nan": ([[np.nan, 1.0]], 0.5, program.NON_FINITE),
        "infinite": ([[-np.inf, -1.0]], 0.5, program.NON_FINITE),
        "saturated": ([[1.0, 2.0]], 1.0, program.SATURATED),
        "nearly saturated": ([[1.0, 2.0]], 1 - 1e-5, 0),
        "too large": ([[1.0, 7e4]], 0.5, program.OUT_OF_RANGE),
        "too small": ([[1e-5, 2e-6]], 0.5, program.OUT_OF_RANGE),
        "two": ([[-1.0, -7e4]], 1.0, program.ALL_NEGATIVE | program.SATURATED | program.OUT_OF_RANGE),
    }
    raw = jnp.array([values for values, _, _ in maps.values()])[:, None]
    shares = jnp.array([share for _, share, _ in maps.values()])[:, None]
    found = dict(zip(maps, flags_of(raw, shares)[:, 0].tolist(), strict=True))
    assert found == {name: flag for name, (_, _, flag) in maps.items()}


def test_flags_tell_what_the_weights_do(classifier, pixels):
    """Doctored parameters through the whole program."""
    request = Request(methods=("cam", "grad_cam"), targets="ant").checked(classifier)
    run, none = compiled_program(classifier, request), jnp.full((7,), -1, jnp.int32)
    kernel, bias = classifier.params["predictions"]["kernel"], jnp.zeros(3)
    for scale, shift, flag in (
        (0.0, 0.0, program.ZERO),
        (np.nan, 0.0, program.NON_FINITE),
        (1e7, 0.0, program.OUT_OF_RANGE),
        (1.0, 50.0, program.SATURATED),
    ):
        changed = {"kernel": kernel * jnp.float32(scale), "bias": bias.at[0].set(shift)}
        out = run({**classifier.params, "predictions": changed}, jnp.asarray(pixels), none)
        assert (np.asarray(out["flags"])[:, :, 0] & flag == flag).all(), flag
    negative = {"kernel": -jnp.abs(kernel), "bias": bias}
    out = run({**classifier.params, "predictions": negative}, jnp.asarray(pixels), none)
    assert (np.asarray(out["flags"]) & program.ALL_NEGATIVE).all()
    assert float(jnp.abs(out["grad_cam"]).max()) == 0 > float(out["cam"].max() - 1e-9)


def test_the_forward_pass_is_taken_once_wherever_methods_cut_it(classifier, pixels, monkeypatch):
    monkeypatch.setattr(portions, "POSITIONS", 12 * 16)  # conv1 and conv2 of this network make large maps
    monkeypatch.setattr(portions, "BYTES", 1)
    images, labels = pixels[:4], np.zeros(4, np.int32)
    loops = {}
    for stage, methods in (("conv4", ("grad_cam",)), ("conv2", ("grad_cam",)), ("conv4", ("grad_cam", "saliency"))):
        request = Request(methods=methods, stage=stage).checked(classifier)
        lowered = jax.jit(program.explain_program(classifier, request)).lower(classifier.params, images, labels)
        loops[stage, len(methods)] = lowered.as_text().count("stablehlo.while")
    # Before XLA merges it: the logits and the maps each ask for it, in portions or in whole batches, but in one way.
    assert loops[("conv2", 1)] == loops[("conv4", 2)] == 0
    assert loops[("conv4", 1)] == 2
