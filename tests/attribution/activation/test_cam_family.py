"""The family's numbers, and what all its methods share: targets, transformations, odd inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_network import CLASS_0, DENSE, IMAGE, MAPS, after_relu, conv1, dense_top, relu1
from test_eigen import by_svd

from jaxcam import attribution, devices
from jaxcam.attribution.activation import pullback
from jaxcam.attribution.targets import difference, every_class, probability

pytestmark = pytest.mark.usefixtures("quick_compilation")

METHODS = (
    "grad_cam",
    "grad_cam_pp",
    "hires_cam",
    "xgrad_cam",
    "layer_cam",
    "eigen_grad_cam",
    "ablation_cam",
    "finer_cam",
)
SMALL = {
    "grad_cam": [[0, 4], [28, 32.5]],
    "grad_cam_pp": [[0, 16 / 77], [4 * 31 / 77 + 6 / 23, 160 / 77 + 15 / 23]],
    "xgrad_cam": [[0, 4], [25, 25]],
    "hires_cam": [[0, 4], [25, 25]],
    "layer_cam": [[0, 4], [31, 40]],
    "ablation_cam": [[0, 4], [31 - 6 * 21 / 54, 40 - 15 * 21 / 54]],
}
SAME = jnp.zeros(3, jnp.int32) + 1


def maps_of(method, head=after_relu, activations=None, targets=CLASS_0, **options):
    function = getattr(attribution, method)
    return function(head, relu1(IMAGE) if activations is None else activations, targets, **options)


def together(head, methods=METHODS, **options):
    """All methods as one program: `(activations, targets)` to maps by method."""
    return lambda a, t: {method: maps_of(method, head, a, t, **options) for method in methods}


def close(ours, theirs, rtol=3e-6):
    """Maps by method, to a share of each method's largest value; Finer-CAM amplifies rounding of the logits."""
    for method in ours:
        scale = float(np.abs(theirs[method]).max()) * (30 if method == "finer_cam" else 1)
        np.testing.assert_allclose(ours[method], theirs[method], atol=rtol * scale, err_msg=method)


def test_case_43_the_small_table():
    maps = jax.jit(together(after_relu, SMALL))(relu1(IMAGE), CLASS_0)
    for method, expected in SMALL.items():
        np.testing.assert_allclose(maps[method][0], expected, rtol=1e-5, err_msg=method)


def test_case_43_sharded_and_vmapped():
    image, classes = jnp.concatenate([IMAGE, IMAGE]), jnp.zeros(2, jnp.int32)
    run = lambda x, t: together(after_relu, SMALL)(relu1(x), t)
    sharded = jax.jit(run)(*devices.shard((image, classes)))
    mapped = jax.jit(jax.vmap(lambda x, t: jax.tree.map(lambda m: m[0], run(x[None], t[None]))))(image, classes)
    for method, expected in SMALL.items():
        assert len(sharded[method].sharding.device_set) == 2
        np.testing.assert_allclose(sharded[method], [expected, expected], rtol=1e-5, err_msg=method)
        np.testing.assert_allclose(mapped[method], [expected, expected], rtol=1e-5, err_msg=method)


def test_case_22_xplique_sum_form():
    maps = jnp.array([[[1, 1], [1, 1]], [[1, 1], [0, 0]], [[0, 0], [0, 0]], [[0.5, 0], [0, 0]]])
    activations = maps.transpose(1, 2, 0)[None]
    head = lambda a: (a * activations).sum((1, 2, 3))[:, None]
    weights = jnp.array([2 / 3, 0.5, 0, 2 / 9])
    expected = jnp.einsum("hwc,c->hw", activations[0], weights)
    np.testing.assert_allclose(maps_of("grad_cam_pp", head, activations)[0], expected, rtol=1e-5)


def test_case_7_guided_grad_cam():
    expected = [[0, 0, 4, 4], [0, 0, 12, 8], [28, 84, 97.5, 65], [28, 56, 65, 32.5]]
    maps = attribution.guided_grad_cam(relu1, after_relu, IMAGE, CLASS_0, rule="nearest")
    np.testing.assert_allclose(maps[0, ..., 0], expected, rtol=1e-6)
    run = jax.jit(lambda x, t: attribution.guided_grad_cam(relu1, after_relu, x, t, rule="nearest"))
    several = run(jnp.concatenate([IMAGE, IMAGE]), jnp.zeros((2, 3), jnp.int32))
    assert several.shape == (2, 3, 4, 4, 1)
    np.testing.assert_allclose(several[1, 2, ..., 0], expected, rtol=1e-6)


def test_case_34_fused_product():
    first, second = jnp.array([[[0.0, 1], [2, 3]]]), jnp.array([[[3.0, 2], [1, 0]]])
    product = attribution.fuse([first, second], how="product")
    np.testing.assert_allclose(product, [[[0, 2 / 9], [2 / 9, 0]]], rtol=1e-6)
    normalised = attribution.convention(product, "pytorch-grad-cam")
    np.testing.assert_allclose(normalised, [[[0, 1], [1, 0]]], atol=1e-6)


def test_the_eps_of_grad_cam_pp():
    """Without it the paper's form: max(g, 0) / (2 + sum(A) g), for gradients of any size."""
    kernel = 1e-5 * jax.random.normal(jax.random.key(1), (4, 6, 8))
    head = lambda a: (a * kernel).sum((1, 2, 3))[:, None]
    positive = np.maximum(kernel, 0)
    weights = (positive / (2 + np.asarray(MAPS).sum((1, 2))[:, None, None] * kernel)).sum((1, 2))
    maps = maps_of("grad_cam_pp", head, MAPS, jnp.zeros(3, jnp.int32), eps=0.0)
    np.testing.assert_allclose(maps, np.einsum("nhwc,nc->nhw", MAPS, weights), rtol=1e-4)


def test_case_46_a_batch_is_single_calls_in_every_transformation():
    activations = jnp.concatenate([MAPS, MAPS[:1] * 2])
    targets = jnp.array([[0, 3], [4, 4], [1, 2], [2, 0]])
    run = jax.jit(together(dense_top, relu=False))
    batch = run(activations, targets)
    for maps in batch.values():
        assert maps.shape == (4, 2, 4, 6)
        assert maps.dtype == jnp.float32
    for i in range(4):
        single = run(activations[i : i + 1], targets[i : i + 1, 1])
        close(single, {method: maps[i : i + 1, 1] for method, maps in batch.items()})
    sharded = run(*devices.shard((activations, targets)))
    assert all(len(maps.sharding.device_set) == 2 for maps in sharded.values())
    close(sharded, batch)
    one = lambda a, t: jax.tree.map(lambda m: m[0], together(dense_top, relu=False)(a[None], t[None]))
    close(jax.jit(jax.vmap(one))(activations, targets), batch)
    positive = jax.jit(together(dense_top))(activations, targets)
    close(positive, jax.tree.map(lambda m: np.maximum(m, 0), batch))


def test_functions_of_the_logits_are_targets():
    first, second = jnp.array([0, 3, 1]), jnp.array([2, 2, 4])
    methods = [method for method in METHODS if method != "finer_cam"]

    def less_second(a):
        logits = dense_top(a)
        return logits - jnp.take_along_axis(logits, second[:, None], 1)

    @jax.jit
    def run(a):
        return (
            together(dense_top, methods, relu=False)(a, difference(first, second)),
            together(less_second, methods, relu=False)(a, first),
            together(dense_top, methods)(a, lambda logits: logits[:, :2] * 2),
            together(dense_top, methods)(a, probability(first[:, None])),
        )

    contrast, expected, several, shares = run(MAPS)
    close(contrast, expected, rtol=1e-5)
    assert all(maps.shape == (3, 2, 4, 6) for maps in several.values())
    assert all(maps.shape == (3, 1, 4, 6) for maps in shares.values())


def test_many_classes_take_turns(monkeypatch):
    every = every_class(dense_top(MAPS))
    plain = jax.jit(together(dense_top, relu=False))(MAPS, every)
    monkeypatch.setattr(pullback, "MEMORY", 700)
    in_turns = together(dense_top, relu=False)
    loops = str(jax.make_jaxpr(in_turns)(MAPS, every)).count("scan[")
    assert loops == 7  # all but Ablation-CAM, whose rounds are those of its channels
    close(jax.jit(in_turns)(MAPS, every), plain)


def test_dead_units_dead_maps_and_nan():
    activations = np.array(MAPS)
    activations[..., 3] = 0
    activations[1, 0, 0, 0] = np.nan
    run = jax.jit(together(dense_top, relu=False))
    maps, clean = run(jnp.asarray(activations), SAME), run(jnp.asarray(activations[[0, 2]]), SAME[:2])
    for method in METHODS:
        assert np.isnan(maps[method][1]).any(), method
        np.testing.assert_allclose(maps[method][np.array([0, 2])], clean[method], rtol=1e-4, atol=1e-5, err_msg=method)
    negative = jax.jit(together(lambda a: -a.mean((1, 2))))(MAPS, SAME)
    zero = jax.jit(together(lambda a: 0.0 * a.mean((1, 2))))(MAPS, SAME)
    for method in METHODS:
        assert np.isfinite(negative[method]).all(), method
        if method in ("grad_cam", "hires_cam", "layer_cam", "xgrad_cam"):
            np.testing.assert_array_equal(negative[method], np.zeros((3, 4, 6)), err_msg=method)
        if method != "ablation_cam":
            np.testing.assert_array_equal(zero[method], np.zeros((3, 4, 6)), err_msg=method)


@pytest.mark.parametrize("method", METHODS)
def test_classes_that_there_are_not(method):
    for wrong, message in (([0, 5, 1], "lie in 0..4, got 5"), ([0, -1, 1], "lie in 0..4, got -1"), ([0], r"be \(3,\)")):
        targets = jnp.array(wrong)
        with pytest.raises(ValueError, match=f"targets must {message}"):
            jax.eval_shape(lambda a, t=targets: maps_of(method, dense_top, a, t), MAPS)


def test_classes_that_there_are_not_inside_a_program():
    maps = jax.jit(together(dense_top, relu=False))(MAPS, jnp.array([0, 5, -1]))
    for method in METHODS:
        assert np.isfinite(maps[method][0]).all(), method
        assert np.isnan(maps[method][1:]).all(), method


def test_finer_cam_is_the_method_on_the_difference():
    """One reference and no gradient through its share: the target's logit minus the nearest other's."""
    logits = dense_top(MAPS)
    order = np.argsort(np.abs(np.asarray(logits) - np.asarray(logits)[:, 1:2]), axis=1)
    nearest = jnp.asarray(order[:, 1])
    ours = maps_of("finer_cam", dense_top, MAPS, SAME, references=1, relu=False)
    expected = maps_of("grad_cam", dense_top, MAPS, difference(SAME, nearest), relu=False)
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-5)
    one_class = lambda a: dense_top(a)[:, :1]
    alone = maps_of("finer_cam", one_class, MAPS, jnp.zeros(3, jnp.int32), relu=False)
    np.testing.assert_allclose(alone, maps_of("grad_cam", one_class, MAPS, jnp.zeros(3, jnp.int32), relu=False))


def test_eigen_cam_is_the_definition():
    np.testing.assert_allclose(attribution.eigen_cam(MAPS, relu=False), by_svd(MAPS), atol=1e-5)


def test_xgrad_cam_and_hires_cam_sum_to_the_score_of_a_linear_head():
    kernel = jax.random.normal(jax.random.key(5), (4, 6, 8))
    head = lambda a: (a * kernel).sum((1, 2, 3))[:, None]
    for method in ("xgrad_cam", "hires_cam"):
        sums = maps_of(method, head, MAPS, jnp.zeros(3, jnp.int32), relu=False).sum((1, 2))
        np.testing.assert_allclose(sums, head(MAPS)[:, 0], rtol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_case_1_in_half_precision(dtype):
    rows = lambda a: jax.nn.relu(a).transpose(0, 3, 1, 2).reshape(1, -1)
    head = lambda a: (rows(a) @ DENSE.astype(dtype)).astype(jnp.float32)
    maps = jax.jit(lambda a: maps_of("grad_cam", head, a, relu=False))(conv1(IMAGE).astype(dtype))
    np.testing.assert_array_equal(maps[0], [[11.25, 13.5], [20.25, 22.5]])
