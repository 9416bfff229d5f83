"""How much of a map matters: one spot, or everything alike? Needs neither the network nor a mask.

Maps are (n, h, w) or any (n, ...); only the size of the values counts, not their sign. The numbers depend on the
resolution, so that maps are compared after enlarging them to one size. NaN for a map that is zero or not finite.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from jaxcam.attribution.judging.ranking import flat


def gini(maps: Float[Array, "n ..."]) -> Float32[Array, " n"]:
    """Gini index of the values' sizes, 0 (all alike) to 1 - 1/p (one of p positions); Chalasani et al., 2020.

    Larger is sparser, which is easier to read and no proof of anything.

    >>> gini(jnp.eye(8)[:1]).item()
    0.875
    """
    sizes, defined = _sizes(maps)
    count = sizes.shape[1]
    ordered = jnp.sort(sizes, axis=1)
    weights = jnp.asarray((2 * np.arange(1, count + 1) - count - 1) / max(count, 1), jnp.float32)
    return jnp.where(defined, (ordered * weights).sum(1), jnp.nan)


def entropy(maps: Float[Array, "n ..."], *, normalised: bool = True) -> Float32[Array, " n"]:
    """Entropy of the values' shares (complexity of Bhatt et al., 2020); smaller is simpler.

    In nats, 0 to log(p) for p positions; `normalised` divides by log(p), so that 0 is one position and 1 all alike.
    """
    sizes, defined = _sizes(maps)
    logs = jnp.log(jnp.where(sizes > 0, sizes, 1))
    scale = np.log(max(sizes.shape[1], 2)) if normalised else 1.0
    return jnp.where(defined, jnp.abs((sizes * logs).sum(1)) / scale, jnp.nan)


def _sizes(maps: Float[Array, "n ..."]) -> tuple[Float32[Array, "n p"], Array]:
    """The values' sizes, adding up to one, and whether they do."""
    sizes = jnp.abs(flat(maps).astype(jnp.float32))
    largest = sizes.max(1, keepdims=True, initial=0.0)
    defined = jnp.isfinite(sizes).all(1) & (largest[:, 0] > 0)
    # By the largest first: sums of large values must not overflow.
    sizes = jnp.where(defined[:, None], sizes / jnp.where(defined[:, None], largest, 1), 1)
    return sizes / sizes.sum(1, keepdims=True), defined
