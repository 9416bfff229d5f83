"""Layer-wise relevance propagation: by hand, conservation, stages, what has no rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gradient_family import CLASS_0, fast_jit, network, pictures
from jax import lax

from jaxcam.attribution import AlphaBeta, Composite, Epsilon, Gamma, ZBox, ZPlus, relevance
from jaxcam.attribution.gradient.flow import Kind, kinds, non_negative
from jaxcam.attribution.gradient.layers import weighted_layers
from jaxcam.attribution.interpret import trace
from jaxcam.attribution.targets import difference
from jaxcam.errors import UserError

WEIGHTS = jnp.array([[2.0], [-1.0]])
dense = lambda x: x.reshape(x.shape[0], -1) @ WEIGHTS + 1.0
ROW = jnp.array([[3.0, 2.0]])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # Contributions 6 and -2, bias 1, score 5.
        (Epsilon(0.0), [6, -2]),
        (Epsilon(0.0, bias=False), [6 / 4 * 5, -2 / 4 * 5]),
        (Epsilon(1.0), [6 / 6 * 5, -2 / 6 * 5]),
        (ZPlus(), [6 / 7 * 5, 0]),
        (ZPlus(bias=False), [5, 0]),
        (AlphaBeta(2.0, 1.0), [2 * 6 / 7 * 5, -5]),
        (Gamma(1.0), [12 / (5 + 7) * 5, -2 / 12 * 5]),
        (Gamma(1.0, bias=False), [12 / 10 * 5, -2 / 10 * 5]),
        # 6 - 2 - (0 * 2) - (4 * -1) = 8 shared by 3 * 2 - 0 and 2 * -1 + 4.
        (ZBox(0.0, 4.0), [6 / 8 * 5, 2 / 8 * 5]),
    ],
)
def test_rules_by_hand(rule, expected):
    found = relevance(dense, ROW, CLASS_0, rules=rule)
    np.testing.assert_allclose(found.attributions[0], expected, rtol=1e-6)
    np.testing.assert_allclose(found.expected, [5])
    np.testing.assert_allclose(found.error, [sum(expected) - 5], atol=1e-5)


def test_signed_inputs_share_by_the_sign_of_the_contribution():
    found = relevance(lambda x: x @ WEIGHTS, jnp.array([[-1.0, -4.0]]), CLASS_0, rules=AlphaBeta(2.0, 1.0))
    np.testing.assert_allclose(found.attributions, [[-2.0, 4.0]])


RULES = {
    "epsilon": Epsilon(1e-9, bias=False),
    "z plus": ZPlus(bias=False),
    "alpha beta": AlphaBeta(2.0, 1.0, bias=False),
    "gamma": Gamma(0.25, bias=False),
    "composite": Composite(Epsilon(1e-9, bias=False), ZPlus(bias=False), ZBox(-6.0, 6.0)),
}


@pytest.mark.parametrize("head", ["flatten", "cam"])
@pytest.mark.parametrize("name", RULES)
def test_conservation_at_every_stage(name, head):
    fn, images, targets = network(head), pictures(), jnp.array([0, 3, 4, 1])
    found = fast_jit(lambda x: relevance(fn, x, targets, rules=RULES[name]))(images)
    np.testing.assert_allclose(found.expected, jnp.take_along_axis(fn(images), targets[:, None], 1)[:, 0], rtol=1e-4)
    # Signed rules divide by sums that nearly cancel.
    scale = np.maximum(np.abs(found.attributions).sum((1, 2, 3)), np.abs(found.expected))
    # By its definition alpha-beta does not conserve at a unit without negative contributions.
    tolerance = 0.1 if name == "alpha beta" else 1e-4
    assert (np.abs(found.error) < tolerance * scale).all()
    for sums in found.stages.values():
        assert (np.abs(sums - found.expected) < tolerance * scale).all()
    assert set(found.stages) >= {"conv1", "pool", "conv2"}


def test_what_biases_take_shows_in_the_error_and_at_its_stage():
    found = relevance(network(), pictures(), CLASS_0.repeat(4), rules=Epsilon(1e-9))
    assert float(jnp.abs(found.error).min()) > 1e-4
    np.testing.assert_allclose(found.stages["predictions"], found.expected, rtol=1e-5)
    assert float(jnp.abs(found.stages["fc1"] - found.expected).max()) > 1e-3
    np.testing.assert_allclose(found.stages["flatten"], found.stages["conv2"], rtol=1e-4, atol=1e-5)


def test_epsilon_zero_without_biases_is_input_times_gradient():
    """A known identity for networks of ReLUs without biases (Ancona et al., 2018)."""
    rng = np.random.default_rng(0)
    first, second = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((3, 3, 3, 5), (5, 4)))

    def fn(x):
        maps = lax.conv_general_dilated(x, first, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jax.nn.relu(maps).mean((1, 2)) @ second

    images, targets = pictures(), jnp.array([0, 1, 2, 3])
    gradient = jax.grad(lambda x: fn(x)[jnp.arange(4), targets].sum())(images)
    found = relevance(fn, images, targets, rules=Epsilon(0.0))
    np.testing.assert_allclose(found.attributions, images * gradient, rtol=1e-3, atol=1e-4)


def test_a_batch_norm_is_folded_into_its_convolution():
    rng = np.random.default_rng(3)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    kernel, scale, mean, offset, top = draw(3, 3, 3, 5), draw(5), draw(5), draw(5), draw(5, 2)
    conv = lambda x, k: lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    apart = lambda x: jax.nn.relu((conv(x, kernel) - mean) * scale / 2 + offset).mean((1, 2)) @ top
    folded = lambda x: jax.nn.relu(conv(x, kernel * scale / 2) + (offset - mean * scale / 2)).mean((1, 2)) @ top
    images, targets = pictures(2), jnp.array([0, 1])
    for rule in (Epsilon(0.1), ZPlus(bias=False), Gamma(0.5, bias=False), ZBox(-6.0, 6.0)):
        run = lambda fn, rule=rule: relevance(fn, images, targets, rules=rule).attributions
        np.testing.assert_allclose(run(apart), run(folded), rtol=1e-3, atol=1e-4)


def test_residual_blocks_normalised_inputs_and_other_nonlinearities():
    kernel = jnp.asarray(np.random.default_rng(4).normal(0, 0.2, (3, 3, 3, 3)), jnp.float32)
    conv = lambda x: lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    def fn(x):
        x = (x - 0.4) / 0.2
        x = jax.nn.relu(x + conv(jax.nn.silu(conv(x))))
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
        return jax.checkpoint(lambda v: jax.nn.gelu(conv(v)))(x).mean((1, 2))

    found = relevance(fn, pictures(2), jnp.array([0, 1]), rules=Composite(conv=Epsilon(1e-9)))
    np.testing.assert_allclose(found.error, [0, 0], atol=2e-4)


def test_rules_by_stage():
    fn, images, targets = network(), pictures(2), jnp.array([0, 1])
    by_stage = relevance(fn, images, targets, rules=ZPlus(), stages={"fc1": Epsilon(), "predictions": Epsilon()})
    composite = relevance(fn, images, targets, rules=Composite(dense=Epsilon(), conv=ZPlus()))
    np.testing.assert_allclose(by_stage.attributions, composite.attributions, rtol=1e-5)
    with pytest.raises(UserError, match="no stage is named fc9; there are: conv1, pool"):
        relevance(fn, images, targets, stages={"fc9": Epsilon()})


def test_pixels_have_their_own_rule():
    fn, images, targets = network(), pictures(2), jnp.array([0, 1])
    whole = relevance(lambda x: fn((x - 1) / 2), images, targets, rules=Composite(pixels=ZBox(-4.0, 4.0)))
    named = relevance(fn, (images - 1) / 2, targets, stages={"conv1": ZBox(-4.0, 4.0)})
    np.testing.assert_allclose(whole.attributions, named.attributions, rtol=1e-4, atol=1e-6)


def test_a_rule_of_ones_own():
    whole = lambda inputs, relevance: jnp.ones_like(inputs.x) * relevance.sum() / inputs.x.size
    found = relevance(dense, ROW, CLASS_0, rules=whole)
    np.testing.assert_allclose(found.attributions, [[2.5, 2.5]])


def test_a_difference_starts_with_both_logits():
    fn, images = network(), pictures(2)
    a, b = jnp.array([0, 1]), jnp.array([2, 3])
    both = relevance(fn, images, difference(a, b), rules=Composite())
    apart = [relevance(fn, images, t, rules=Composite()).expected for t in (a, b)]
    np.testing.assert_allclose(both.expected, apart[0] - apart[1], rtol=1e-4)


@pytest.mark.parametrize(
    ("fn", "named"),
    [
        (lambda x: jax.nn.softmax(dense(x) * jnp.ones(3)), "div"),
        (lambda x: x * x.sum(-1, keepdims=True), "mul"),
        (lambda x: lax.map(jnp.tanh, x), "scan"),
        (lambda x: (x[:, :, None] @ x[:, None, :]).sum(-1), "dot_general"),
    ],
)
def test_what_has_no_rule_is_refused(fn, named):
    with pytest.raises(UserError, match=f"relevance has no rule for {named}"):
        relevance(fn, ROW, CLASS_0)


def test_alpha_and_beta_belong_together():
    with pytest.raises(UserError, match="alpha - beta must be 1"):
        AlphaBeta(2.0, 0.5)


def test_how_steps_are_seen():
    fn = lambda x: jax.nn.silu(x @ jnp.ones((2, 3)) + 1).max(-1, keepdims=True) + x.sum(-1, keepdims=True)
    program, _ = trace(fn, ROW, open_custom=lambda body: True)
    seen = {operation.primitive.name: kind for operation, kind in kinds(program).items()}
    assert seen["dot_general"] is Kind.WEIGHTED
    assert seen["logistic"] is seen["mul"] is Kind.ACTIVATION
    assert seen["reduce_max"] is Kind.ROUTE
    assert seen["reduce_sum"] is Kind.SUM
    (layer,) = weighted_layers(program, kinds(program))
    assert layer.kind == "dense"
    assert layer.first
    assert [operation.primitive.name for operation in layer.operations] == ["dot_general", "add"]
    program, _ = trace(lambda x: -jax.nn.relu(x).sum(-1) / 2, ROW, open_custom=lambda body: True)
    assert [v in non_negative(program) for o in program.operations for v in o.outvars][-3:] in (
        [True, False, False],
        [True, True, False],
    )
