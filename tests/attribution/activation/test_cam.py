"""CAM and Grad-CAM against numbers that nobody here made (methods.md), in plain, jitted, mapped and sharded form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcam import devices, networks
from jaxcam.attribution.activation.cam import cam, channel_gradients, grad_cam

IMAGE = jnp.arange(16.0).reshape(1, 4, 4, 1)
DENSE = jnp.tile(jnp.array([1.0, 1, 1, 1, 1, -1, -1, -1])[:, None], (1, 4))


def conv1(image):
    """First layer of captum's BasicModel_ConvNet_One_Conv, before its ReLU."""
    kernel = jnp.ones((3, 3, 1, 2))
    out = lax.conv_general_dilated(image, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return out + jnp.array([-50.0, -75.0])


def after_relu(activations):
    """The rest of captum's model from `relu1`; it flattens channels first."""
    return jax.nn.relu(activations.transpose(0, 3, 1, 2).reshape(activations.shape[0], -1) @ DENSE)


def after_conv(activations):
    return after_relu(jax.nn.relu(activations))


CLASS_0 = jnp.array([0])


def test_captum_model_gives_54():
    np.testing.assert_allclose(after_conv(conv1(IMAGE)), 54 * np.ones((1, 4)))


def test_case_1_grad_cam_before_relu():
    maps = grad_cam(after_conv, conv1(IMAGE), CLASS_0, relu=False)
    np.testing.assert_allclose(maps[0], [[11.25, 13.5], [20.25, 22.5]])


def test_case_2_each_channel():
    _, weights = channel_gradients(after_conv, conv1(IMAGE), CLASS_0[:, None])
    channels = conv1(IMAGE)[0] * weights[0, 0]
    np.testing.assert_allclose(channels[..., 0], [[-3.75, 3], [23.25, 30]])
    np.testing.assert_allclose(channels[..., 1], [[15, 10.5], [-3, -7.5]])


def test_case_3_after_relu():
    maps = grad_cam(after_relu, jax.nn.relu(conv1(IMAGE)), CLASS_0)
    np.testing.assert_allclose(maps[0], [[0, 4], [28, 32.5]])


def test_case_4_second_input():
    maps = grad_cam(after_conv, conv1(IMAGE + 1), CLASS_0, relu=False)
    np.testing.assert_allclose(maps[0], [[14.5, 19], [32.5, 37]])


def test_case_21_xplique():
    maps = jnp.array([[[1, 1], [1, 1]], [[1, 1], [0, 0]], [[1, 0.5], [0, 0]], [[0.5, 0], [0, 0]]])
    activations = maps.transpose(1, 2, 0)[None]
    head = lambda a: (a * activations).sum((1, 2, 3))[:, None]
    _, weights = channel_gradients(head, activations, CLASS_0[:, None])
    np.testing.assert_allclose(weights[0, 0], [1, 0.5, 0.375, 0.125])
    np.testing.assert_allclose(grad_cam(head, activations, CLASS_0)[0], [[1.9375, 1.6875], [1, 1]])


def test_case_29_pair():
    row = jnp.array([1.0, 2, 3, 2, 1])
    activations = (row * jnp.array([-1.0, 1, 0, 1, -1])[:, None])[None, ..., None]
    maps = grad_cam(lambda a: 0.88 * a.sum((1, 2)), activations, CLASS_0)[0]
    expected = np.zeros((5, 5))
    expected[[1, 3]] = [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]
    np.testing.assert_allclose(maps / maps.max(), expected, rtol=1e-6)


def test_case_35_tf_explain():
    activations = jnp.broadcast_to(jnp.array([1.0, 2, 4]), (1, 3, 3, 3))
    head = lambda a: (a * jnp.array([1.0, 2, 3])).sum((1, 2, 3))[:, None]
    np.testing.assert_allclose(grad_cam(head, activations, CLASS_0)[0], 17 * np.ones((3, 3)), rtol=1e-6)


@pytest.fixture(scope="module")
def net():
    head = networks.Head(kind="dense", pool="average")
    chain, params = networks.build(
        "vgg16", width=1 / 16, classes=5, head=head, input_size=(48, 64), key=jax.random.key(1)
    )
    images = jax.random.normal(jax.random.key(2), (4, 48, 64, 3))
    activations = chain.apply(params, images, stop="block5_conv3")
    return chain, params, activations, jnp.array([0, 3, 4, 1])


def test_case_45_cam_is_grad_cam_times_positions():
    weights = jax.random.normal(jax.random.key(0), (6, 5))
    activations = jax.random.normal(jax.random.key(3), (3, 4, 7, 6))
    targets = jnp.array([4, 0, 2])
    ours = cam(activations, weights, targets)
    theirs = 4 * 7 * grad_cam(lambda a: a.mean((1, 2)) @ weights, activations, targets, relu=False)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_case_46_a_batch_is_single_calls(net):
    chain, params, activations, targets = net
    head = lambda a: chain.apply(params, a, start="block5_conv3")
    together = grad_cam(head, activations, targets)
    for i in range(len(targets)):
        single = grad_cam(head, activations[i : i + 1], targets[i : i + 1])
        np.testing.assert_allclose(together[i], single[0], rtol=1e-4, atol=1e-7)


def test_several_targets_equal_one_at_a_time(net):
    chain, params, activations, _ = net
    head = lambda a: chain.apply(params, a, start="block5_conv3")
    every = jnp.broadcast_to(jnp.arange(5), (4, 5))
    together = grad_cam(head, activations, every)
    assert together.shape == (4, 5, *activations.shape[1:3])
    for k in range(5):
        np.testing.assert_allclose(together[:, k], grad_cam(head, activations, every[:, k]), rtol=1e-4, atol=1e-7)


def test_jit_vmap_and_sharded_equal_plain(net):
    chain, params, activations, targets = net
    method = lambda a, t: grad_cam(lambda x: chain.apply(params, x, start="block5_conv3"), a, t)
    plain = method(activations, targets)
    mapped = jax.vmap(lambda a, t: method(a[None], t[None])[0])(activations, targets)
    sharded = jax.jit(method)(*devices.shard((activations, targets)))
    assert len(sharded.sharding.device_set) == 2
    for other in (jax.jit(method)(activations, targets), mapped, sharded):
        np.testing.assert_allclose(plain, other, rtol=1e-4, atol=1e-7)


def test_bfloat16_activations_are_summed_in_float32():
    activations = jnp.ones((1, 64, 64, 4), jnp.bfloat16)
    maps = grad_cam(lambda a: a.astype(jnp.float32).sum((1, 2)), activations, CLASS_0)
    assert maps.dtype == jnp.float32
    np.testing.assert_allclose(maps, np.full((1, 64, 64), 1.0))


def test_a_wrong_number_of_targets_is_refused(net):
    chain, params, activations, _ = net
    with pytest.raises(ValueError, match=r"targets must be \(4,\)"):
        grad_cam(lambda a: chain.apply(params, a, start="block5_conv3"), activations, jnp.array([1]))
