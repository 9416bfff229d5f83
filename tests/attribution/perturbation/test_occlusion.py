"""Occlusion against numbers of other tools (methods.md), in plain, jitted, mapped and sharded form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam import devices
from jaxcam.attribution.perturbation.forwards import blurred
from jaxcam.attribution.perturbation.occlusion import grid_for, occluded_logits, occlusion, window_drops
from jaxcam.attribution.perturbation.occlusion_conventions import occlusion_map
from jaxcam.attribution.perturbation.windows import per_pixel
from jaxcam.attribution.targets import difference, every_class, predicted, probability

ENGINES = ("brute", "incremental")
CASE_27 = [[3, 6, 6, 3, 0], [6, 15, 18, 12, 3], [6, 18, 24, 18, 6], [3, 12, 18, 15, 6], [0, 3, 6, 6, 3]]
COVERED = np.outer([1, 2, 3, 2, 1], [1, 2, 3, 2, 1])
CLASS_0 = jnp.array([0])


def linear_relu(x):
    """captum's BasicModel_MultiLayer, ML of methods.md."""
    return jax.nn.relu(x @ jnp.ones((3, 4)) + jnp.array([-10.0, 1, 1, 1])) @ jnp.ones((4, 2)) + jnp.array([-1.0, 1])


def three_relus(x):
    """captum's BasicModel3, B3 of methods.md: relu(relu(x1 - 1) - relu(x2))."""
    return jax.nn.relu(jax.nn.relu(x[:, :1] - 1) - jax.nn.relu(x[:, 1:]))


def three_sums(x):
    """PAIR's model: three times the sum of the image."""
    return 3 * x.sum((1, 2, 3))[:, None]


def forms(method, *arrays):
    """The method's result compiled, mapped over images, and split over two devices."""
    yield jax.jit(method)(*arrays)
    yield jax.jit(jax.vmap(lambda *rows: jax.tree.map(lambda a: a[0], method(*(row[None] for row in rows)))))(*arrays)
    doubled = [jnp.concatenate([array, array]) for array in arrays]
    split = jax.jit(method)(*devices.shard(tuple(doubled)))
    assert all(len(leaf.sharding.device_set) == 2 for leaf in jax.tree.leaves(split))
    half = len(arrays[0])
    for leaf in jax.tree.leaves(split):
        np.testing.assert_allclose(leaf[:half], leaf[half:], rtol=1e-5, atol=1e-5)
    yield jax.tree.map(lambda leaf: leaf[:half], split)


@pytest.mark.parametrize("engine", ENGINES)
def test_numbers_of_captum_and_pair(engine):
    """Cases 9 to 12, 17 and 27 of methods.md."""
    batch = jnp.array([[20.0, 50, 30], [2, 10, 3]])
    pairs = jnp.array([[-10.0, -5], [3, 1]])
    image = jnp.zeros((2, 5, 5, 1)).at[:, [1, 3], [1, 3]].set(1)

    def captum(images, targets, window, stride, fill):
        grid = grid_for(images, window, stride, edges="cut")
        drops = occlusion(linear_relu, images, targets, window, stride, fill, edges="cut", engine=engine)
        return per_pixel(drops, grid)

    def method(batch, pairs, image, targets):
        return {
            "9 and 12": captum(batch, targets, 1, 1, 0),
            "10": captum(batch, targets, 2, 1, 10.0),
            "11": captum(batch, targets, (2,), (2,), 0.0),
            "17": occlusion(three_relus, pairs, targets, 1, 1, engine=engine),
            "27": per_pixel(
                occlusion(three_sums, image, targets, 3, 1, engine=engine), grid_for(image, 3, 1), how="sum"
            ),
        }

    arrays = (batch, pairs, image, jnp.zeros(2, jnp.int32))
    results = forms(method, *arrays) if engine == "brute" else [jax.jit(method)(*arrays)]
    for result in results:
        np.testing.assert_allclose(result["9 and 12"], [[80, 200, 120], [8, 35, 12]], rtol=1e-6)
        np.testing.assert_allclose(result["10"][0], [200, 220, 240], rtol=1e-6)
        np.testing.assert_allclose(result["11"][0], [280, 280, 120], rtol=1e-6)
        np.testing.assert_allclose(result["17"], [[0, 0], [1, -1]])
        np.testing.assert_allclose(result["27"][0], CASE_27)


def test_plain_calls_give_the_same_numbers():
    drops = occlusion(linear_relu, jnp.array([[20.0, 50, 30]]), CLASS_0, 1, 1, engine="brute")
    np.testing.assert_allclose(drops, [[80, 200, 120]], rtol=1e-6)


def test_conventions():
    image = jnp.zeros((1, 5, 5, 1)).at[0, [1, 3], [1, 3]].set(1)
    plane = jnp.broadcast_to(jnp.arange(20.0)[:, None, None] / 2000, (1, 20, 30, 1))
    two = lambda x: jnp.concatenate([three_sums(x), jnp.zeros((len(x), 1))], axis=1)

    @jax.jit
    def maps(image, plane):
        run = lambda fn, images, *numbers, name: occlusion_map(
            fn, images, CLASS_0, *numbers, convention=name, engine="brute"
        )[0]
        numbers = {name: run(three_sums, image, 3, 1, name=name) for name in ("captum", "pair")}
        return numbers | {"xplique": run(three_sums, image, name="xplique"), "matlab": run(two, plane, name="matlab")}

    ours = maps(image, plane)
    np.testing.assert_allclose(ours["captum"], CASE_27 / COVERED, rtol=1e-5)
    np.testing.assert_allclose(ours["pair"], CASE_27, rtol=1e-5)
    np.testing.assert_allclose(ours["xplique"], np.pad(np.full((3, 3), 3), ((0, 2), (0, 2))), rtol=1e-5)
    assert ours["matlab"].shape == (20, 30)
    # Hiding dark rows behind the mean colour adds brightness, hiding bright rows takes it away.
    assert (ours["matlab"][:4] < 0).all()
    assert (ours["matlab"][15:17] > 0).all()
    with pytest.raises(ValueError, match="takes class numbers"):
        occlusion_map(two, plane, lambda logits: logits, convention="matlab")


def small_net(x):
    """Convolution, ReLU, pool, dense: something with borders, for any image of at least 4x4."""
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 3, 4)).astype(x.dtype)
    x = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(x).mean((1, 2)) @ jax.random.normal(jax.random.key(1), (4, 5)).astype(x.dtype)


quick_net = jax.jit(small_net)


@pytest.fixture(scope="module")
def images():
    return jax.random.normal(jax.random.key(2), (3, 11, 17, 3))


def by_hand(images, grid, fill):
    """Logits with each window filled, one picture at a time in NumPy; fill broadcasts against one image."""
    out = []
    for image in np.asarray(images):
        filled = np.broadcast_to(fill, image.shape)
        for (top, bottom), (left, right) in grid.boxes():
            changed = image.copy()
            changed[top:bottom, left:right] = filled[top:bottom, left:right]
            out.append(quick_net(changed[None]))
    return np.concatenate(out).reshape(len(images), *grid.shape, -1)


def test_every_window_is_what_a_loop_gives(images):
    colour = jnp.array([0.5, -1, 2])
    grids = {edges: grid_for(images, (4, 5), (5, 7), edges=edges) for edges in ("moved", "cut", "full", "centred")}
    run = lambda x, grid: occluded_logits(small_net, x, grid, colour, engine="brute")
    found = jax.jit(lambda x: {edges: run(x, grid) for edges, grid in grids.items()})(images)
    for edges, grid in grids.items():
        np.testing.assert_allclose(found[edges][0], quick_net(images), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found[edges][1], by_hand(images, grid, colour), rtol=1e-5, atol=1e-5)


def test_the_incremental_engine_is_the_default_and_exact(images):
    grid = grid_for(images, (4, 5), (3, 4), edges="cut")
    run = lambda x, **options: occluded_logits(small_net, x, grid, x[::-1], **options)[1]
    ours, default, brute = jax.jit(lambda x: (run(x, engine="incremental"), run(x), run(x, engine="brute")))(images)
    np.testing.assert_array_equal(ours, default)
    np.testing.assert_allclose(ours, brute, rtol=1e-5, atol=1e-6)


def test_fills(images):
    grid = grid_for(images, 4, 4)
    other = jax.random.normal(jax.random.key(5), images.shape)
    run = lambda x, fill, **options: occluded_logits(small_net, x, grid, fill, engine="brute", **options)[1]

    @jax.jit
    def every(x, other):
        return {
            "number": run(x, 2),
            "black": run(x, "black", value_range=(-1.0, 3.0)),
            "grey": run(x, "grey", value_range=((0.0, 0.0, 0.0), (2.0, 4.0, 6.0))),
            "image": run(x, other[0]),
            "images": run(x, other),
            "mean": run(x, "mean"),
            "blur": run(x, "blur", sigma=50.0),
        }

    ours = every(images, other)
    close = lambda values, expected: np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5)
    close(ours["number"], by_hand(images, grid, 2))
    close(ours["black"], by_hand(images, grid, -1))
    close(ours["grey"], by_hand(images, grid, [1, 2, 3]))
    close(ours["image"], by_hand(images, grid, other[0]))
    for i in range(len(images)):
        close(ours["images"][i], by_hand(images[i : i + 1], grid, other[i])[0])
        close(ours["mean"][i], by_hand(images[i : i + 1], grid, images[i].mean((0, 1)))[0])
    np.testing.assert_allclose(ours["blur"], ours["mean"], atol=0.02)


def test_blur_is_a_gaussian(images):
    from scipy.ndimage import gaussian_filter1d

    large = jnp.zeros((1, 31, 41, 1)).at[0, 15, 20].set(1)
    along = lambda n, i: gaussian_filter1d(np.eye(n)[i], 2.0, truncate=8)
    expected = along(31, 15)[:, None] * along(41, 20)
    np.testing.assert_allclose(blurred(large, 2.0)[0, ..., 0], expected, atol=1e-5)


def test_all_forms_of_targets_come_from_the_same_logits(images):
    grid = grid_for(images, 4, 4)
    base, occluded = jax.jit(lambda x: occluded_logits(small_net, x, grid, engine="brute"))(images)
    classes, others = jnp.array([4, 0, 2]), jnp.array([0, 1, 1])
    forms = {
        "every": every_class,
        "one": classes,
        "several": classes[:, None],
        "difference": difference(classes, others),
        "function": lambda logits: logits,
        "predicted": predicted,
        "probability": probability(classes),
    }
    run = lambda base, occluded: {name: window_drops(base, occluded, targets) for name, targets in forms.items()}
    found = {name: np.asarray(drops) for name, drops in jax.jit(run)(base, occluded).items()}
    every, base, occluded = found["every"], np.asarray(base), np.asarray(occluded)
    assert every.shape == (3, 5, 3, 5)
    close = lambda name, expected: np.testing.assert_allclose(found[name], expected, atol=1e-6)
    pick = lambda numbers: every[np.arange(3), numbers]
    close("every", base[:, :, None, None] - np.moveaxis(occluded, 3, 1))
    close("function", every)
    close("one", pick(classes))
    close("several", pick(classes)[:, None])
    close("difference", pick(classes) - pick(others))
    close("predicted", pick(base.argmax(-1)))
    share = lambda logits: np.exp(logits[..., 4]) / np.exp(logits).sum(-1)
    np.testing.assert_allclose(found["probability"][0], share(base[0]) - share(occluded[0]), atol=1e-6)


def test_jit_vmap_and_sharded_agree(images):
    method = lambda images, targets: occlusion(small_net, images, targets, (4, 5), (6, 6), "mean")
    results = list(forms(method, images, jnp.array([1, 0, 4])))
    for other in results[1:]:
        np.testing.assert_allclose(results[0], other, rtol=1e-4, atol=1e-5)


def test_memory_bounds_what_brute_force_takes_and_changes_nothing():
    images = jax.random.normal(jax.random.key(3), (4, 64, 64, 3))

    def compiled(memory):
        run = lambda images: occlusion(small_net, images, predicted, 8, 8, engine="brute", memory=memory)
        return jax.jit(run).lower(images).compile()

    small, large, least = compiled(2**21), compiled(2**27), compiled(1)
    assert small.memory_analysis().temp_size_in_bytes < 2**22
    assert least.memory_analysis().temp_size_in_bytes < small.memory_analysis().temp_size_in_bytes
    assert small.memory_analysis().temp_size_in_bytes < large.memory_analysis().temp_size_in_bytes / 4
    np.testing.assert_allclose(small(images), large(images), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(least(images), large(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_gives_float32_drops(images, dtype):
    run = jax.jit(lambda x: occlusion(small_net, x, CLASS_0.repeat(3), 4, 4, 0.5, engine="brute"))
    drops = run(images.astype(dtype))
    assert drops.dtype == jnp.float32
    np.testing.assert_allclose(drops, run(images), atol=0.1)


def test_integer_images_and_one_pixel_and_sequences():
    images = jnp.arange(12, dtype=jnp.uint8).reshape(1, 2, 2, 3)
    drops = occlusion(lambda x: x.astype(jnp.float32).sum((1, 2)), images, CLASS_0, 1, 1, 1, engine="brute")
    np.testing.assert_allclose(drops[0], [[-1, 2], [5, 8]])
    one = jnp.full((1, 1, 1, 1), 3.0)
    np.testing.assert_allclose(occlusion(three_sums, one, CLASS_0, 1, 1, engine="brute"), [[[9.0]]])
    images = jnp.arange(10.0).reshape(1, 5, 2)
    drops = occlusion(lambda x: x.sum((1, 2))[:, None], images, CLASS_0, 2, 2, engine="brute")
    np.testing.assert_allclose(drops, [[6, 22, 30]])


def test_nan_in_one_image_does_not_spread(images):
    run = jax.jit(lambda x: occlusion(small_net, x, predicted, 4, 4, engine="brute"))
    drops = run(images.at[1, 0, 0, 0].set(jnp.nan))
    np.testing.assert_allclose(drops[jnp.array([0, 2])], run(images)[jnp.array([0, 2])], atol=1e-6)
    assert jnp.isnan(drops[1]).all()


def test_what_does_not_fit_is_refused(images):
    run = lambda *arguments, **options: occlusion(small_net, images, *arguments, **{"engine": "brute"} | options)
    with pytest.raises(ValueError, match="larger than the image"):
        run(predicted, 12, 4)
    with pytest.raises(ValueError, match=r"targets must be \(3,\)"):
        run(jnp.array([1]), 4, 4)
    with pytest.raises(ValueError, match=r"targets must lie in 0\.\.4, got 5"):
        run(jnp.array([1, 2, 5]), 4, 4)
    with pytest.raises(ValueError, match=r"targets must lie in 0\.\.4, got -1"):
        run(jnp.array([1, 2, -1]), 4, 4)
    with pytest.raises(ValueError, match="fill must be a number"):
        run(predicted, 4, 4, "white")
    with pytest.raises(ValueError, match="needs value_range"):
        run(predicted, 4, 4, "black")
    with pytest.raises(ValueError, match="fill must have one of the shapes"):
        run(predicted, 4, 4, jnp.zeros(2))
    with pytest.raises(ValueError, match="memory must be"):
        run(predicted, 4, 4, memory=0)
    with pytest.raises(ValueError, match="nothing of size 0"):
        occlusion(small_net, images[:0], predicted, 4, 4)
    with pytest.raises(ValueError, match="engine must be"):
        run(predicted, 4, 4, engine="magic")
    with pytest.raises(ValueError, match="tau bounds"):
        run(predicted, 4, 4, tau=0.5)
    with pytest.raises(ValueError, match="must give"):
        occlusion(lambda x: x.mean((1, 2, 3)), images, predicted, 4, 4, engine="brute")
