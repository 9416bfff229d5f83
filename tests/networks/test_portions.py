"""Images taken through the large maps a few at a time: the same numbers, derivatives and programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxcam import attribution, devices
from jaxcam.networks import Chain, portions, turns
from jaxcam.networks.layers import Conv, Dense, Flatten, MaxPool


@pytest.fixture
def small(monkeypatch):
    """Maps of 6x6 count as large."""
    monkeypatch.setattr(portions, "POSITIONS", 36)
    monkeypatch.setattr(portions, "BYTES", 1)
    monkeypatch.setattr(turns.os, "cpu_count", lambda: 2)


@pytest.fixture(scope="module")
def network():
    stages = (("a", Conv(4)), ("b", Conv(5)), ("pool", MaxPool()), ("c", Conv(3)), ("rows", Flatten()), ("d", Dense(2)))
    chain = Chain(stages)
    return chain, chain.init(jax.random.key(0), (1, 13, 12, 3)), jax.random.normal(jax.random.key(1), (4, 13, 12, 3))


def plain(chain, params, x):
    for name, stage in chain.stages:
        x = stage.apply({"params": params.get(name, {})}, x)
    return x


def loops(function, *arguments):
    return jax.jit(function).lower(*arguments).as_text().count("stablehlo.while")


def test_rows_divide_the_batch_of_every_device(small):
    assert jax.local_device_count() == 2
    assert turns.rows_for(100, 8, 1) == 2
    assert turns.rows_for(100, 7, 1) == 7
    assert turns.rows_for(0, 8, 1) == 8
    assert turns.rows_for(100, 24, 1, least=3) == 6
    assert turns.rows_for(100, 10, 1, least=3) == 10


def test_small_maps_and_small_batches_go_whole(network):
    chain, params, x = network
    assert loops(chain.apply, params, x) == 0
    assert turns.rows_for(2**30, 2, portions.BYTES) == 2
    assert turns.rows_for(1000, 64, portions.BYTES) == 64


def test_numbers_derivatives_and_vmap_are_those_of_the_whole_batch(small, network):
    chain, params, x = network
    assert loops(chain.apply, params, x) == 1
    expected = plain(chain, params, x)
    np.testing.assert_allclose(chain.apply(params, x), expected, atol=1e-6)
    np.testing.assert_allclose(jax.jit(chain.apply)(params, x), expected, atol=1e-5)
    np.testing.assert_allclose(jax.jit(jax.vmap(chain.apply, (None, 0)))(params, x[None])[0], expected, atol=1e-5)
    loss = lambda of: lambda params, x: (of(params, x) ** 2).sum()
    ours = jax.jit(jax.grad(loss(chain.apply), (0, 1)))
    # Derivatives are taken outside of loops.
    assert loops(ours, params, x) == 0
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
        ours(params, x),
        jax.grad(loss(lambda p, v: plain(chain, p, v)), (0, 1))(params, x),
    )
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    assert chain.apply(half, x.astype(jnp.bfloat16)).shape == (4, 2)


def test_a_split_batch_stays_split(small, network):
    chain, params, x = network
    split = jax.device_put(x, NamedSharding(devices.mesh(), PartitionSpec("data")))
    compiled = jax.jit(chain.apply).lower(devices.replicate(params), split).compile()
    assert "all-gather" not in compiled.as_text()
    np.testing.assert_allclose(compiled(devices.replicate(params), split), plain(chain, params, x), atol=1e-5)


def test_other_platforms_get_the_whole_batch(small, network):
    chain, params, x = network
    for platform, count in (("cuda", 0), ("tpu", 0), ("cpu", 1)):
        text = jax.jit(chain.apply).trace(params, x).lower(lowering_platforms=(platform,)).as_text()
        assert text.count("stablehlo.while") == count


def test_the_frozen_part_of_a_training_step_goes_in_portions(small, network):
    chain, params, x = network

    def loss(trained, frozen):
        out, _ = chain.apply_training({**frozen, **trained}, x, trained=("c", "d"), rows=jnp.ones(4, bool))
        return (out**2).sum()

    trained, frozen = {k: params[k] for k in ("c", "d")}, {k: params[k] for k in ("a", "b")}
    step = jax.value_and_grad(loss)
    assert loops(step, trained, frozen) == 1
    expected = jax.grad(lambda trained: (plain(chain, {**frozen, **trained}, x) ** 2).sum())(trained)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), jax.jit(step)(trained, frozen)[1], expected)


def test_traced_programs_are_looked_into_as_before(small, network):
    chain, params, x = network
    targets = jnp.arange(4) % 2
    fn = lambda images: chain.apply(params, images)
    fields = {"window": (4, 4), "stride": (4, 4), "fill": 0.0}
    ours = attribution.occlusion(fn, x, targets, **fields)
    np.testing.assert_allclose(
        ours, attribution.occlusion(lambda v: plain(chain, params, v), x, targets, **fields), atol=1e-5
    )
    assert attribution.incremental(fn).plan(x.shape, window=(4, 4), stride=(4, 4)) is not None
