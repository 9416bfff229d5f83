"""Convolutions by sums against XLA's own: values, every derivative, every way to call them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcam import attribution, devices
from jaxcam.attribution import interpret
from jaxcam.networks import convolution as convolutions
from jaxcam.networks import turns, winograd
from jaxcam.networks.chain import Chain
from jaxcam.networks.convolution import convolution, one_operation
from jaxcam.networks.layers import Conv, Dense, Flatten, MaxPool

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
PADDINGS = [((1, 1), (1, 1)), ((0, 0), (0, 0)), ((0, 1), (2, 0)), ((2, 2), (1, 2))]


@pytest.fixture
def narrow(monkeypatch):
    """A few channels are as good as many."""
    for name in ("NARROWEST", "CHANNELS", "WORTH_FLOPS", "WORTH_KERNEL_FLOPS", "TOGETHER"):
        monkeypatch.setattr(winograd, name, 1)
    jax.clear_caches()
    yield
    jax.clear_caches()


def reference(x, kernel, padding):
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=DIMENSIONS)


def drawn(*shapes, seed=0):
    return [jax.random.normal(jax.random.fold_in(jax.random.key(seed), i), shape) for i, shape in enumerate(shapes)]


def products_of(function, *arguments):
    """How many matrix products the program has, on CPUs."""
    return jax.jit(function).lower(*arguments).as_text().count("stablehlo.dot_general")


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [(6, 8), (7, 5), (3, 3), (1, 2)])
def test_values_and_derivatives_are_the_convolutions(narrow, padding, size):
    if min(length + sum(pads) - 2 for length, pads in zip(size, padding, strict=True)) < 1:
        pytest.skip("no result")
    x, kernel = drawn((4, *size, 5), (3, 3, 5, 6))
    got = winograd.convolution_3x3(x, kernel, padding)
    np.testing.assert_allclose(got, reference(x, kernel, padding), atol=2e-5)
    (slope, dx, dk) = drawn(got.shape, x.shape, kernel.shape, seed=1)

    def derivatives(function):
        of = lambda x, kernel: function(x, kernel, padding)
        _, pullback = jax.vjp(of, x, kernel)
        second = jax.grad(lambda x, kernel: (jax.grad(lambda v: (of(v, kernel) ** 3).sum())(x) ** 2).sum(), (0, 1))
        return pullback(slope), jax.jvp(of, (x, kernel), (dx, dk)), second(0.1 * x, 0.1 * kernel)

    ours, theirs = (jax.jit(derivatives, static_argnums=0)(one) for one in (winograd.convolution_3x3, reference))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, theirs)


def test_both_are_as_exact_as_float32_allows(monkeypatch):
    monkeypatch.setattr(winograd, "WORTH_FLOPS", 1)
    x, kernel = (value.astype(jnp.float32) for value in drawn((1, 14, 14, 256), (3, 3, 256, 64)))
    x = jax.nn.relu(x)
    exact = sum(
        np.einsum("nhwc,cf->nhwf", np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))[:, i : i + 14, j : j + 14].astype(float),
                  np.asarray(kernel[i, j], float))
        for i in range(3) for j in range(3)
    )  # fmt: skip
    assert winograd.fits(kernel, (1, 1), PADDINGS[0])
    errors = [
        np.abs(f(x, kernel, PADDINGS[0]) - exact).max() / np.abs(exact).max() for f in (convolution_by_sums, reference)
    ]
    assert errors[0] < 2e-6
    assert errors[0] < 4 * errors[1]


def convolution_by_sums(x, kernel, padding):
    assert products_of(lambda x, kernel: convolution(x, kernel, (1, 1), padding), x, kernel) == 16
    return convolution(x, kernel, (1, 1), padding)


def test_positions_that_see_only_zeros_stay_zero(narrow):
    x, kernel = drawn((1, 9, 9, 4), (3, 3, 4, 4))
    x = x.at[:, :5].set(0)
    assert (np.asarray(winograd.convolution_3x3(x, kernel, PADDINGS[0]))[:, :4] == 0).all()


def test_only_wide_3x3_convolutions_of_step_1_are_taken():
    kernel = jnp.zeros((3, 3, 128, 128))
    same = PADDINGS[0]
    assert winograd.fits(kernel, (1, 1), same)
    assert not winograd.fits(kernel, (2, 2), same)
    assert not winograd.fits(kernel, (1, 1), ((3, 0), (1, 1)))
    assert not winograd.fits(kernel, (1, 1), ((-1, 0), (1, 1)))
    assert not winograd.fits(kernel[:2], (1, 1), same)
    assert not winograd.fits(kernel[..., :32], (1, 1), same)
    with jax.enable_x64():
        assert not winograd.fits(jnp.zeros((3, 3, 128, 128), jnp.float64), (1, 1), same)


def test_little_work_goes_the_plain_way():
    shapes = lambda *sizes: [jax.ShapeDtypeStruct(size, jnp.float32) for size in sizes]
    small, large, kernel, square = shapes((1, 7, 7, 64), (16, 64, 64, 64), (3, 3, 64, 128), (3, 3, 64, 64))
    assert products_of(convolution, small, kernel) == 0
    assert products_of(convolution, large, kernel) == 16
    # 64 x 64 channels: only the kernel's gradient is worth it.
    slope = lambda x, kernel: jax.grad(lambda kernel: convolution(x, kernel).sum())(kernel)
    assert products_of(convolution, large, square) == 0
    assert products_of(slope, large, square) == 16
    assert products_of(slope, small, square) == 0


def test_half_precision_is_rounded_once(narrow):
    x, kernel = (value.astype(jnp.bfloat16) for value in drawn((2, 6, 6, 8), (3, 3, 8, 4)))
    got = winograd.convolution_3x3(x, kernel, PADDINGS[0])
    exact = reference(x.astype(jnp.float32), kernel.astype(jnp.float32), PADDINGS[0])
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got.astype(jnp.float32), exact, rtol=2**-8, atol=1e-5)
    total = lambda x, kernel: winograd.convolution_3x3(x, kernel, PADDINGS[0]).astype(jnp.float32).sum()
    slopes = jax.grad(total, (0, 1))(x, kernel)
    assert [slope.dtype for slope in slopes] == [jnp.bfloat16] * 2


def test_under_vmap_of_images_kernels_and_both(narrow):
    x, kernel = drawn((3, 2, 6, 5, 4), (3, 3, 3, 4, 2))
    apply = lambda x, kernel: winograd.convolution_3x3(x, kernel, PADDINGS[2])
    for axes in ((0, None), (None, 0), (0, 0), (1, None)):
        operands = (x if axes[0] is not None else x[0], kernel if axes[1] is not None else kernel[0])
        for of in (apply, lambda x, k: jax.grad(lambda x, k: (apply(x, k) ** 2).sum(), (0, 1))(x, k)):
            got = jax.jit(jax.vmap(of, axes))(*operands)
            size = operands[0].shape[axes[0]] if axes[0] is not None else operands[1].shape[axes[1]]
            take = lambda value, axis, i: value if axis is None else jnp.take(value, i, axis)
            each = [of(take(operands[0], axes[0], i), take(operands[1], axes[1], i)) for i in range(size)]
            expected = jax.tree.map(lambda *parts: jnp.stack(parts), *each)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), got, expected)


def test_in_turns_and_with_a_batch_split_over_devices(narrow, monkeypatch):
    monkeypatch.setattr(winograd, "BYTES", 1)
    x, kernel = drawn((8, 6, 5, 4), (3, 3, 4, 2))
    apply = jax.jit(lambda x, kernel: winograd.convolution_3x3(x, kernel, PADDINGS[0]))
    expected = reference(x, kernel, PADDINGS[0])
    assert apply.lower(x, kernel).as_text().count("stablehlo.while") == 1
    np.testing.assert_allclose(apply(x, kernel), expected, atol=1e-5)
    split = jax.device_put(x, jax.NamedSharding(devices.mesh(), jax.P("data")))
    compiled = apply.lower(split, devices.replicate(kernel)).compile()
    assert not any(name in compiled.as_text() for name in ("all-gather", "all-reduce", "collective-permute"))
    np.testing.assert_allclose(compiled(split, devices.replicate(kernel)), expected, atol=1e-5)


def test_explicit_sharding_keeps_its_types():
    x, kernel = drawn((4, 8, 8, 64), (3, 3, 64, 128))
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        split = jax.device_put(x, jax.NamedSharding(mesh, jax.P("data")))
        got = jax.jit(convolution)(split, kernel)
    assert jax.typeof(got).sharding.spec[0] == "data"
    np.testing.assert_allclose(got, reference(x, kernel, "SAME"), atol=1e-3)


@pytest.mark.parametrize("check", [True, False])
def test_under_shard_map(check):
    x, kernel = drawn((4, 8, 8, 64), (3, 3, 64, 128))
    run = lambda x, kernel: jax.grad(lambda kernel: (convolution(x, kernel) ** 2).sum())(kernel)[None]
    options = {"mesh": devices.mesh(), "in_specs": (jax.P("data"), jax.P()), "check_vma": check}
    each = jax.jit(jax.shard_map(run, out_specs=jax.P("data"), **options))(x, kernel)
    slope = jax.grad(lambda kernel: (reference(x, kernel, "SAME") ** 2).sum())(kernel)
    # With the check the kernel is one value for all devices, and its gradient is their sum already.
    total = each[0] if check else each.sum(0)
    np.testing.assert_allclose(total, slope, rtol=1e-4, atol=1)


def test_the_kernels_gradient_in_turns(narrow, monkeypatch):
    monkeypatch.setattr(winograd, "BYTES", 1)
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    monkeypatch.setattr(jax, "local_device_count", lambda backend: 1)
    x, slope = drawn((6, 7, 5, 4), (6, 7, 5, 2))
    fast = jax.jit(lambda x, slope: winograd.backward.bind(x, slope, padding=PADDINGS[0], shared=False))
    assert fast.lower(x, slope).as_text().count("stablehlo.while") == 1
    np.testing.assert_allclose(fast(x, slope), winograd.plain_slope(x, slope, padding=PADDINGS[0]), atol=1e-4)


def test_no_images(narrow):
    x, kernel = drawn((0, 6, 6, 4), (3, 3, 4, 2))
    assert convolution(x, kernel).shape == (0, 6, 6, 2)
    assert not jax.grad(lambda kernel: convolution(x, kernel).sum())(kernel).any()


def test_the_kernels_sums_wait_for_the_images(monkeypatch):
    assert turns.rows_for(1, 8, 8) == 8
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    for value in (3.0, -3.0, np.nan, np.inf, -0.0):
        zero = winograd.zero_after(jnp.full((1, 1, 1, 1), value))
        assert zero == 0
        assert not np.signbit(zero)
    text = jax.jit(winograd.zero_after).lower(jnp.zeros((1, 1, 1, 1))).compile().as_text()
    assert "clamp" in text, "XLA has found out that it is zero, and would not wait"


def test_other_platforms_get_the_convolution(narrow):
    x, kernel = drawn((2, 6, 6, 4), (3, 3, 4, 4))
    slopes = lambda x, k: jax.grad(lambda x, k: (winograd.convolution_3x3(x, k, PADDINGS[0]) ** 2).sum(), (0, 1))(x, k)
    for platform, count in (("cuda", 0), ("tpu", 0), ("cpu", 48)):
        text = jax.jit(slopes).trace(x, kernel).lower(lowering_platforms=(platform,)).as_text()
        assert text.count("stablehlo.dot_general") == count
        assert ("stablehlo.convolution" in text) == (count == 0)


def test_readers_of_programs_meet_one_convolution(narrow):
    x, kernel = drawn((2, 6, 6, 4), (3, 3, 4, 4))
    jitted = jax.jit(convolution)
    jitted(x, kernel)
    program, _ = interpret.trace(jitted, x, kernel)
    assert [operation.primitive.name for operation in program.operations] == ["conv_general_dilated"]
    assert products_of(program.evaluate, x, kernel) == 16
    np.testing.assert_allclose(program.evaluate(x, kernel)[0], jitted(x, kernel), atol=1e-6)
    with one_operation():
        assert "conv_general_dilated" in str(jax.make_jaxpr(convolution)(x, kernel))
    precise = dict(program.operations[0].params, precision=(lax.Precision.HIGHEST,) * 2)
    assert convolutions.evaluated(precise, x, kernel) is None


def test_a_batch_of_any_size_can_be_exported(narrow):
    (kernel,) = drawn((3, 3, 4, 4))
    (n,) = jax.export.symbolic_shape("n")
    exported = jax.export.export(jax.jit(lambda x: convolution(x, kernel)), platforms=["cpu", "cuda"])(
        jax.ShapeDtypeStruct((n, 6, 6, 4), jnp.float32)
    )
    (x,) = drawn((3, 6, 6, 4))
    np.testing.assert_allclose(exported.call(x), reference(x, kernel, "SAME"), atol=1e-5)


def test_a_network_and_what_is_made_of_it(narrow, monkeypatch):
    from jaxcam.attribution.incremental import rules

    monkeypatch.setattr(rules, "WORTH_FLOPS", 1)
    stages = (("a", Conv(4)), ("b", Conv(4)), ("pool", MaxPool()), ("c", Conv(5)), ("rows", Flatten()), ("d", Dense(3)))
    chain = Chain(stages)
    params = chain.init(jax.random.key(0), (1, 16, 14, 3))
    (x,) = drawn((2, 16, 14, 3))
    network = lambda images: chain.apply(params, images)
    targets = jnp.arange(2)

    def everything():
        options = {"window": (4, 4), "stride": (2, 2), "fill": 0.0}
        return (
            network(x),
            jax.grad(lambda x: network(x)[:, 1].sum())(x),
            attribution.occlusion(network, x, targets, **options),
            attribution.occlusion(network, x, targets, **options, engine="brute"),
        )

    fast = everything()
    monkeypatch.setattr(winograd, "fits", lambda *arguments: False)
    jax.clear_caches()
    plain = everything()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5), fast, plain)
    np.testing.assert_allclose(fast[2], fast[3], rtol=1e-4, atol=2e-5)
