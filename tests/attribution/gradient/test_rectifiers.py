"""Guided backpropagation and the deconvolution network: every way to write a ReLU, and nothing else, is replaced."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from gradient_family import CLASS_0, IMAGE, conv_net, fast_jit
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from jaxcam.attribution import deconvnet, guided_backprop
from jaxcam.attribution.gradient.rectifiers import count, deconvolution, guided
from jaxcam.attribution.interpret import trace


@jax.custom_vjp
def with_own_rule(x):
    return jnp.sin(x) + jax.nn.relu(x)


with_own_rule.defvjp(lambda x: (with_own_rule(x), x), lambda x, g: (7 * g,))

RELUS = {
    "nn.relu": jax.nn.relu,
    "maximum": lambda x: jnp.maximum(x, 0),
    "maximum the other way": lambda x: jnp.maximum(0.0, x),
    "maximum with zeros": lambda x: jnp.maximum(x, jnp.zeros_like(x)),
    "maximum with a numpy array": lambda x: jnp.maximum(x, np.zeros(x.shape, np.float32)),
    "clip": lambda x: jnp.clip(x, 0),
    "where": lambda x: jnp.where(x > 0, x, 0.0),
    "where, below": lambda x: jnp.where(x <= 0, 0.0, x),
    "where, turned": lambda x: jnp.where(jnp.less(0.0, x), x, jnp.zeros_like(x)),
    "jit": jax.jit(lambda x: jax.jit(jax.nn.relu)(x)),
    "remat": jax.checkpoint(jax.nn.relu),
    "map": lambda x: lax.map(jax.nn.relu, x),
    "scan": lambda x: lax.scan(lambda c, r: (c, jax.nn.relu(r) + c), jnp.zeros(x.shape[1:]), x)[1],
    "cond": lambda x: lax.cond(x.sum() > -1e9, jax.nn.relu, lambda v: v, x),
    "vmap": jax.vmap(jax.nn.relu),
    "nnx": nnx.relu,
}
OTHERS = {
    "tanh": jnp.tanh,
    "softplus": jax.nn.softplus,
    "silu": jax.nn.silu,
    "gelu": jax.nn.gelu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "abs": jnp.abs,
    "maximum of two": lambda x: jnp.maximum(x, x[::-1]),
    "max pool": lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 2), (1, 1), "SAME"),
    "own rule": with_own_rule,
    "while": lambda x: lax.fori_loop(0, 3, lambda i, v: v * 2.0, x),
    "maximum with one": lambda x: jnp.maximum(x, 1.0),
    "logsumexp": lambda x: jax.nn.logsumexp(x, -1, keepdims=True) + 0 * x,
}
X = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
G = jnp.asarray(np.random.default_rng(1).normal(size=(3, 4)), jnp.float32)


def pulled(fn, x=X, g=G):
    return fast_jit(lambda x, g: jax.vjp(fn, x)[1](g)[0])(x, g)


@pytest.mark.parametrize("name", RELUS)
def test_every_relu_is_replaced(name):
    relu = RELUS[name]
    assert count(relu, X) == 1
    np.testing.assert_array_equal(fast_jit(guided(relu))(X), fast_jit(relu)(X))
    g = G if name != "scan" else jnp.ones_like(G)
    np.testing.assert_allclose(pulled(guided(relu), g=g), np.where(X > 0, np.maximum(g, 0), 0))
    np.testing.assert_allclose(pulled(deconvolution(relu), g=g), np.maximum(g, 0))


@pytest.mark.parametrize("name", OTHERS)
def test_nothing_else_is_replaced(name):
    other = OTHERS[name]
    assert count(other, X) == 0
    np.testing.assert_array_equal(fast_jit(guided(other))(X), fast_jit(other)(X))
    np.testing.assert_allclose(pulled(guided(other)), pulled(other), rtol=1e-6)


def test_relu6_keeps_its_ceiling():
    x = jnp.array([-1.0, 3.0, 7.0])
    assert count(jax.nn.relu6, x) == 1
    np.testing.assert_array_equal(pulled(guided(jax.nn.relu6), x, jnp.ones(3)), [0, 1, 0])


def test_gradient_at_zero_and_nan():
    x = jnp.array([0.0, jnp.nan, 1.0])
    np.testing.assert_array_equal(pulled(guided(jax.nn.relu), x, jnp.ones(3)), [0, 0, 1])
    np.testing.assert_array_equal(pulled(guided(jax.nn.relu), x, jnp.full(3, jnp.nan)), [0, 0, np.nan])
    assert np.isnan(guided(jax.nn.relu)(x)[1])


def test_trees_of_arguments_and_results():
    fn = lambda pair, scale: {"a": jax.nn.relu(pair[0]) * scale, "b": (pair[1], 3)}
    found = guided(fn)((X, G), 2.0)
    np.testing.assert_allclose(found["a"], 2 * jax.nn.relu(X))
    np.testing.assert_array_equal(found["b"][0], G)


STEPS = {
    **{name: step for name, step in RELUS.items() if name != "scan"},
    **{name: step for name, step in OTHERS.items() if name not in ("while", "max pool")},
    "dot": lambda x: x @ jnp.asarray(np.random.default_rng(2).normal(size=(4, 4)), jnp.float32),
    "shift": lambda x: x - 0.3,
    "turn": lambda x: x[::-1, ::-1],
    "residual": lambda x: x + 0.5 * jnp.tanh(x),
    "layer norm": lambda x: (x - x.mean(-1, keepdims=True)) / (0.1 + x.std(-1, keepdims=True)),
}


@settings(max_examples=12, deadline=None, database=None, derandomize=True)
@given(names=st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=6), nested=st.integers(0, 2))
def test_random_functions(names, nested):
    """Values never change; without ReLUs the gradient does not either; all-positive paths agree with the plain one."""

    def fn(x):
        for i, name in enumerate(names):
            step = STEPS[name]
            x = (jax.jit(step) if nested == 1 and i % 2 else jax.checkpoint(step) if nested == 2 else step)(x)
        return x

    plain, replaced = fast_jit(lambda x: jax.vjp(fn, x)[0])(X), fast_jit(guided(fn))(X)
    np.testing.assert_allclose(replaced, plain, rtol=1e-6, atol=1e-6)
    expected = sum(name in RELUS for name in names)
    assert count(fn, X) == expected
    if not expected:
        np.testing.assert_allclose(pulled(guided(fn)), pulled(fn), rtol=1e-5, atol=1e-6)


def test_captums_network_and_case_7():
    """The factor of captum's guided Grad-CAM (case 7) that is guided backpropagation."""
    found = guided_backprop(conv_net, IMAGE, CLASS_0)[0, ..., 0]
    cam = np.kron([[0, 4], [28, 32.5]], np.ones((2, 2)))
    expected = [[0, 0, 4, 4], [0, 0, 12, 8], [28, 84, 97.5, 65], [28, 56, 65, 32.5]]
    np.testing.assert_allclose(cam * found, expected)


def test_by_hand_through_two_layers():
    first, second = jnp.array([[1.0, -1.0], [2.0, 1.0]]), jnp.array([[1.0], [-3.0]])
    fn = lambda x: jax.nn.relu(jax.nn.relu(x) @ first) @ second
    image = jnp.array([[2.0, -1.0]])
    # Hidden units 2 and -2; gradients of the score there 1 and -3.
    np.testing.assert_array_equal(guided_backprop(fn, image, CLASS_0), [[1, 0]])
    np.testing.assert_array_equal(deconvnet(fn, image, CLASS_0), [[1, 2]])
    np.testing.assert_array_equal(deconvnet(lambda x: -fn(x), image, CLASS_0), [[0, 3]])


def test_nnx_module():
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.conv, self.out = nnx.Conv(3, 4, (3, 3), rngs=rngs), nnx.Linear(4, 2, rngs=rngs)

        def __call__(self, x):
            return self.out(nnx.relu(self.conv(x)).mean((1, 2)))

    net = Net(nnx.Rngs(0))
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 6, 3)), jnp.float32)
    assert count(net, images) == 1
    found = fast_jit(lambda x: guided_backprop(net, x, jnp.array([0, 1])))(images)
    assert found.shape == images.shape


def test_programs_look_things_up():
    fn = lambda x: jnp.tanh(x) * 2.0 + jnp.arange(4.0)
    program, _ = trace(fn, X)
    names = [operation.primitive.name for operation in program.operations]
    assert names[-1] == "add"
    assert program.bytes >= 3 * X.nbytes
    assert program.producers[program.outputs[0]] is program.operations[-1]
    assert len(program.readers[program.inputs[0]]) == 1
    assert [
        functools.reduce(lambda a, b: a and b, [v in program.active for v in o.outvars])
        for o in program.operations
        if o.primitive.name in ("iota", "tanh")
    ].count(True) == 1
