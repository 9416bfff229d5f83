"""Cutting networks: any function that names a value, and any stage of a chain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name

from jaxcam import attribution, networks
from jaxcam.attribution import at_stage, split
from jaxcam.errors import UserError

KERNEL = jax.random.normal(jax.random.key(0), (3, 3, 3, 6)) / 3
DENSE = jax.random.normal(jax.random.key(1), (6, 4))
IMAGES = jax.random.normal(jax.random.key(2), (2, 6, 8, 3))
TARGETS = jnp.array([1, 3])


def convolved(x):
    out = jax.lax.conv_general_dilated(x, KERNEL, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(out)


def plain(x):
    maps = checkpoint_name(convolved(x), "last")
    return jax.nn.relu(maps).mean((1, 2)) @ DENSE


@jax.custom_vjp
def straight(x):
    return jnp.round(checkpoint_name(convolved(x), "last") * 8) / 8


straight.defvjp(lambda x: (straight(x), x), lambda x, g: (jnp.zeros_like(x),))

FUNCTIONS = {
    "plain": plain,
    "jit": jax.jit(plain),
    "jit in jit": jax.jit(lambda x: jax.jit(lambda y: plain(y) * 2)(x) + 1),
    "remat": jax.checkpoint(plain),
    "custom_jvp": lambda x: jax.nn.silu(plain(x)),
    "custom_vjp": lambda x: straight(x).mean((1, 2)) @ DENSE,
    "dict": lambda x: {"logits": plain(x), "twice": 2 * plain_unnamed(x)}["logits"],
}


def plain_unnamed(x):
    return convolved(x).mean((1, 2)) @ DENSE


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_parts_make_the_whole(name):
    function = FUNCTIONS[name]
    features, head = split(function, at="last")
    np.testing.assert_allclose(features(IMAGES), convolved(IMAGES), rtol=1e-6)
    np.testing.assert_allclose(head(features(IMAGES)), function(IMAGES), rtol=1e-5, atol=1e-6)
    other = features(IMAGES) + 1
    np.testing.assert_allclose(head(other[:1]), head(other)[:1], rtol=1e-5, atol=1e-6)


def test_grad_cam_of_a_split_function_is_that_of_its_written_parts():
    features, head = split(jax.jit(plain), at="last")
    written = attribution.grad_cam(lambda a: jax.nn.relu(a).mean((1, 2)) @ DENSE, convolved(IMAGES), TARGETS)
    method = lambda x: attribution.grad_cam(head, features(x), TARGETS)
    np.testing.assert_allclose(method(IMAGES), written, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.jit(method)(IMAGES), written, rtol=1e-5, atol=1e-6)
    single = lambda x, t: attribution.grad_cam(head, features(x[None]), t[None])[0]
    np.testing.assert_allclose(jax.vmap(single)(IMAGES, TARGETS), written, rtol=1e-5, atol=1e-6)


def test_skip_connections_round_the_cut():
    function = lambda x: (checkpoint_name(convolved(x), "last") * x.sum(-1, keepdims=True)).mean((1, 2)) @ DENSE
    features, head = split(function, at="last")
    value = features(IMAGES)
    np.testing.assert_allclose(head(value, IMAGES), function(IMAGES), rtol=1e-5)
    with pytest.raises(UserError, match=r"uses the images again.*\.on\(images\)"):
        head(value)
    again, rest = split(function, at="last").on(IMAGES)
    np.testing.assert_allclose(rest(again), function(IMAGES), rtol=1e-5)
    scaled = (2 * convolved(IMAGES) * IMAGES.sum(-1, keepdims=True)).mean((1, 2)) @ DENSE
    np.testing.assert_allclose(rest(2 * again), scaled, rtol=1e-5)


def test_the_forward_pass_is_shared_in_one_program():
    """Cutting and explaining costs what the function costs, and a little."""

    def both(x):
        value, head = split(plain, at="last").on(x)
        return plain(x), attribution.grad_cam(head, value, TARGETS)

    flops = lambda f: jax.jit(f).lower(IMAGES).compile().cost_analysis()["flops"]
    assert flops(both) < 1.2 * flops(plain)


def test_trees_of_arguments_and_results():
    def function(batch):
        maps = checkpoint_name(convolved(batch["image"]), "last")
        return {"logits": maps.mean((1, 2)) @ DENSE + batch["offset"], "size": maps.shape[1]}

    batch = {"image": IMAGES, "offset": jnp.float32(2.0)}
    value, head = split(function, at="last").on(batch)
    result = head(value)
    np.testing.assert_allclose(result["logits"], function(batch)["logits"], rtol=1e-5)
    assert result["size"] == 6


def test_half_precision_and_differentiation_keep_the_functions_own_rules():
    function = lambda x: jax.nn.relu(checkpoint_name(x.astype(jnp.bfloat16), "half")).astype(jnp.float32).sum((1, 2))
    features, head = split(function, at="half")
    value = features(IMAGES)
    assert value.dtype == jnp.bfloat16
    # jax.nn.relu has the derivative 0 at 0; the primitive it is made of has 1/2.
    gradient = jax.grad(lambda a: head(a).sum())(jnp.zeros_like(value))
    np.testing.assert_array_equal(gradient, np.zeros(value.shape))


def looped(x):
    def body(carry, _):
        return checkpoint_name(jnp.tanh(carry), "inside"), None

    return jax.lax.scan(body, convolved(x), None, length=2)[0].mean((1, 2)) @ DENSE


def twice(x):
    first = checkpoint_name(convolved(x), "maps")
    return checkpoint_name(first * 2, "maps").mean((1, 2)) @ DENSE


def unused(x):
    checkpoint_name(convolved(x), "last")
    return plain_unnamed(x)


@pytest.mark.parametrize(
    ("function", "at", "message"),
    [
        (plain, "first", "no value is named 'first'.*the function has: last"),
        (plain_unnamed, "last", "the function has: no names at all"),
        (looped, "inside", "inside a scan, which cannot be cut"),
        (lambda x: jax.lax.cond(x.sum() > 0, plain, plain, x), "last", "inside a cond"),
        (twice, "maps", "2 values are named 'maps'; say which with occurrence=0..1"),
    ],
)
def test_what_cannot_be_cut_is_said(function, at, message):
    with pytest.raises(UserError, match=message):
        split(function, at=at).features(IMAGES)


def test_more_mistakes():
    features, head = split(unused, at="last")
    with pytest.raises(UserError, match="does not depend on 'last'"):
        head(features(IMAGES))
    with pytest.raises(UserError, match="call features"):
        split(plain, at="last").head(convolved(IMAGES))
    with pytest.raises(UserError, match="no occurrence 2"):
        split(twice, at="maps", occurrence=2).features(IMAGES)


def test_occurrences():
    np.testing.assert_allclose(split(twice, at="maps", occurrence=-1).features(IMAGES), 2 * convolved(IMAGES))
    features, head = split(twice, at="maps", occurrence=0)
    np.testing.assert_allclose(head(features(IMAGES)), twice(IMAGES), rtol=1e-5)


@pytest.mark.parametrize("kind", ["cam", "dense"])
def test_every_stage_of_a_chain_with_a_frozen_base(kind):
    spec = networks.Head(kind=kind, pool="flatten", hidden=(5,), dropout=0.5)
    chain, params = networks.build("convnet", width=1 / 16, classes=4, head=spec, input_size=(64, 48))
    images = jax.random.normal(jax.random.key(3), (2, 64, 48, 3))
    frozen = {name: value for name, value in params.items() if name.startswith("conv") and name != "conv_last"}
    trained = {name: value for name, value in params.items() if name not in frozen}
    expected = chain.apply(params, images)

    def merged(stage):
        return at_stage(chain, {**jax.lax.stop_gradient(frozen), **trained}, stage)

    places = [name for name, shape in chain.shapes((2, 64, 48, 3)).items() if len(shape) == 4]
    assert ("conv_last" in places) == (kind == "cam")
    for stage in places:
        features, head = merged(stage)
        np.testing.assert_allclose(head(features(images)), expected, rtol=1e-4, atol=1e-5)
    features, head = merged(places[-2])
    maps = attribution.grad_cam(head, features(images), jnp.array([0, 3]), relu=False)
    assert float(jnp.abs(maps).max()) > 0
    with pytest.raises(UserError, match="unknown stage 'block9'; this network has: conv1"):
        at_stage(chain, params, "block9")
