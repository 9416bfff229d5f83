import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brute import assert_equal, brute_force
from jax import lax

from jaxcam import networks
from jaxcam.attribution import incremental


@pytest.fixture(scope="module")
def vgg16():
    """VGG16 at 224x224 without weights in memory: a plan asks for shapes only."""
    spec = networks.NetworkSpec(name="vgg16")
    chain, params = spec.chain(), spec.chain().abstract(spec.shape)

    def fn(x):
        zeros = jax.tree.map(lambda leaf: lax.full(leaf.shape, 0, leaf.dtype), params)
        return chain.apply(zeros, x)

    # Under jit the zeros belong to the program and are never made.
    return incremental(jax.jit(fn))


# Computed independently, by arithmetic over VGG16's layers: one box for all windows, and every window's own box.
@pytest.mark.parametrize(
    ("patch", "stride", "one_box", "own_boxes"), [(32, 16, 5.09, 6.49), (16, 8, 6.48, 8.78), (56, 16, 3.48, 4.15)]
)
def test_speed_ups_of_vgg16_are_those_of_the_arithmetic(vgg16, patch, stride, one_box, own_boxes):
    options = {"window": (patch, patch), "stride": (stride, stride)}
    plans = [vgg16.plan((1, 224, 224, 3), **options, groups=groups) for groups in (1, 9, 10**6)]
    one, nine, own = (plan.window_speed_up for plan in plans)
    assert plans[0].dense_flops == pytest.approx(30.941e9, rel=1e-3)
    assert one == pytest.approx(one_box, rel=0.05)
    assert own == pytest.approx(own_boxes, rel=0.05)
    assert one < nine < own
    assert plans[0].speed_up < one


def test_nine_groups_of_vgg16_beat_border_interior_border(vgg16):
    plan = vgg16.plan((1, 224, 224, 3), window=(16, 16), stride=(4, 4))
    assert plan.groups == 9
    assert plan.windows == 2809
    assert plan.window_speed_up > 7.5


def test_boxes_of_vgg16(vgg16):
    plan = vgg16.plan((1, 224, 224, 3), window=(16, 16), stride=(4, 4), groups=1)
    boxes = {operation.label.split("/")[0]: operation.box for operation in plan.operations}
    assert boxes["block1_conv2"] == (20, 20)
    assert boxes["block2_conv2"] == (14, 14)
    assert boxes["block3_conv3"] == (14, 14)
    assert boxes["fc1"] == ()
    assert sum(operation.share for operation in plan.operations) == pytest.approx(1)
    assert plan.fallbacks == ()
    assert plan.ends == ("reshape (flatten/Flatten)",)
    table = str(plan)
    assert "block5_conv3" in table
    assert "predicted speed-up" in table


OPAQUE = {
    "cumsum": lambda x: jnp.cumsum(x, axis=1),
    "sort": lambda x: jnp.sort(x, axis=2),
    "fft": lambda x: jnp.abs(jnp.fft.fft(x, axis=1)),
    "scan": lambda x: lax.scan(lambda carry, row: (carry + row, carry), x[:, 0], x.swapaxes(0, 1))[1].swapaxes(0, 1),
    "dot_general": lambda x: jnp.einsum("nhwc,hk->nkwc", x, jnp.ones((x.shape[1], 3))),
}


@pytest.mark.parametrize("primitive", OPAQUE)
def test_what_has_no_rule_is_computed_whole_and_named(primitive):
    def fn(x):
        kernel = jnp.ones((3, 3, 2, 2)) / 9
        x = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return OPAQUE[primitive](x).sum((1, 2))

    x = jax.random.normal(jax.random.key(0), (2, 9, 8, 2))
    offsets = np.array([[0, 0], [5, 3], [2, 4]])
    assert_equal(incremental(fn)(x, window=(4, 4), offsets=offsets, groups=1), brute_force(fn, x, (4, 4), offsets))
    plan = incremental(fn).plan(x.shape, window=(4, 4), offsets=offsets)
    assert any(primitive in text for text in (*plan.fallbacks, *plan.ends))


def test_a_plan_needs_offsets_or_a_stride():
    with pytest.raises(ValueError, match="either offsets or a stride"):
        incremental(lambda x: x).plan((1, 8, 8, 3), window=(2, 2))
