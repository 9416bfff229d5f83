"""RISE and Score-CAM against their definitions and numbers of other tools, in all forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_network import CLASS_0, IMAGE, after_relu, relu1
from test_occlusion import forms

from jaxcam.attribution.perturbation.masks import mixed, random_mask, rise, score_cam
from jaxcam.attribution.targets import every_class

KEY = jax.random.key(0)


def patch_sums(images):
    """Two classes: the sum of the upper left quarter, and minus that of the lower right one."""
    h, w = images.shape[1] // 2, images.shape[2] // 2
    return jnp.stack([images[:, :h, :w].sum((1, 2, 3)), -images[:, h:, w:].sum((1, 2, 3))], axis=1)


def test_a_mask_is_a_grid_enlarged_and_shifted_as_in_the_published_code():
    """Petsiuk et al. enlarge with skimage.transform.resize, to a cell more than the image, and crop."""
    from skimage.transform import resize

    size, cells = (10, 15), (4, 3)
    for seed in range(4):
        key = jax.random.key(seed)
        mask = np.asarray(random_mask(key, cells=cells, size=size, keep=0.5))
        grid_key = jax.random.split(key)[0]
        grid = np.asarray(jax.random.bernoulli(grid_key, 0.5, cells), np.float64)
        cell = (3, 5)
        large = resize(grid, (5 * 3, 4 * 5), order=1, mode="reflect", anti_aliasing=False)
        crops = [large[y : y + 10, x : x + 15] for y in range(cell[0]) for x in range(cell[1])]
        assert min(np.abs(mask - crop).max() for crop in crops) < 1e-5


def test_rise_is_the_mean_of_masks_weighted_by_scores():
    images = jax.random.uniform(jax.random.key(1), (2, 9, 12, 3))
    names = ("covariance",)

    @jax.jit
    def every(images):
        run = lambda name, memory: rise(
            patch_sums, images, every_class, key=KEY, masks=37, cells=(3, 4), keep=0.4, normalise=name, memory=memory
        )
        return {name: run(name, 2**30) for name in names} | {"keep": run("keep", 20_000)}

    ours = every(images)
    keys = jax.random.split(KEY, 37)
    masks = np.stack([random_mask(key, cells=(3, 4), size=(9, 12), keep=0.4) for key in keys])
    scores = np.stack([patch_sums(jnp.asarray(mask)[None, :, :, None] * images) for mask in masks])
    seen = np.einsum("mnt,mhw->nthw", scores, masks) / 37
    close = lambda name, expected: np.testing.assert_allclose(ours[name], expected, rtol=2e-4, atol=2e-4)
    close("keep", seen / 0.4)
    close("covariance", (seen - scores.mean(0)[..., None, None] * masks.mean(0)) / (0.4 * 0.6))


def test_rise_finds_the_quarters_that_count_with_their_sign():
    images = jnp.ones((1, 8, 8, 3))
    run = lambda images, targets: rise(
        patch_sums, images, targets, key=KEY, masks=300, cells=4, normalise="covariance", memory=2**20
    )
    for maps in forms(run, images, jnp.array([[0, 1]])):
        assert maps.shape == (1, 2, 8, 8)
        assert maps[0, 0, :3, :3].min() > 5 * np.abs(maps[0, 0, 5:, 5:]).max()
        assert maps[0, 1, 5:, 5:].max() < -5 * np.abs(maps[0, 1, :3, :3]).max()


def test_masks_do_not_depend_on_the_neighbours_and_fill_shows_behind_them():
    images = jax.random.uniform(jax.random.key(1), (3, 8, 8, 3))
    run = jax.jit(lambda x, key: rise(patch_sums, x, CLASS_0.repeat(len(x)), key=key, masks=16, fill=0.5))
    together = run(images, KEY)
    np.testing.assert_allclose(run(images.at[0].set(7), KEY)[1:], together[1:], rtol=1e-5)
    assert np.abs(np.asarray(run(images, jax.random.key(9)) - together)).max() > 0.1
    half = mixed(jnp.ones((1, 1, 1, 1)), jnp.full((1, 1, 1, 1), 0.25), jnp.array(3.0))
    assert half.item() == 0.25 + 0.75 * 3


def test_case_43_score_cam_on_captums_model():
    def method(images, targets):
        return score_cam(lambda x: after_relu(relu1(x)), images, relu1(images), targets)

    for maps in forms(method, IMAGE, CLASS_0):
        np.testing.assert_allclose(maps[0], [[0, 4], [31, 40]], rtol=1e-5)


def test_score_cam_by_its_definition():
    images = jax.random.normal(jax.random.key(1), (2, 6, 9, 3))
    activations = jax.random.normal(jax.random.key(2), (2, 3, 4, 5)).at[1, :, :, 2].set(0)
    fn = lambda x: 0.1 * patch_sums(x)

    @jax.jit
    def maps(images, activations):
        run = lambda **options: score_cam(fn, images, activations, every_class, **options)
        return run(relu=False), run(), run(relu=False, memory=1), run(corners=False, relu=False)

    signed, positive, chunks, halves = maps(images, activations)
    large = jax.image.resize(activations, (2, 6, 9, 5), "linear")
    for ours, corners in ((signed, True), (halves, False)):
        expected = np.zeros(ours.shape)
        for i in range(2):
            scores = []
            for channel in range(5):
                mask = np.asarray(large[i, ..., channel]) if not corners else cornered(activations[i, ..., channel])
                mask = (mask - mask.min()) / (mask.max() - mask.min() + 1e-8)
                scores.append(fn(images[i : i + 1] * jnp.asarray(mask, jnp.float32)[None, :, :, None])[0])
            weights = jax.nn.softmax(jnp.stack(scores), axis=0)
            expected[i] = np.einsum("hwc,ct->thw", activations[i], weights)
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(positive, np.maximum(signed, 0))
    np.testing.assert_allclose(chunks, signed, rtol=1e-4, atol=1e-6)


def cornered(values):
    """Enlarged with corners on corners, to 6x9."""
    from scipy.ndimage import zoom

    return zoom(np.asarray(values, np.float64), (2, 9 / 4), order=1, grid_mode=False)


def test_what_does_not_fit_is_refused():
    images = jnp.ones((2, 4, 4, 1))
    fn = lambda x: x.sum((1, 2))
    with pytest.raises(ValueError, match="need masks and cells"):
        rise(fn, images, every_class, key=KEY, masks=0)
    with pytest.raises(ValueError, match="normalise must be"):
        rise(fn, images, every_class, key=KEY, normalise="max")
    with pytest.raises(ValueError, match="hides nothing"):
        rise(fn, images, every_class, key=KEY, keep=1, normalise="covariance")
    with pytest.raises(ValueError, match=r"targets must be \(2,\)"):
        rise(fn, images, CLASS_0, key=KEY)
    with pytest.raises(ValueError, match=r"activations must be \(2, rows"):
        score_cam(fn, images, jnp.ones((1, 2, 2, 3)), every_class)
