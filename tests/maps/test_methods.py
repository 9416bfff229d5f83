"""Every method through the program of a batch: shapes, targets, what is stored, what is shared."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_program import make

from jaxcam import attribution
from jaxcam.errors import UserError
from jaxcam.maps.forecast import forecast, size_words
from jaxcam.maps.method_table import TABLE
from jaxcam.maps.methods import Facts
from jaxcam.maps.options import METHODS, MethodOptions, fill_colour
from jaxcam.maps.program import explain_program, extra_arrays, map_shapes, surroundings
from jaxcam.maps.request import Request
from jaxcam.networks import Head

OPTIONS = MethodOptions(
    window=(16, 24), stride=(16, 16), noise_samples=2, steps=3, references=2, rise_masks=6, lime_samples=32, segments=6
)
MEAN = np.array([100.0, 120.0, 140.0], np.float32)


@pytest.fixture(scope="module")
def classifier():
    return make(Head(kind="dense", pool="average"))


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)


def quick(classifier, request):
    """The program, compiled for tests: most of their time would go into making it fast."""
    return jax.jit(explain_program(classifier, request), compiler_options={"xla_backend_optimization_level": 0})


def run(classifier, pixels, request, labels=(0, -1, 2)):
    request = request.checked(classifier)
    around = surroundings(request, mean=MEAN, references=pixels[:2])
    out = quick(classifier, request)(classifier.params, jnp.asarray(pixels), jnp.asarray(labels, jnp.int32), around)
    return request, {name: np.asarray(value) for name, value in out.items()}


def test_the_table_has_every_method_once():
    assert tuple(TABLE) == METHODS
    for entry in TABLE.values():
        assert entry.about
        assert entry.forwards(Facts(2, (48, 64), 8, OPTIONS)) >= 0
        assert all(hasattr(OPTIONS, name) for name in entry.options)


@pytest.fixture(scope="module")
def everything(classifier, pixels):
    """All methods, two classes, two of the stages: one program."""
    return run(classifier, pixels, Request(methods=METHODS, targets="top2", options=OPTIONS))


def test_all_methods_run_in_one_program(classifier, everything):
    request, out = everything
    shapes = map_shapes(classifier, request)
    assert tuple(shapes) == METHODS
    for name, shape in shapes.items():
        entry = TABLE[name]
        assert out[name].shape == (3, *shape), name
        assert out[name].dtype == np.float16, name
        assert np.isfinite(out[name]).all(), name
        assert out[name].any(), name
        assert len(shape) == 2 + entry.per_class, name
        if entry.grid == "input":
            assert shape[-2:] == (48, 64), name
        if not entry.signed:
            assert out[name].min() >= 0, name
    assert shapes["occlusion"] == (2, 3, 4)  # the last column is moved in
    assert out["flags"].shape == (3, len(METHODS), 2)
    extra = extra_arrays(classifier, request, shapes)
    for name, (kind, shape) in extra.items():
        assert (out[name].dtype, out[name].shape) == (kind, (3, *shape)), name
    assert set(out) == {*METHODS, *extra, "logits", "targets", "scores", "flags"}


def test_what_is_stored_is_what_the_functions_say(classifier, pixels, everything):
    _, out = everything
    chain, params = classifier.chain, classifier.params
    inputs = classifier.preprocessing.normalise(jnp.asarray(pixels))
    fill = classifier.preprocessing.normalise(jnp.asarray(MEAN)[None, None, None])[0, 0, 0]
    targets = jnp.asarray(out["targets"])
    fn = jax.jit(lambda x: chain.apply(params, x))
    activations = chain.apply(params, inputs, stop="conv4")
    head = lambda values: chain.apply(params, values, start="conv4")
    want = {
        "layer_cam": attribution.layer_cam(head, activations, targets),
        "saliency": attribution.channel_max_abs(attribution.saliency(fn, inputs, targets)),
        "occlusion": attribution.occlusion(fn, inputs, targets, (16, 24), (16, 16), fill, engine="brute"),
    }
    for name, values in want.items():
        np.testing.assert_allclose(out[name], values, rtol=3e-3, atol=3e-5, err_msg=name)
    sums = out["integrated_gradients"].astype(np.float64).sum((2, 3))
    starts = np.asarray(fn(jnp.broadcast_to(fill, inputs.shape)))
    away = out["scores"] - np.take_along_axis(starts, out["targets"], 1)
    np.testing.assert_allclose(sums, away + out["integrated_gradients_error"], rtol=0.02, atol=0.02)
    np.testing.assert_allclose(out["deep_lift"].astype(np.float64).sum((2, 3)), away, rtol=0.02, atol=0.02)


def test_hidden_windows_are_told_for_the_whole_set(classifier, pixels, everything):
    _, out = everything
    hidden = pixels.astype(np.float32)
    hidden[:, 16:32, 16:40] = MEAN
    logits = np.asarray(
        classifier.chain.apply(classifier.params, classifier.preprocessing.normalise(jnp.asarray(hidden)))
    )
    np.testing.assert_array_equal(out["occlusion_predicted"][:, 1, 1], logits.argmax(1))
    shares = np.asarray(jax.nn.softmax(logits))
    np.testing.assert_allclose(out["occlusion_probability"][[0, 2], 1, 1], shares[[0, 2], [0, 2]], rtol=1e-4)
    np.testing.assert_allclose(out["occlusion_logit"][[0, 2], 1, 1], logits[[0, 2], [0, 2]], rtol=1e-4, atol=1e-5)
    assert np.isnan(out["occlusion_probability"][1]).all()  # no label
    drops = np.take_along_axis(out["logits"], out["targets"], 1) - np.take_along_axis(logits, out["targets"], 1)
    np.testing.assert_allclose(out["occlusion"][:, :, 1, 1], drops, rtol=5e-3, atol=1e-4)


CHEAP = ("cam", "grad_cam", "layer_cam", "saliency")


@pytest.mark.parametrize(
    ("targets", "score"), [("cat-ant", "logit"), ("predicted-second", "logit"), ("cat,ant-bee", "probability")]
)
def test_differences_and_probabilities(classifier, pixels, targets, score):
    request, out = run(classifier, pixels, Request(methods=CHEAP, targets=targets, score=score))
    logits = out["logits"].astype(np.float64)
    values = logits if score == "logit" else np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    rows = np.arange(3)
    order = np.argsort(-logits, axis=1)
    pairs = {
        "cat-ant": [(np.full(3, 2), np.full(3, 0))],
        "predicted-second": [(order[:, 0], order[:, 1])],
        "cat,ant-bee": [(np.full(3, 2), None), (np.zeros(3, int), np.full(3, 1))],
    }[targets]
    for position, (positive, negative) in enumerate(pairs):
        want = values[rows, positive] - (0 if negative is None else values[rows, negative])
        np.testing.assert_allclose(out["scores"][:, position], want, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(out["targets"][:, position], positive)
        np.testing.assert_array_equal(out["against"][:, position], -1 if negative is None else negative)
    if score == "logit":  # CAM is linear in the class
        _, every = run(classifier, pixels, Request(methods=("cam",), targets="all", dtype="float32"))
        want = every["cam"][rows, pairs[0][0]] - every["cam"][rows, pairs[0][1]]
        np.testing.assert_allclose(out["cam"], want, rtol=3e-3, atol=1e-4)
    assert request.plan(classifier.class_names).several == (len(pairs) > 1)


def test_several_stages_side_by_side_or_fused(classifier, pixels):
    stages = ("conv3", "conv4")
    request, out = run(classifier, pixels, Request(methods=("grad_cam", "cam"), stage=stages))
    assert list(map_shapes(classifier, request)) == ["grad_cam_conv3", "grad_cam_conv4", "cam"]
    assert request.described()["maps"]["grad_cam_conv3"] == {"method": "grad_cam", "signed": False, "stages": ["conv3"]}
    fused, both = run(classifier, pixels, Request(methods=("grad_cam",), stage=stages, fuse="max", dtype="float32"))
    assert map_shapes(classifier, fused) == {"grad_cam": out["grad_cam_conv3"].shape[1:]}
    parts = [jnp.asarray(out[f"grad_cam_{stage}"], jnp.float32) for stage in stages]
    np.testing.assert_allclose(both["grad_cam"], attribution.fuse(parts, how="max"), atol=3e-3)


def test_chance_depends_on_the_seed_only(classifier, pixels, everything):
    _, out = everything
    around = surroundings(Request(), mean=MEAN)
    images, labels = jnp.asarray(pixels[[2, 0]]), jnp.zeros(2, jnp.int32)
    for seed, method in ((0, "rise"), (0, "smooth_grad"), (1, "smooth_grad")):
        request = Request(methods=(method,), targets="top2", options=replace(OPTIONS, seed=seed)).checked(classifier)
        moved = quick(classifier, request)(classifier.params, images, labels, around)[method]
        same = np.allclose(moved, out[method][[2, 0]], rtol=5e-3, atol=2e-4)
        assert same == (seed == 0), method  # whatever images stand beside it


def flops(classifier, request):
    program = jax.jit(explain_program(classifier, request.checked(classifier)))
    images, labels = jax.ShapeDtypeStruct((4, 48, 64, 3), jnp.uint8), jax.ShapeDtypeStruct((4,), jnp.int32)
    return program.lower(classifier.params, images, labels).compile().cost_analysis()["flops"]


def test_the_methods_of_a_layer_share_one_forward(classifier):
    forward = jax.jit(lambda params, images: classifier.apply(params, images))
    images = jax.ShapeDtypeStruct((4, 48, 64, 3), jnp.uint8)
    alone = forward.lower(classifier.params, images).compile().cost_analysis()["flops"]
    methods = ("cam", "grad_cam", "grad_cam_pp", "hires_cam", "xgrad_cam", "layer_cam")
    assert flops(classifier, Request(methods=methods)) < 1.15 * alone
    assert flops(classifier, Request(methods=("grad_cam",), targets="all")) < 1.1 * alone


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": "cat-dog"}, "unknown target 'cat-dog'; there are: predicted, .* also second, top3, a-b"),
        ({"targets": "catt"}, "did you mean 'cat'"),
        ({"targets": "top4"}, "target 'top4': there are 3 classes"),
        ({"targets": "top0"}, "there are 3 classes"),
        ({"stage": ("conv4", "conv4")}, "give each once"),
        ({"fuse": "mean"}, "needs several stages"),
        ({"methods": ("finer_cam",), "targets": "cat-ant"}, "compares classes by itself"),
        ({"methods": ("finer_cam",), "score": "probability"}, "compares classes by itself"),
        ({"methods": ("occlusion",), "options": MethodOptions(window=(49, 10))}, "larger than the network's input"),
        ({"methods": ("lime",), "options": MethodOptions(lime_samples=3)}, "need at least 16"),
        ({"methods": ("kernel_shap",), "options": MethodOptions(lime_samples=100)}, "need at least"),
    ],
)
def test_what_cannot_be_asked_for(classifier, change, message):
    with pytest.raises(UserError, match=message):
        Request(**change).checked(classifier)


@pytest.mark.parametrize(
    "values",
    [{"steps": 0}, {"window": (0, 3)}, {"stride": (1, -1)}, {"noise": 0.0}, {"seed": -1}, {"fill": "pink"},
     {"fill": "1,2,256"}, {"fill": "1,2"}],
)  # fmt: skip
def test_settings_that_make_no_sense(values):
    with pytest.raises(UserError, match=r"must|unknown fill"):
        MethodOptions(**values)


def test_fills(classifier, pixels, everything):
    assert [fill_colour(fill) for fill in ("black", "grey", "white", "mean", "blur", "1,2,3")] == [
        (0, 0, 0), (127, 127, 127), (255, 255, 255), None, None, (1, 2, 3)
    ]  # fmt: skip
    named = surroundings(Request(options=MethodOptions(fill="1,2,3")), mean=MEAN)
    np.testing.assert_array_equal(named.colour, [1, 2, 3])
    np.testing.assert_array_equal(surroundings(Request(), mean=MEAN).colour, MEAN)
    request = Request(methods=("occlusion",), targets="top2", options=replace(OPTIONS, fill="blur"))
    blurred = run(classifier, pixels, request)[1]["occlusion"]
    assert np.abs(blurred.astype(float) - everything[1]["occlusion"]).max() > 1e-3


def test_the_forecast(classifier):
    request = Request(methods=("grad_cam", "saliency", "rise"), options=OPTIONS).checked(classifier)
    words = forecast(classifier, request, images=50, size=3 * 2**20).words()
    assert words == "forecast: 50 images, about 8.01 forwards each (rise 6, saliency 1), at most 3.0 MiB on disk"
    windows = Request(methods=("occlusion",), options=OPTIONS).checked(classifier)
    hidden = forecast(classifier, windows, images=5, size=9)
    assert 1 < hidden.per_image < 13  # twelve windows, less what they leave as it is
    assert [size_words(size) for size in (5, 2048, 2**31)] == ["5 bytes", "2.0 KiB", "2.0 GiB"]
