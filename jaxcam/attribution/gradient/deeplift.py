"""DeepLIFT with the rescale rule, for any JAX function without loops.

The network runs on the images and on their baselines side by side. A step that is linear in what depends on the images
hands gradients on as usual. A nonlinearity hands on its slope between the two values, `(f(x) - f(r)) / (x - r)`, and
not its derivative, so that nothing is lost where it saturates.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import JaxprEqn
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxcam.attribution.gradient.flow import POSITION_WISE, PRODUCTS, Kind, active_operands, traced_back
from jaxcam.attribution.gradient.path import Decomposition, broadcast_baselines, decomposition
from jaxcam.attribution.gradient.samples import MEMORY, Function, logits_shape, mapped
from jaxcam.attribution.interpret import Atom, Program, apply, trace
from jaxcam.attribution.targets import Targets, chosen_scores
from jaxcam.errors import UserError

SMALLEST = 1e-10
MAXIMA = ("max", "reduce_max", "reduce_window_max")
MINIMA = ("min", "reduce_min", "reduce_window_min")
SORTING = ("sort", "top_k")


class Pair(NamedTuple):
    """A value for the images and for their baselines; `rate` is its derivative by the value it was made of."""

    here: Array
    there: Array
    rate: Array | None = None


def deep_lift(
    fn: Function,
    images: Float[Array, "n *shape"],
    targets: Targets,
    *,
    baselines: ArrayLike,
    memory: int = MEMORY,
) -> Decomposition:
    """DeepLIFT, rescale rule: multipliers between an image and its baseline, times the distance.

    Source: Shrikumar et al., "Learning Important Features Through Propagating Activation Differences" (2017). The rule
    for maxima is captum's: what a maximum rises goes to the image's largest value, what it falls to the baseline's.
    Products of two values that both depend on the images are shared by the midpoint, other functions of two values by
    the mean of both orders; both are exact. The attributions add up to `fn(image) - fn(baseline)` at the target;
    `error` says by how much they miss it (rounding, or a choice between branches that differs between the two). A
    function of the logits as target is a step like any other, so differences and probabilities add up too. `baselines`
    as in `integrated_gradients`.

    Returns signed float32 attributions (n, h, w, c), or (n, t, h, w, c) for t targets. A function with a loop or a sort
    over values that depend on the images is refused with a `UserError`. `memory` (bytes) bounds how many targets go
    back together.

    Cost: 2 forwards, and 1 backward for each target.

    >>> fn = lambda x: jnp.minimum(x.sum((1, 2, 3)), 1.0)[:, None]
    >>> found = deep_lift(fn, jnp.full((1, 1, 1, 1), 4.0), jnp.array([0]), baselines=0.0)
    >>> found.attributions.item(), found.error.item()
    (1.0, 0.0)
    """
    logits = logits_shape(fn, images)
    starts = broadcast_baselines(baselines, images).astype(images.dtype)
    program, _ = trace(lambda x: chosen_scores(fn(x), targets), images, open_custom=lambda body: True)
    (after, before), pullback = jax.vjp(lambda x: _evaluated(program, x, starts), images)
    choices = jnp.broadcast_to(jnp.eye(after.shape[1])[:, None], (after.shape[1], *after.shape))

    def attributed(row):
        choice, difference = row
        (multipliers,) = pullback((choice, jnp.zeros_like(choice)))
        found = multipliers.astype(jnp.float32) * (images.astype(jnp.float32) - starts.astype(jnp.float32))
        # Maxima and ReLUs would make zeros of a score that is NaN.
        unknown = jnp.isnan(difference).reshape(-1, *[1] * (images.ndim - 1))
        return jnp.where(unknown, jnp.nan, found)

    at_once = max(1, memory // max(1, 4 * program.bytes))
    expected = after - before
    return decomposition(mapped(attributed, (choices, expected.T), at_once), expected, targets, logits)


def _evaluated(program: Program, images: Array, baselines: Array) -> tuple[Array, Array]:
    """The program's output for the images and for the baselines; the first has multipliers for derivatives."""
    kind, roots = traced_back(program)
    refused = sorted({o.primitive.name for o in program.operations if not _is_known(o, kind[o])})
    if refused:
        raise UserError(f"DeepLIFT has no rule for {', '.join(refused)} of values that depend on the images")
    held: dict[Atom, Pair] = {program.inputs[0]: Pair(images, jax.lax.stop_gradient(baselines))}
    wanted = set(roots.values())

    def rule(operation, values):
        if kind[operation] is Kind.CONSTANT:
            return None
        operands = active_operands(program, operation)
        here = [value.here if isinstance(value, Pair) else value for value in values]
        there = [value.there if isinstance(value, Pair) else value for value in values]
        name = operation.primitive.name
        if kind[operation] is Kind.ACTIVATION:
            root = held[roots[operation.outvars[0]]]
            return [_slope(operation, root, values, here, there)]
        after = [jax.lax.stop_gradient(result) for result in apply(operation, there)]
        if name in (*MAXIMA, *MINIMA) and kind[operation] is Kind.ROUTE:
            step = _extreme(operation, operands, name in MAXIMA)
        elif kind[operation] is Kind.OTHER:
            step = _midpoint(operation, operands) if name in ("mul", *PRODUCTS) else _both_orders(operation, operands)
        else:
            step = lambda here, there: apply(operation, here)
        results = [Pair(*pair) for pair in zip(step(here, there), after, strict=True)]
        held.update({v: result for v, result in zip(operation.outvars, results, strict=True) if v in wanted})
        return results

    (output,) = program.evaluate(held[program.inputs[0]], rule=rule)
    return output.here, output.there


def _is_known(operation: JaxprEqn, kind: Kind) -> bool:
    name = operation.primitive.name
    if kind is Kind.OTHER:
        return name in PRODUCTS or (name in POSITION_WISE and len(operation.invars) == 2)
    return kind is Kind.CONSTANT or name not in SORTING


def _slope(operation: JaxprEqn, root: Pair, values: list[Any], here: list[Any], there: list[Any]) -> Pair:
    """A nonlinearity's result, whose derivative by its root is the slope from the baseline's value to the image's."""
    fixed = [jax.lax.stop_gradient(value) for value in here]
    (after,) = apply(operation, [jax.lax.stop_gradient(value) for value in there])
    if not _is_float(after):
        return Pair(apply(operation, fixed)[0], after)
    moving = [i for i, value in enumerate(values) if isinstance(value, Pair) and _is_float(value.here)]
    if not moving or not _is_float(root.here):
        return Pair(apply(operation, fixed)[0], after)
    rates = [jnp.ones_like(fixed[i]) if values[i].rate is None else values[i].rate for i in moving]
    result, rate = jax.jvp(
        lambda *given: apply(operation, _placed(fixed, moving, given))[0], [fixed[i] for i in moving], rates
    )
    distance = root.here - root.there
    near = _near(root.here, root.there)
    # Near each other, the slope would be rounding noise; ReLUs have no bend between values of one sign.
    slope = jnp.where(
        near, rate.astype(distance.dtype), (result - after).astype(distance.dtype) / _safe(distance, near)
    )
    return Pair(_scaled(root.here, result, jax.lax.stop_gradient(slope)), after, jax.lax.stop_gradient(rate))


@jax.custom_vjp
def _scaled(root, result, slope):
    return result


_scaled.defvjp(
    lambda root, result, slope: (result, slope),
    lambda slope, g: (g.astype(slope.dtype) * slope, None, None),
)


def _extreme(operation: JaxprEqn, operands: list[int], largest: bool) -> Callable[..., list[Any]]:
    """A maximum or minimum: its change goes to where the more extreme of the two results stands."""

    def step(here, there):
        starts = [there[i] for i in operands]

        def backward(given, g):
            at = lambda values: lambda *moved: apply(operation, _placed(values, operands, moved))[0]
            result, pull_here = jax.vjp(at(here), *given)
            before, pull_there = jax.vjp(at(there), *starts)
            extreme = jnp.maximum(result, before) if largest else jnp.minimum(result, before)
            shares = zip(pull_here(g * (extreme - before)), pull_there(g * (result - extreme)), strict=True)
            plain = pull_here(g)
            found = []
            for (own, other), derivative, x, r in zip(shares, plain, given, starts, strict=True):
                equal = jnp.abs(x - r) < SMALLEST
                found.append(jnp.where(equal, derivative, (own + other) / _safe(x - r, equal)))
            return found

        return [_custom(operation, here, operands, backward)]

    return step


def _midpoint(operation: JaxprEqn, operands: list[int]) -> Callable[..., list[Any]]:
    """A product of two values: exact with each one's gradient taken at the midpoint of the other."""

    def step(here, there):
        def backward(given, g):
            middle = [(x + there[i]) / 2 for x, i in zip(given, operands, strict=True)]
            _, pullback = jax.vjp(lambda *moved: apply(operation, _placed(here, operands, moved))[0], *middle)
            return pullback(g)

        return [_custom(operation, here, operands, backward)]

    return step


def _both_orders(operation: JaxprEqn, operands: list[int]) -> Callable[..., list[Any]]:
    """A function of two values, position by position: each one's change, averaged over both orders of changing them."""

    def step(here, there):
        def backward(given, g):
            a, b = given
            r, s = (there[i] for i in operands)
            at = lambda *moved: apply(operation, _placed(here, operands, moved))[0]
            first = (at(a, b) - at(r, b) + at(a, s) - at(r, s)) / 2
            second = (at(a, b) - at(a, s) + at(r, b) - at(r, s)) / 2
            _, pullback = jax.vjp(at, a, b)
            found = []
            for change, derivative, x, start in zip((first, second), pullback(g), (a, b), (r, s), strict=True):
                near = _near(x, start)
                wide = jnp.broadcast_to(_safe(x - start, near), change.shape)
                _, narrow = jax.vjp(lambda v, shape=change.shape: jnp.broadcast_to(v, shape), x)
                found.append(jnp.where(near, derivative, narrow(g * change / wide)[0]))
            return found

        return [_custom(operation, here, operands, backward)]

    return step


def _custom(operation: JaxprEqn, values: list[Any], operands: list[int], backward: Callable[..., Any]) -> Array:
    """The operation's result, with `backward` (operands, gradient) for the gradients of its operands."""

    @jax.custom_vjp
    def output(*given):
        return apply(operation, _placed(values, operands, given))[0]

    output.defvjp(lambda *given: (output(*given), given), lambda given, g: tuple(backward(given, g)))
    return output(*(values[i] for i in operands))


def _placed(values: list[Any], positions: list[int], given: Sequence[Any]) -> list[Any]:
    """`values` with those at `positions` replaced."""
    replaced = dict(zip(positions, given, strict=True))
    return [replaced.get(i, value) for i, value in enumerate(values)]


def _near(x: Array, r: Array) -> Array:
    """Whether two values are too close for their difference to mean anything in their precision."""
    return jnp.abs(x - r) <= SMALLEST + 8 * jnp.finfo(x.dtype).eps * (jnp.abs(x) + jnp.abs(r))


def _safe(difference: Array, near: Array) -> Array:
    """A divisor without zeros."""
    return jnp.where(near, jnp.ones((), difference.dtype), difference)


def _is_float(value: Any) -> bool:
    return jnp.issubdtype(jnp.asarray(value).dtype, jnp.floating)
