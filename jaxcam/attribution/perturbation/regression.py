"""Small weighted linear regressions, many at once, on the device."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

SWEEPS = 1000
"""coordinate descent stops at the latest after so many passes over the coefficients"""


def normal_equations(
    design: Float[Array, "m s"], weights: Float[Array, " m"], values: Float[Array, "t m"]
) -> tuple[Float32[Array, "s s"], Float32[Array, "s t"], Float32[Array, " s"], Float32[Array, " t"]]:
    """Gram matrix and right sides of weighted least squares with an intercept, and both weighted means."""
    total = weights.sum()
    mean = jnp.einsum("m,ms->s", weights, design, precision="highest") / total
    level = jnp.einsum("m,tm->t", weights, values, precision="highest") / total
    centred, rest = design - mean, values - level[:, None]
    gram = jnp.einsum("mi,m,mj->ij", centred, weights, centred, precision="highest")
    right = jnp.einsum("mi,m,tm->it", centred, weights, rest, precision="highest")
    return gram, right, mean, level


def ridge(
    design: Float[Array, "m s"], weights: Float[Array, " m"], values: Float[Array, "t m"], alpha: float
) -> tuple[Float32[Array, "t s"], Float32[Array, " t"]]:
    """Coefficients and intercepts that minimise sum w (y - b0 - x b)^2 + alpha |b|^2 (scikit-learn's `Ridge`)."""
    gram, right, mean, level = normal_equations(design, weights, values)
    size = gram.shape[0]
    factor = jax.scipy.linalg.cho_factor(gram + alpha * jnp.eye(size))
    coefficients = jax.scipy.linalg.cho_solve(factor, right).T
    return coefficients, level - jnp.einsum("ts,s->t", coefficients, mean, precision="highest")


def lasso(
    design: Float[Array, "m s"], weights: Float[Array, " m"], values: Float[Array, "t m"], alpha: float
) -> tuple[Float32[Array, "t s"], Float32[Array, " t"]]:
    """Coefficients and intercepts that minimise sum w (y - b0 - x b)^2 / (2 sum w) + alpha |b| (as in scikit-learn).

    Cyclic coordinate descent on the Gram matrix (Friedman et al., 2010), until no coefficient moves by more than a
    millionth of the largest.
    """
    gram, right, mean, level = normal_equations(design, weights, values)
    gram, right = gram / weights.sum(), right / weights.sum()
    scale = jnp.diag(gram)
    usable = ~(scale <= 0)  # NaN goes on, so that a spoilt image does not look like one without evidence

    def one(side):
        def update(i, coefficients):
            free = side[i] - gram[i] @ coefficients + scale[i] * coefficients[i]
            shrunk = jnp.sign(free) * jax.nn.relu(jnp.abs(free) - alpha)
            return coefficients.at[i].set(jnp.where(usable[i], shrunk / jnp.where(usable[i], scale[i], 1), 0))

        def sweep(state):
            coefficients, _, sweeps = state
            new = jax.lax.fori_loop(0, side.shape[0], update, coefficients)
            moved = jnp.abs(new - coefficients).max() > 1e-6 * jnp.abs(new).max()
            return new, moved, sweeps + 1

        start = (jnp.zeros_like(side), jnp.array(True), jnp.array(0))
        return jax.lax.while_loop(lambda state: state[1] & (state[2] < SWEEPS), sweep, start)[0]

    coefficients = jax.vmap(one, in_axes=1)(right)
    return coefficients, level - jnp.einsum("ts,s->t", coefficients, mean, precision="highest")


def constrained(
    design: Float[Array, "m s"],
    weights: Float[Array, " m"],
    values: Float[Array, "t m"],
    used: Float[Array, " s"],
    total: Float[Array, " t"],
) -> Float32[Array, "t s"]:
    """Coefficients without intercept that minimise sum w (y - x b)^2 and sum to `total`; 0 where `used` is 0."""
    design = design * used
    gram = jnp.einsum("mi,m,mj->ij", design, weights, design, precision="highest")
    # An unused column becomes a row of the identity: its coefficient is 0, and the others do not see it. A millionth
    # keeps too few samples from dividing by zero; it is far below their own noise.
    gram = gram + jnp.diag(1 - used) + 1e-6 * jnp.trace(gram) / used.sum() * jnp.eye(len(used))
    right = jnp.einsum("mi,m,tm->it", design, weights, values, precision="highest")
    solved = jnp.linalg.solve(gram, jnp.concatenate([right, used[:, None]], axis=1))
    free, ones = solved[:, :-1], solved[:, -1]
    excess = (jnp.einsum("s,st->t", used, free, precision="highest") - total) / (ones @ used)
    return (free - ones[:, None] * excess).T * used


def explained(
    design: Float[Array, "m s"],
    weights: Float[Array, " m"],
    values: Float[Array, "t m"],
    coefficients: Float[Array, "t s"],
    intercepts: Float[Array, " t"],
) -> Float32[Array, " t"]:
    """Weighted R^2: the share of the values' variance that the linear model explains; NaN where there is none."""
    model = jnp.einsum("ms,ts->tm", design, coefficients, precision="highest") + intercepts[:, None]
    level = (values * weights).sum(1, keepdims=True) / weights.sum()
    rest, spread = (((values - part) ** 2 * weights).sum(1) for part in (model, level))
    return jnp.where(spread > 0, 1 - rest / jnp.where(spread > 0, spread, 1), jnp.nan)


def rank_correlation(first: Float[Array, "... s"], second: Float[Array, "... s"]) -> Float32[Array, "..."]:
    """Spearman's rank correlation along the last axis; ties get their mean rank, and NaN comes of a constant."""

    def ranks(values):
        below = (values[..., :, None] > values[..., None, :]).sum(-1)
        equal = (values[..., :, None] == values[..., None, :]).sum(-1)
        places = below.astype(jnp.float32) + (equal.astype(jnp.float32) - 1) / 2
        return places - places.mean(-1, keepdims=True)

    a, b = ranks(first), ranks(second)
    spread = jnp.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    return jnp.where(spread > 0, (a * b).sum(-1) / jnp.where(spread > 0, spread, 1), jnp.nan)
