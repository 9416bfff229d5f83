"""The peers run here and now, on another image and other weights than the fixture's."""

import jax
import jax.numpy as jnp
import numpy as np
import peer_maps
import pytest

from jaxcam import attribution
from jaxcam.attribution import by_convention, convention, fuse, guided_grad_cam

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("default"),
    pytest.mark.usefixtures("quick_compilation"),
]

WEIGHTS, IMAGES, TARGETS = peer_maps.weights(seed=3), peer_maps.images(2, seed=5), [2, 1]
CLASSES = jnp.array(TARGETS)


def head(layer):
    top = lambda a: peer_maps.top(WEIGHTS, a)
    return top if layer == 4 else lambda a: top(peer_maps.late(WEIGHTS, a))


def features(layer):
    early = lambda x: peer_maps.early(WEIGHTS, x)
    return early if layer == 1 else lambda x: peer_maps.late(WEIGHTS, early(x))


@pytest.mark.parametrize("layer", [1, 4])
def test_pytorch_grad_cam(layer):
    @jax.jit
    def ours(x):
        activations = features(layer)(x)
        eigen = convention(attribution.eigen_cam(activations, relu=False), "pytorch-grad-cam", peer_maps.SIZE)
        methods = [m for m in peer_maps.PYTORCH_GRAD_CAM if m != "eigen_cam"]
        run = lambda m: by_convention(
            "pytorch-grad-cam", head(layer), activations, CLASSES, size=peer_maps.SIZE, method=getattr(attribution, m)
        )
        return {method: run(method) for method in methods} | {"eigen_cam": eigen}

    for method, maps in ours(IMAGES).items():
        network = peer_maps.torch_network(WEIGHTS)
        theirs = peer_maps.by_pytorch_grad_cam(method, network, [layer], IMAGES, TARGETS)
        np.testing.assert_allclose(maps, theirs, atol=3e-4, err_msg=method)


def test_several_layers():
    x = jnp.asarray(IMAGES)
    maps = [attribution.grad_cam(head(layer), features(layer)(x), CLASSES) for layer in (1, 4)]
    ours = convention(fuse(maps, size=peer_maps.SIZE), "pytorch-grad-cam")
    network = peer_maps.torch_network(WEIGHTS)
    theirs = peer_maps.by_pytorch_grad_cam("grad_cam", network, [1, 4], IMAGES, TARGETS)
    np.testing.assert_allclose(ours, theirs, atol=3e-5)


@pytest.mark.parametrize("layer", [1, 4])
def test_captum(layer):
    x, network = jnp.asarray(IMAGES), peer_maps.torch_network(WEIGHTS)
    ours = by_convention("captum", head(layer), features(layer)(x), CLASSES, size=peer_maps.SIZE)
    theirs = peer_maps.by_captum(network, layer, IMAGES, TARGETS, peer_maps.SIZE)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_guided_grad_cam():
    ours = guided_grad_cam(features(4), head(4), jnp.asarray(IMAGES), CLASSES, rule="nearest")
    theirs = peer_maps.guided_by_captum(peer_maps.torch_network(WEIGHTS), 4, IMAGES, TARGETS)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_keras_book():
    activations = features(4)(jnp.asarray(IMAGES))
    ours = by_convention("keras-book", head(4), activations, CLASSES, size=peer_maps.SIZE)
    for image, target, maps in zip(IMAGES, TARGETS, ours, strict=True):
        np.testing.assert_allclose(maps, peer_maps.by_keras_book(WEIGHTS, image, target), atol=1e-5)
