"""What is found of a head, and that nothing is found where it would be wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_network import CLASS_0, CUT, IMAGE, MAPS, WHOLE, after_conv, after_relu, conv1, relu1

from jaxcam.attribution import grad_cam
from jaxcam.attribution.activation.cam import channel_gradients
from jaxcam.attribution.activation.channelwise import contraction

pytestmark = pytest.mark.usefixtures("quick_compilation")

TARGETS = jnp.array([[0, 3], [4, 4], [1, 2]])


def mean_gradients(head, activations, targets):
    """The definition: one gradient a target."""
    score = lambda a, t: jnp.take_along_axis(head(a), t[:, None], 1).sum()
    return jax.vmap(lambda t: jax.grad(score)(activations, t).mean((1, 2)), in_axes=1, out_axes=1)(targets)


@pytest.fixture(scope="module")
def gradients():
    """By head: scores and weights, the definition, and the head's logits."""

    @jax.jit
    def program(maps):
        run = lambda head: (channel_gradients(head, maps, TARGETS), mean_gradients(head, maps, TARGETS), head(maps))
        return {name: run(head) for name, head in {**CUT, **WHOLE}.items()}

    return program(MAPS)


@pytest.mark.parametrize("name", [*CUT, *WHOLE])
def test_channel_gradients_are_the_mean_gradients(name, gradients):
    (scores, weights), expected, logits = gradients[name]
    np.testing.assert_allclose(weights, expected, atol=1e-6 * float(jnp.abs(expected).max()))
    np.testing.assert_allclose(scores, np.take_along_axis(np.asarray(logits), np.asarray(TARGETS), 1), rtol=1e-4)


@pytest.fixture(scope="module")
def pieces():
    """By head: the dense layer's input, kernel and product, from the cut head."""
    cuts = {name: contraction(head, MAPS) for name, head in CUT.items()}
    parts = lambda cut, a: (cut.wide_values(a), cut.wide_kernel(), cut.product(a))
    return cuts, jax.jit(lambda a: {name: parts(cut, a) for name, cut in cuts.items()})(MAPS)


@pytest.mark.parametrize("name", CUT)
def test_heads_that_can_be_cut(name, pieces):
    cut, (values, kernel, product) = pieces[0][name], pieces[1][name]
    np.testing.assert_allclose(np.einsum("nacb,acbf->nf", values, kernel), cut.rows(product), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(cut.unrows(cut.rows(product)), product)


@pytest.mark.parametrize("name", WHOLE)
def test_heads_that_cannot(name):
    assert contraction(WHOLE[name], MAPS) is None


def test_a_relu_in_between_has_no_constant_answer():
    assert contraction(after_relu, relu1(IMAGE)).slope == 1
    assert contraction(after_conv, conv1(IMAGE)).slope is None
    assert contraction(CUT["mean pool"], MAPS).slope == 1
    assert contraction(lambda x: (x - 3.0 * x).mean((1, 2)) @ jnp.ones((8, 2)), MAPS).slope == -2


def test_a_dense_layer_on_every_position_is_not_the_cut():
    """A kernel that takes channels only mixes them at each position."""
    head = lambda x: jax.nn.relu(x @ jnp.ones((8, 4))).mean((1, 2))
    assert contraction(head, MAPS) is None
    assert grad_cam(head, MAPS, jnp.array([0, 1, 2])).shape == (3, 4, 6)


def test_a_kernel_that_depends_on_the_activations_is_not_linear():
    head = lambda x: x.mean((1, 2)) @ (x.mean((1, 2)).T @ jnp.ones((3, 5)))
    assert contraction(head, MAPS) is None


def test_one_image_and_one_channel():
    head = lambda x: x.reshape(x.shape[0], -1) @ jnp.arange(12.0).reshape(12, 1)
    maps = jnp.ones((1, 3, 4, 1))
    assert contraction(head, maps).layout == (1, 12)
    np.testing.assert_allclose(channel_gradients(head, maps, CLASS_0)[1], [[[5.5]]])
