"""Ascent beside a plain loop of the book's recipe; one channel beside the whole stage; views, spectra, loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcam.attribution.features.ascent import grey_noise, plain_patterns
from jaxcam.attribution.features.responses import channel_response, one_output, stage_response
from jaxcam.attribution.features.robust import robust_patterns
from jaxcam.attribution.features.spectrum import image_of, spectrum_noise
from jaxcam.attribution.features.views import View, look
from jaxcam.attribution.loops import loop_ready
from jaxcam.networks.chain import Chain
from jaxcam.networks.layers import Conv, Dense, GlobalAveragePool, MaxPool
from jaxcam.networks.normalised import ConvNorm

pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY = jax.random.key(3)
CHAIN = Chain((("a", Conv(4)), ("pool", MaxPool()), ("b", Conv(6, strides=(2, 2), padding=((0, 1), (0, 1))))))
PARAMS = CHAIN.init(jax.random.key(0), (1, 16, 16, 3))


def numpy_loop(stage, start, channel, steps):
    """The book's loop as it stands there, in Python."""
    image = start[None].astype(np.float32)
    value = lambda x: CHAIN.apply(PARAMS, x, stop=stage)[:, :, :, channel].mean()
    for _ in range(steps):
        gradient = np.array(jax.grad(value)(jnp.asarray(image)))
        gradient /= np.sqrt(np.mean(np.square(gradient))) + 1e-5
        image = image + gradient
    return image[0]


@pytest.mark.parametrize("stage", ["a", "pool", "b"])
def test_the_books_recipe(stage):
    channels = jnp.array([2, 0])
    run = jax.jit(lambda p: plain_patterns(stage_response(CHAIN, p, stage), channels, key=KEY, size=(16, 14), steps=4))
    found = run(PARAMS)
    starts = np.asarray(grey_noise(KEY, channels, (16, 14)))
    assert starts.min() >= 128
    assert starts.max() < 148
    for place, channel in enumerate([2, 0]):
        np.testing.assert_allclose(found.images[place], numpy_loop(stage, starts[place], channel, 4), rtol=1e-5)
    assert (found.after >= found.before).all()
    assert (found.after > found.before).any()


@pytest.mark.parametrize("recipe", [plain_patterns, robust_patterns])
def test_together_is_one_at_a_time(recipe):
    response = stage_response(CHAIN, PARAMS, "b")
    run = lambda channels, at_once: recipe(response, channels, key=KEY, size=(16, 16), steps=3, at_once=at_once)
    compiled = jax.jit(run, static_argnums=1)
    together = compiled(jnp.arange(5), None)
    in_twos = compiled(jnp.arange(5), 2)
    alone = compiled(jnp.array([3]), 1)
    np.testing.assert_allclose(in_twos.images, together.images, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(alone.images[0], together.images[3], rtol=1e-4, atol=1e-4)
    assert recipe(response, jnp.zeros(0, int), key=KEY, size=(16, 16), steps=1).images.shape == (0, 16, 16, 3)


STAGES = {
    "norm": ConvNorm(5, activation="relu6"),
    "depthwise": ConvNorm(3, strides=(2, 2), padding=((0, 1), (0, 1)), depthwise=True, bias=True),
    "linear": ConvNorm(5, (1, 1), activation="none", scale=False),
    "valid": Conv(5, (3, 2), padding="VALID", relu=False),
    "half": Conv(5, dtype=jnp.bfloat16),
    "half_norm": ConvNorm(5, dtype=jnp.bfloat16),
}


@pytest.mark.parametrize("name", list(STAGES))
def test_one_channel_is_that_of_the_whole_stage(name):
    chain = Chain((("stage", STAGES[name]),))
    params = chain.init(jax.random.key(1), (1, 9, 7, 3))
    params = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(jax.random.key(x.size), x.shape) ** 2, params)
    images, channels = jax.random.normal(KEY, (4, 9, 7, 3)), jnp.array([2, 0, 1, 2])
    few = stage_response(chain, params, "stage")(images, channels)
    whole = channel_response(lambda x: chain.apply(params, x))(images, channels)
    assert few.dtype == jnp.float32
    np.testing.assert_allclose(few, whole, rtol=0.05 if "half" in name else 1e-5, atol=0.05 if "half" in name else 1e-5)


def test_a_leak_lets_silent_channels_grow():
    params = {**PARAMS, "a": {**PARAMS["a"], "bias": jnp.full(4, -1e4)}}
    slope = lambda leak: jax.grad(lambda x: stage_response(CHAIN, params, "a", leak=leak)(x, jnp.array([1])).sum())
    image = jnp.ones((1, 8, 8, 3))
    assert not slope(0.0)(image).any()
    np.testing.assert_allclose(slope(0.1)(image)[0, 4, 4], 0.1 * PARAMS["a"]["kernel"][..., 1].sum((0, 1)), rtol=1e-4)
    still = plain_patterns(stage_response(CHAIN, params, "a"), jnp.array([1]), key=KEY, size=(8, 8), steps=2)
    np.testing.assert_array_equal(still.images, grey_noise(KEY, jnp.array([1]), (8, 8)))


def test_networks_with_batch_norm_and_without_maps():
    chain = Chain((("norm", ConvNorm(4)), ("gap", GlobalAveragePool()), ("scores", Dense(3))))
    params = chain.init(jax.random.key(0), (1, 12, 12, 3))
    for stage, channels in (("norm", [0, 3]), ("scores", [2])):
        grow = lambda p, s, c: robust_patterns(
            stage_response(chain, p, s, leak=0.1), jnp.array(c), key=KEY, size=(12, 12), steps=2
        )
        run = jax.jit(lambda p, s=stage, c=channels, grow=grow: grow(p, s, c))
        found = run(params)
        assert np.isfinite(found.images).all()
        assert found.images.min() >= 0
        assert found.images.max() <= 1


def test_patterns_that_survive_views_excite_more():
    response = stage_response(CHAIN, PARAMS, "b", leak=0.1)
    found = jax.jit(lambda: robust_patterns(response, jnp.arange(6), key=KEY, size=(24, 24), steps=12))()
    assert (found.after > found.before).all()


def test_a_view_that_changes_nothing_and_a_quarter_of_a_pixel():
    images = jax.random.uniform(KEY, (2, 9, 12, 3))
    view = lambda degrees, scale, down, right: View(
        jnp.float32(degrees), jnp.float32(scale), jnp.array([down, right], jnp.float32)
    )
    np.testing.assert_allclose(look(images, view(0, 1, 0, 0)), images, atol=1e-5)
    np.testing.assert_allclose(look(images, view(0, 1, 2, -3))[:, 2:, :-3], images[:, :-2, 3:], atol=1e-5)
    rows = jnp.broadcast_to(jnp.arange(21.0)[:, None, None], (1, 21, 21, 3))
    # Turned and enlarged, a ramp is a ramp: row = (cos y + sin x) / scale about the centre.
    seen, angle = np.asarray(look(rows, view(7, 1.1, 0, 0)))[0, 5:16, 5:16, 0], np.deg2rad(7)
    y, x = np.mgrid[-5:6, -5:6]
    np.testing.assert_allclose(seen, 10 + (np.cos(angle) * y + np.sin(angle) * x) / 1.1, atol=1e-3)


def test_a_spectrum_is_a_grey_image_at_first():
    for size in ((8, 8), (7, 10), (9, 5)):
        image = image_of(spectrum_noise(KEY, size), size)
        assert image.shape == (*size, 3)
        np.testing.assert_allclose(image, 0.5, atol=0.2)


def test_a_gradient_made_ready_for_loops_is_the_same():
    kernel = jax.random.normal(KEY, (3, 3, 4, 4))

    def value(x, kernel):
        x = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = lax.conv_general_dilated(x, kernel[:, :, :1], (2, 2), ((0, 1), (1, 0)), feature_group_count=4,
                                     dimension_numbers=("NHWC", "HWIO", "NHWC"))  # fmt: skip
        return jnp.square(jax.nn.relu(x)).sum()

    x = jax.random.normal(jax.random.key(1), (2, 6, 5, 4))
    slope = jax.grad(value)
    np.testing.assert_allclose(loop_ready(slope)(x, kernel), slope(x, kernel), rtol=1e-5, atol=1e-5)
    program = str(jax.make_jaxpr(loop_ready(slope))(x, kernel))
    assert program.count("conv_general_dilated[") == program.count("rhs_spec=(3, 2, 0, 1)")
    assert "rhs_spec=(2, 3, 0, 1)" in str(jax.make_jaxpr(slope)(x, kernel))


def test_split_over_devices():
    response = stage_response(CHAIN, PARAMS, "b")
    run = lambda channels: plain_patterns(response, channels, key=KEY, size=(12, 12), steps=2).images
    mesh = jax.make_mesh((2,), ("data",))
    channels = jax.device_put(jnp.arange(6), jax.NamedSharding(mesh, jax.P("data")))
    split = jax.jit(jax.shard_map(run, mesh=mesh, in_specs=jax.P("data"), out_specs=jax.P("data"), check_vma=False))
    np.testing.assert_allclose(split(channels), run(jnp.arange(6)), rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "kernel", "strides", "padding"),
    [
        ((9, 7), (3, 3, 3), (1, 1), "SAME"),
        ((10, 11), (3, 3, 4), (2, 2), ((0, 1), (0, 1))),
        ((12, 9), (5, 5, 1), (2, 3), ((2, 2), (2, 2))),
    ],
)
def test_a_kernel_for_each_image_is_a_convolution_and_so_is_its_gradient(size, kernel, strides, padding):
    images = jax.random.normal(KEY, (3, *size, kernel[2]))
    kernels = jax.random.normal(jax.random.key(1), (*kernel, 3))

    def by_lax(images, kernels):
        convolve = lambda row: lax.conv_general_dilated(
            images[row : row + 1], kernels[..., row : row + 1], strides, padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip
        return jnp.concatenate([convolve(row)[..., 0] for row in range(3)])

    def with_slopes(function):
        value = lambda *both: (jnp.sin(found := function(*both)).sum(), found)
        return jax.jit(jax.grad(value, (0, 1), has_aux=True))(images, kernels)

    own = with_slopes(lambda images, kernels: one_output(images, kernels, strides, padding))
    for found, wanted in zip(jax.tree.leaves(own), jax.tree.leaves(with_slopes(by_lax)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
