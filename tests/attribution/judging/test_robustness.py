"""Infidelity and sensitivity: cases by hand, and captum's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam import devices
from jaxcam.attribution.judging.robustness import gaussian, infidelity, max_sensitivity, squares

pytestmark = pytest.mark.usefixtures("quick_compilation")

RANDOM = np.random.default_rng(0)
IMAGES = jnp.asarray(RANDOM.normal(size=(4, 6, 8, 2)), jnp.float32)
WEIGHTS = jnp.asarray(RANDOM.normal(size=(6, 8, 2, 3)), jnp.float32)
TARGETS = jnp.array([0, 1, 2, 1])
KEY = jax.random.key(0)


def fn(images):
    return jnp.einsum("nhwc,hwck->nk", images.astype(jnp.float32), WEIGHTS)


CHOSEN = jnp.moveaxis(WEIGHTS, -1, 0)[TARGETS]


def test_a_linear_functions_own_attributions_foretell_every_drop():
    options = {"key": KEY, "samples": 6}

    @jax.jit
    def judge(maps, gradients):
        scales = {
            scale: infidelity(fn, IMAGES, maps, TARGETS, perturb=squares((3, 2)), scale=scale, **options)
            for scale in ("none", "best", "share")
        }
        return scales, infidelity(fn, IMAGES, gradients, TARGETS, perturb=gaussian(0.3), **options)

    worth = (CHOSEN * IMAGES).sum(-1)
    right, noise = judge(worth, CHOSEN)
    np.testing.assert_allclose(noise, 0, atol=1e-8)
    wrong, _ = judge(-worth, CHOSEN)
    nothing, _ = judge(jnp.zeros_like(worth), CHOSEN)
    for scale in right:
        np.testing.assert_allclose(right[scale], 0, atol=1e-8)
        # The best factor is -1.
        assert (wrong[scale] > 0.01).all() if scale == "none" else (np.abs(wrong[scale]) < 1e-6).all()
    np.testing.assert_allclose(nothing["share"], 1.0)


def test_share_is_what_no_factor_explains():
    worth = (CHOSEN * IMAGES).sum(-1)
    other = jax.random.normal(jax.random.key(1), worth.shape)
    judge = jax.jit(
        lambda maps: infidelity(fn, IMAGES, maps, TARGETS, key=KEY, perturb=squares((3, 3)), samples=30, scale="share")
    )
    found = np.asarray(judge(worth + other))
    assert ((found > 0.01) & (found < 1)).all()
    np.testing.assert_allclose(judge(7.0 * (worth + other)), found, rtol=1e-4)
    split = judge(devices.shard(np.asarray(worth + other)))
    np.testing.assert_allclose(split, found, rtol=1e-4)


def test_squares_hide_one_rectangle_inside_the_image():
    hidden, changed = jax.jit(jax.vmap(squares((3, 4), 9.0), in_axes=(0, None)))(jax.random.split(KEY, 50), IMAGES[0])
    assert (hidden.sum((1, 2)) == 12).all()
    assert (np.asarray(changed == 9.0).all(-1) == np.asarray(hidden > 0)).all()
    assert len(np.unique(np.asarray(hidden), axis=0)) > 10
    whole, changed = squares((99, 99), "mean")(KEY, IMAGES[0])
    assert (whole == 1).all()
    np.testing.assert_allclose(changed, jnp.broadcast_to(IMAGES[0].mean((0, 1)), changed.shape), rtol=1e-5)


def test_sensitivity_by_hand():
    """A map that is the image changes by as much as the image does; one that is constant does not change."""
    images = jnp.concatenate([IMAGES, jnp.zeros((1, 6, 8, 2))])
    same = jax.jit(lambda x: max_sensitivity(lambda y: y, x, key=KEY, radius=0.1, samples=8))(images)
    norms = np.linalg.norm(np.asarray(IMAGES).reshape(4, -1), axis=1)
    assert (np.asarray(same[:4]) <= 0.1 * np.sqrt(96) / norms).all()
    assert (np.asarray(same[:4]) > 0.5 * 0.1 * np.sqrt(96) / norms).all()
    assert np.isnan(same[4])
    constant = jax.jit(lambda x: max_sensitivity(lambda y: jnp.ones((y.shape[0], 2, 2)), x, key=KEY, samples=2))(IMAGES)
    np.testing.assert_array_equal(constant, 0)
    one = jax.vmap(lambda x: max_sensitivity(lambda y: y, x[None], key=KEY, radius=0.1, samples=8)[0])
    np.testing.assert_allclose(jax.jit(one)(IMAGES), same[:4], rtol=1e-5)


def test_mistakes_are_told():
    for wrong, words in (
        ({"samples": 0}, "samples must be at least 1"),
        ({"attributions": jnp.ones((4, 6, 8, 3))}, "attributions must be"),
        ({"perturb": gaussian(1.0), "attributions": jnp.ones((4, 6, 8))}, "cannot be multiplied"),
    ):
        values = {"attributions": CHOSEN, "perturb": squares((2, 2)), "samples": 2} | wrong
        with pytest.raises(ValueError, match=words):
            infidelity(fn, IMAGES, values.pop("attributions"), TARGETS, key=KEY, **values)
    with pytest.raises(ValueError, match="radius above 0"):
        max_sensitivity(lambda y: y, IMAGES, key=KEY, radius=0.0)
