import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute import assert_equal, border_windows, brute_force
from jax import lax

from jaxcam import devices, networks
from jaxcam.attribution import incremental
from jaxcam.networks import Head

KEY = jax.random.key(0)


def images(n=1, size=(32, 40), channels=3, dtype=jnp.float32):
    return jax.random.normal(KEY, (n, *size, channels)).astype(dtype)


def small_fn(channels=3, width=6):
    """Convolution, pool, strided convolution, mean; quick to compile."""
    first, second = jax.random.split(KEY)
    kernels = jax.random.normal(first, (3, 3, channels, width)) / 4, jax.random.normal(second, (3, 3, width, 4)) / 4

    def fn(x):
        first, second = (kernel.astype(x.dtype) for kernel in kernels)
        x = jax.nn.relu(lax.conv_general_dilated(x, first, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")))
        x = jnp.maximum(x[:, ::2], x[:, 1::2])
        x = lax.conv_general_dilated(x, second, (1, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jax.nn.relu(x).mean((1, 2))

    return fn


@pytest.mark.parametrize(
    "options",
    [
        {"name": "vgg16_mini", "head": "top", "input_size": (32, 40)},
        {"name": "convnet", "head": Head(kind="cam"), "input_size": (64, 71), "width": 0.2},
        {
            "name": "convnet",
            "head": Head(kind="dense", pool="flatten", hidden=(8,)),
            "input_size": (64, 71),
            "width": 0.2,
        },
    ],
    ids=["vgg16_mini", "convnet-cam", "convnet-dense"],
)
def test_chains(options):
    chain, params = networks.build(**options, classes=5)
    x, window = images(2, options["input_size"]), (9, 7)
    offsets = border_windows(options["input_size"], window)[::4]

    def fn(batch):
        return chain.apply(params, batch)

    ours, base = incremental(fn)(x, window=window, offsets=offsets, fill=0.5, groups=4, return_base=True)
    assert_equal(ours, brute_force(fn, x, window, offsets, 0.5))
    assert_equal(base, np.asarray(fn(x)))


def fills(x, window):
    random = np.random.default_rng(0)
    return {
        "scalar": 0.25,
        "colour": random.normal(size=3).astype(np.float32),
        "patch": random.normal(size=(*window, 3)).astype(np.float32),
        "image": random.normal(size=x.shape[1:]).astype(np.float32),
        "images": random.normal(size=x.shape).astype(np.float32),
    }


@pytest.mark.parametrize("kind", ["scalar", "colour", "patch", "image", "images"])
def test_fills(kind):
    x, window, fn = images(2, (12, 15)), (4, 5), small_fn()
    fill = fills(x, window)[kind]
    offsets = border_windows((12, 15), window)[::5]
    ours = incremental(fn)(x, window=window, offsets=offsets, fill=fill, groups=1)
    assert_equal(ours, brute_force(fn, x, window, offsets, fill))


@pytest.mark.parametrize("window", [(1, 1), (12, 15), (1, 15), (11, 14)])
def test_extreme_windows(window):
    x, fn = images(1, (12, 15)), small_fn()
    offsets = border_windows((12, 15), window)[-1:]
    assert_equal(incremental(fn)(x, window=window, offsets=offsets), brute_force(fn, x, window, offsets))


def test_windows_may_repeat_and_come_in_any_order():
    x, fn = images(1, (12, 15)), small_fn()
    offsets = np.array([[8, 9], [0, 0], [8, 9], [3, 1]])
    assert_equal(incremental(fn)(x, window=(4, 4), offsets=offsets), brute_force(fn, x, (4, 4), offsets))


def test_chosen_windows_may_be_traced_and_differ_between_images():
    x, fn = images(2, (12, 15)), small_fn()
    offsets = border_windows((12, 15), (4, 4))
    chosen = jnp.array([[3, 20, 7], [0, 0, 24]])
    evaluate = incremental(fn)

    @jax.jit
    def both(x, chosen):
        one = lambda image, numbers: evaluate(image[None], window=(4, 4), offsets=offsets, chosen=numbers)[0]
        return jax.vmap(one)(x, chosen)

    everything = brute_force(fn, x, (4, 4), offsets)
    assert_equal(both(x, chosen), np.take_along_axis(everything, np.asarray(chosen)[:, :, None], axis=1))


def test_trees_untouched_and_loose_outputs():
    def fn(x):
        return {"mean": x.mean((1, 2)), "constant": jnp.ones((len(x), 2)), "maps": x[..., :1] * 2}

    x, offsets = images(2, (6, 7)), np.array([[0, 0], [2, 3]])
    assert_equal(incremental(fn)(x, window=(3, 3), offsets=offsets), brute_force(fn, x, (3, 3), offsets))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision(dtype):
    x, fn = images(1, (12, 15), dtype=dtype), small_fn()
    offsets = border_windows((12, 15), (4, 4))[::6]
    ours = incremental(fn)(x, window=(4, 4), offsets=offsets, fill=0.5)
    theirs = brute_force(fn, x, (4, 4), offsets, 0.5)
    assert ours.dtype == dtype
    assert_equal(ours.astype(jnp.float32), theirs.astype(np.float32), tolerance=0.02)


def test_values_that_are_not_finite_stay_where_they_are():
    x, fn = images(1, (12, 15)).at[0, 2, 2].set(jnp.nan), small_fn()
    offsets = np.array([[0, 0], [8, 9]])
    ours = incremental(fn)(x, window=(4, 4), offsets=offsets)
    assert np.isfinite(ours[0, 0]).all()
    assert np.isnan(ours[0, 1]).any()


def test_under_jit_with_traced_weights():
    chain, params = networks.build("vgg16_mini", classes=3, input_size=(32, 32))
    x, offsets = images(1, (32, 32)), np.array([[0, 0], [20, 11]])

    @jax.jit
    def occluded(params, x):
        return incremental(lambda batch: chain.apply(params, batch))(x, window=(8, 8), offsets=offsets, groups=1)

    assert_equal(occluded(params, x), brute_force(lambda batch: chain.apply(params, batch), x, (8, 8), offsets))


def test_batch_split_over_devices_stays_split():
    x, fn = images(4, (12, 15)), small_fn()
    offsets = border_windows((12, 15), (4, 4))[::3]
    evaluate = incremental(fn)
    ours = evaluate(devices.shard(x), window=(4, 4), offsets=offsets)
    assert len(ours.sharding.device_set) == 2
    assert not ours.sharding.is_fully_replicated
    assert_equal(ours, brute_force(fn, x, (4, 4), offsets))


def test_empty_batches_and_no_windows():
    fn = small_fn()
    assert incremental(fn)(images(0, (12, 15)), window=(4, 4), offsets=np.array([[0, 0]])).shape == (0, 1, 4)
    assert incremental(fn)(images(2, (12, 15)), window=(4, 4), offsets=np.zeros((0, 2), int)).shape == (2, 0, 4)


@pytest.mark.parametrize("memory", [1, 100_000])
def test_memory_only_cuts_the_work(memory):
    x, fn = images(3, (12, 15)), small_fn()
    offsets = border_windows((12, 15), (4, 4))
    fill = np.asarray(images(3, (12, 15))) + 1
    ours = incremental(fn)(x, window=(4, 4), offsets=offsets, fill=fill, memory=memory)
    assert_equal(ours, brute_force(fn, x, (4, 4), offsets, fill))


def test_the_compiled_program_keeps_the_budget():
    chain, params = networks.build("vgg16_mini", classes=3, input_size=(64, 64))
    offsets = np.array([(y, x) for y in range(0, 57, 4) for x in range(0, 57, 4)])

    def needed(memory):
        def occluded(params, x):
            evaluate = incremental(lambda batch: chain.apply(params, batch))
            return evaluate(x, window=(8, 8), offsets=offsets, memory=memory, groups=1)

        program = jax.jit(occluded).lower(params, images(4, (64, 64))).compile()
        return program.memory_analysis().temp_size_in_bytes

    small, large = 4 * 2**20, 64 * 2**20
    assert needed(small) <= small
    assert small < needed(large) <= large


def test_tau_bounds_the_boxes_and_is_exact_where_it_does_not():
    x, fn = images(1, (24, 24)), small_fn()
    offsets = np.array([[0, 0], [10, 9]])
    exact = brute_force(fn, x, (4, 4), offsets)
    assert_equal(incremental(fn)(x, window=(4, 4), offsets=offsets, tau=0.9), exact)
    rough = incremental(fn)(x, window=(4, 4), offsets=offsets, tau=0.1)
    assert np.abs(rough - exact).max() > 1e-5


def test_changes_are_the_differences_of_the_maps():
    chain, params = networks.build("vgg16_mini", head=None, base_end="block2_pool")
    x, window = images(2, (24, 20)), (6, 5)
    offsets = border_windows((24, 20), window)[::3]

    def fn(batch):
        return chain.apply(params, batch)

    maps = brute_force(fn, x, window, offsets)
    changes = incremental(fn).changes(x, window=window, offsets=offsets, groups=4)
    weights = jax.random.normal(jax.random.key(1), maps[:, 0].shape)
    assert_equal(changes.dense(), maps)
    assert_equal(changes.dot(weights), np.einsum("nphwc,nhwc->np", maps - np.asarray(fn(x))[:, None], weights), 1e-4)


@pytest.mark.parametrize(
    ("window", "offsets", "fill", "message"),
    [
        ((4, 4), np.array([[9, 0]]), 0.0, "inside the images"),
        ((4, 4), np.array([[-1, 0]]), 0.0, "inside the images"),
        ((0, 4), np.array([[0, 0]]), 0.0, "inside the images"),
        ((4, 4), np.array([[0.0, 0.0]]), 0.0, "integers"),
        ((4, 4), np.array([0, 0]), 0.0, "integers"),
        ((4, 4), np.array([[0, 0]]), np.zeros(5), "fill must have one of the shapes"),
    ],
)
def test_mistakes_are_named(window, offsets, fill, message):
    with pytest.raises(ValueError, match=message):
        incremental(small_fn())(images(1, (12, 15)), window=window, offsets=offsets, fill=fill)
