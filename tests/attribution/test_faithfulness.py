"""Heat in a mask, and the contrast of maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam.attribution import contrast, heat_in_mask


def test_case_37_energy_in_a_box():
    """Quantus: attribution in rows 0 to 100, columns 75 to 100, mask rows 0 to 50, columns 50 to 100: half inside."""
    heat, mask = np.zeros((1, 224, 224), np.float32), np.zeros((1, 224, 224), bool)
    heat[0, 0:100, 75:100], mask[0, 0:50, 50:100] = 1, True
    np.testing.assert_allclose(heat_in_mask(jnp.asarray(heat), jnp.asarray(mask)), [0.5], rtol=1e-6)


def test_an_even_map_scores_the_area_and_negative_heat_does_not_count():
    mask = jnp.zeros((2, 20, 40), bool).at[:, :5].set(True)
    heat = jnp.ones((2, 4, 8)).at[1, 2:].set(-7.0)
    shares = jax.jit(heat_in_mask)(heat, mask)
    np.testing.assert_allclose(shares[0], 0.25, rtol=1e-6)
    assert shares[1] > 0.4


def test_a_map_without_heat_is_nan_and_does_not_disturb_the_others():
    shares = heat_in_mask(jnp.stack([jnp.zeros((2, 2)), jnp.ones((2, 2))]), jnp.ones((2, 4, 4), bool))
    assert np.isnan(shares[0])
    assert shares[1] == 1


def test_contrast_does_not_see_what_softmax_does_not_see():
    maps = jax.random.normal(jax.random.key(0), (3, 4, 5, 6))
    common = jax.random.normal(jax.random.key(1), (3, 1, 5, 6))
    targets = jnp.array([0, 3, 1])
    np.testing.assert_allclose(contrast(maps, targets), contrast(maps + common, targets), atol=1e-5)
    np.testing.assert_allclose(contrast(maps, targets)[1], maps[1, 3] - maps[1].mean(0), atol=1e-6)
    with pytest.raises(ValueError, match="targets must be"):
        contrast(maps, jnp.array([0]))
