"""Gini index and entropy of maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxcam.attribution.judging.complexity import entropy, gini

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_case_26():
    """xplique: one of eight is .875, all alike 0."""
    maps = jnp.stack([jnp.eye(8)[3], jnp.full(8, 0.3)])
    np.testing.assert_allclose(jax.jit(gini)(maps), [0.875, 0], atol=1e-6)
    np.testing.assert_allclose(jax.jit(entropy)(maps), [0, 1], atol=1e-6)


def test_against_the_definitions():
    maps = np.random.default_rng(0).normal(size=(3, 5, 7)).astype(np.float32)
    sizes = np.abs(maps.reshape(3, -1)).astype(np.float64)
    differences = np.abs(sizes[:, :, None] - sizes[:, None]).mean((1, 2))
    np.testing.assert_allclose(jax.jit(gini)(jnp.asarray(maps)), differences / (2 * sizes.mean(1)), rtol=1e-5)
    nats = jax.jit(lambda m: entropy(m, normalised=False))(jnp.asarray(maps))
    np.testing.assert_allclose(nats, stats.entropy(sizes, axis=1), rtol=1e-5)


@pytest.mark.parametrize("measure", [gini, entropy])
def test_the_scale_plays_no_part_and_the_undefined_is_nan(measure):
    maps = jnp.asarray(np.random.default_rng(1).normal(size=(5, 6, 6)), jnp.float32)
    maps = jnp.stack([maps[0], maps[0] * 1e37, maps[0] * -1e-30, jnp.zeros((6, 6)), maps[4].at[0, 0].set(jnp.inf)])
    measure = jax.jit(measure)
    found = np.asarray(measure(maps))
    np.testing.assert_allclose(found[:3], found[0], rtol=1e-4)
    assert np.isnan(found[3:]).all()
    assert measure(jnp.ones((0, 4, 4))).shape == (0,)
    assert measure(jnp.ones((2, 1, 1))).tolist() == [0, 0]
    np.testing.assert_allclose(jax.vmap(lambda m: measure(m[None])[0])(maps), found, rtol=1e-5)
