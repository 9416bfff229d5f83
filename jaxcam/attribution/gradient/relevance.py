"""Layer-wise relevance propagation (LRP): the score, handed back layer by layer until it lies on the input values.

It works on any JAX function built of convolutions, matrix products, batch norm by constants, pools, residual sums and
position-wise nonlinearities. Rules are those of `relevance_rules`, or any function of the same form.

How the steps of a network are treated: a convolution or matrix product and the constants added and multiplied right
behind it (bias, batch norm) are one layer, and a rule shares its relevance. Nonlinearities, and shifts and scales that
stand alone, pass it on unchanged. A sum shares it in proportion to its terms; a maximum gives it to the largest (equal
ones share it). Products of two computed values (gates, attention) and loops have no rule and are refused.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import JaxprEqn
from jaxtyping import Array, Float, Float32

from jaxcam.attribution.gradient.flow import Kind, active_operands, kinds, non_negative
from jaxcam.attribution.gradient.layers import Layer, in_float32, weighted_layers, wide
from jaxcam.attribution.gradient.relevance_rules import Composite, Inputs, Rule, shares
from jaxcam.attribution.gradient.samples import MEMORY, Function, arranged, logits_shape, mapped
from jaxcam.attribution.interpret import Program, apply, trace
from jaxcam.attribution.targets import Targets, score_directions
from jaxcam.errors import UserError
from jaxcam.networks.chain import Chain, Params

EPSILON_PLUS = Composite()
"""the default: epsilon in dense layers, z+ in convolutions"""


class Relevance(NamedTuple):
    """Relevance of every input value, and what became of the score on the way."""

    attributions: Float32[Array, "n *more"]
    """signed relevance of every input value: (n, h, w, c), or (n, t, h, w, c) for t targets"""
    expected: Float32[Array, "n *t"]
    """the score that was handed back: (n,), or (n, t)"""
    error: Float32[Array, "n *t"]
    """sum of the relevance minus `expected`: what biases and stabilisers took"""
    stages: dict[str, Float32[Array, "n *t"]]
    """by stage, the sum of the relevance at its output; equal numbers mean conservation"""


def relevance(
    fn: Function,
    images: Float[Array, "n *shape"],
    targets: Targets,
    *,
    rules: Composite | Rule = EPSILON_PLUS,
    stages: Mapping[str, Rule] | None = None,
    memory: int = MEMORY,
) -> Relevance:
    """Layer-wise relevance propagation through any function of the kind described above.

    Source: Bach et al., "On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance
    Propagation" (2015); the default, epsilon in dense layers and z+ in convolutions, is a composite of Montavon et al.,
    "Layer-Wise Relevance Propagation: An Overview" (2019). `rules` is a `Composite`, or one rule for all layers;
    `stages` gives the layers of single stages another. Stages are named by `jax.ad_checkpoint.checkpoint_name` at their
    output; `named_stages(chain, params)` is a chain's function with its stages named.

    Returns the relevance of every input value, signed, float32, (n, h, w, c), or (n, t, h, w, c) for t targets; the
    score that was handed back; the error; and the sums by stage. For a function of the logits (a difference) every
    logit starts with its value times the function's derivative. A network with an operation that has no rule is refused
    with a `UserError` that names it. `memory` (bytes) bounds how many targets go back together.

    Cost: 1 forward, and for each target 1 backward with epsilon; z+ takes 1 forward more, gamma and alpha-beta 2 to 4
    (more where a layer's input has both signs).

    >>> from jaxcam.attribution.gradient.relevance_rules import Epsilon
    >>> fn = lambda x: jax.nn.relu(x.reshape(1, -1) @ jnp.array([[1.0, -2.0], [3.0, 1.0]])) @ jnp.array([[1.0], [1.0]])
    >>> found = relevance(fn, jnp.array([[[[1.0], [2.0]]]]), jnp.array([0]), rules=Epsilon(0.0))
    >>> found.attributions.reshape(-1).tolist(), found.expected.tolist(), found.error.tolist()
    ([1.0, 6.0], [7.0], [0.0])
    """
    logits = logits_shape(fn, images)
    program, _ = trace(fn, images, open_custom=lambda body: True)
    replaced = propagating(program, rules, dict(stages or {}))
    names = stage_names(program)
    probes = {name: jnp.zeros(images.shape[0]) for name in names}
    values, pullback = jax.vjp(replaced, images, probes)
    scores, directions = score_directions(values, targets)
    start = directions * values

    def handed_back(row):
        score, relevance = row
        at_input, at_stages = pullback(relevance.astype(values.dtype))
        # A score that is NaN has no relevance; ReLUs and maxima would make zeros of it.
        unknown = jnp.isnan(score).reshape(-1, *[1] * (images.ndim - 1))
        return jnp.where(unknown, jnp.nan, at_input.astype(jnp.float32)), at_stages

    at_once = max(1, memory // max(1, 2 * program.bytes))
    found, sums = mapped(handed_back, (scores.T, start), at_once)
    expected = start.astype(jnp.float32).sum(-1)
    error = found.sum(tuple(range(2, found.ndim))) - expected
    back = lambda value: arranged(value, targets, logits)
    return Relevance(back(found), back(expected), back(error), {name: back(sums[name]) for name in names})


def named_stages(chain: Chain, params: Params) -> Function:
    """A chain's function, with every stage's output named as the stage is."""

    def fn(x):
        for before, name in zip((None, *chain.names[:-1]), chain.names, strict=True):
            x = checkpoint_name(chain.apply(params, x, start=before, stop=name), name)
        return x

    return fn


def stage_names(program: Program) -> list[str]:
    """The names given in a program to values that depend on its inputs, in order, each once."""
    named = [operation for operation in program.operations if operation.primitive.name == "name"]
    return list(dict.fromkeys(o.params["name"] for o in named if active_operands(program, o)))


def propagating(program: Program, rules: Composite | Rule, stages: Mapping[str, Rule]) -> Callable[..., Any]:
    """`(images, probes) -> outputs`, with a backward pass that hands back relevance instead of gradients.

    The cotangent of a stage's probe (n,) is the sum of the relevance at that stage's output.
    """
    unknown = sorted(set(stages) - set(stage_names(program)))
    if unknown:
        raise UserError(
            f"no stage is named {', '.join(unknown)}; there are: {', '.join(stage_names(program)) or 'none'}"
        )
    kind, positive = kinds(program), non_negative(program)
    _refuse_others(program, kind)
    layers = {operation: layer for layer in weighted_layers(program, kind) for operation in layer.operations}

    def replaced(images, probes):
        held: dict[Layer, list[Any]] = {}

        def rule(operation, values):
            if operation in layers:
                layer = layers[operation]
                held.setdefault(layer, []).append(values)
                if operation is not layer.operations[-1]:
                    return [None]
                chosen = stages.get(layer.stage, rules)
                chosen = chosen.rule(layer) if isinstance(chosen, Composite) else chosen
                return [_layer(layer, held.pop(layer), chosen, layer.input in positive)]
            operands = active_operands(program, operation)
            if operation.primitive.name == "name" and operands:
                return [_probed(values[0], probes[operation.params["name"]])]
            if kind[operation] is Kind.ACTIVATION:
                return _activation(operation, values, operands)
            return _sum(operation, values, operands) if kind[operation] is Kind.SUM else None

        (output,) = program.evaluate(images, rule=rule)
        return output

    return replaced


def _refuse_others(program: Program, kind: dict[JaxprEqn, Kind]) -> None:
    others = sorted({o.primitive.name for o in program.operations if kind[o] is Kind.OTHER})
    if others:
        raise UserError(
            f"relevance has no rule for {', '.join(others)} of values that depend on the images; "
            "explain logits, not probabilities, and a network without attention, gates or loops"
        )


def _layer(layer: Layer, values: list[list[Any]], rule: Rule, positive: bool) -> Array:
    """The layer's output, with the rule as its backward pass."""
    pairs = list(zip(layer.operations, layer.operands, values, strict=True))
    constants = [value for _, at, row in pairs for i, value in enumerate(row) if i != at]

    @jax.custom_vjp
    def output(x, constants):
        remaining = list(constants)
        for operation, at, row in pairs:
            others = [remaining.pop(0) for _ in range(len(row) - 1)]
            (x,) = apply(operation, [*others[:at], x, *others[at:]])
        return x

    def backward(kept, relevance):
        x, constants = kept
        found = rule(Inputs(layer, wide(x), constants, positive), wide(relevance))
        return found.astype(x.dtype), None

    output.defvjp(lambda x, constants: (output(x, constants), (x, constants)), backward)
    return output(values[0][layer.operands[0]], constants)


def _activation(operation: JaxprEqn, values: list[Any], operands: list[int]) -> list[Any] | None:
    """The operation's result; its relevance goes on unchanged to the value it was made of."""
    (result,) = apply(operation, values)
    carriers = [values[i] for i in operands if jnp.issubdtype(values[i].dtype, jnp.floating)]
    return [_passed(carriers[0], result)] if carriers and jnp.issubdtype(result.dtype, jnp.floating) else [result]


@jax.custom_vjp
def _passed(x, result):
    return result


_passed.defvjp(lambda x, result: (result, x[:0]), lambda like, relevance: (relevance.astype(like.dtype), None))


@jax.custom_vjp
def _probed(x, probe):
    return x


_probed.defvjp(
    lambda x, probe: (x, None),
    lambda _, relevance: (relevance, wide(relevance).sum(tuple(range(1, relevance.ndim)))),
)


def _sum(operation: JaxprEqn, values: list[Any], operands: list[int]) -> list[Any]:
    """The operation's result; its terms share its relevance in proportion."""

    @jax.custom_vjp
    def output(*terms):
        return apply(operation, placed(terms))[0]

    def placed(terms):
        given = dict(zip(operands, terms, strict=True))
        return [given.get(i, value) for i, value in enumerate(values)]

    def backward(terms, relevance):
        wide_terms = [wide(term) for term in terms]
        add = lambda *terms: in_float32(operation, [wide(value) for value in placed(terms)])
        found = shares(add, wide_terms, wide(relevance))
        return tuple(share.astype(term.dtype) for share, term in zip(found, terms, strict=True))

    output.defvjp(lambda *terms: (output(*terms), terms), backward)
    return [output(*(values[i] for i in operands))]
