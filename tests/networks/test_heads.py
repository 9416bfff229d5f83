"""Heads: one sigmoid unit is two logits, dropout where it is asked for, kernels that start as Keras' do."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcam import attribution, networks
from jaxcam.classifier import Classifier
from jaxcam.errors import UserError
from jaxcam.maps.stages import cam_stage, cam_weights
from jaxcam.networks import Head
from jaxcam.networks.layers import BinaryLogits
from jaxcam.preprocessing import Preprocessing


def test_two_logits_are_the_binary_cross_entropy_of_one_unit():
    z = jnp.asarray([-30.0, -2.0, 0.0, 0.5, 40.0])
    labels = jnp.asarray([0, 1, 1, 0, 0])

    def softmax(z):
        logits = BinaryLogits().apply({}, z[:, None])
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).sum()

    def sigmoid(z):
        return optax.sigmoid_binary_cross_entropy(z, labels.astype(z.dtype)).sum()

    np.testing.assert_allclose(softmax(z), sigmoid(z), rtol=1e-6)
    np.testing.assert_allclose(jax.grad(softmax)(z), jax.grad(sigmoid)(z), rtol=1e-5, atol=1e-7)
    probabilities = jax.nn.softmax(BinaryLogits().apply({}, z[:, None]))
    np.testing.assert_allclose(probabilities[:, 1], jax.nn.sigmoid(z), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_sigmoid_head_keeps_its_type(dtype):
    head = Head(kind="dense", pool="flatten", hidden=(8,), output="sigmoid")
    chain, params = networks.build("convnet", classes=2, head=head, width=1 / 16, input_size=(48, 50), dtype=dtype)
    assert params["predictions"]["kernel"].shape == (8, 1)
    assert "logits" not in params
    logits = chain.apply(params, jnp.ones((3, 48, 50, 3)))
    assert (logits.shape, logits.dtype) == ((3, 2), jnp.dtype(dtype))


@pytest.mark.parametrize(("kind", "classes"), [("dense", 3), ("dense", 1), ("cam", 2)])
def test_a_sigmoid_stands_for_two_classes(kind, classes):
    with pytest.raises(UserError, match="two classes in a dense head"):
        networks.build("convnet", classes=classes, head=Head(kind=kind, output="sigmoid"), input_size=(48, 48))


def test_dropout_before_or_after_the_hidden_layers():
    place = lambda **options: [name for name, _ in Head(kind="dense", hidden=(4, 4), **options).stages(2)]
    assert place(dropout=0.5) == ["gap", "dense_1", "dense_2", "dropout", "predictions"]
    assert place(dropout=0.5, dropout_place="before") == ["gap", "dropout", "dense_1", "dense_2", "predictions"]
    assert place(dropout_place="before") == ["gap", "dense_1", "dense_2", "predictions"]


def test_maps_of_a_sigmoid_unit():
    head = Head(kind="dense", pool="average", output="sigmoid")
    chain, params = networks.build("convnet", classes=2, head=head, width=1 / 4, input_size=(64, 64))
    spec = networks.NetworkSpec(name="convnet", classes=2, head=head, width=1 / 4, input_size=(64, 64))
    classifier = Classifier(spec, params, Preprocessing.named("unit", size=(64, 64)), ("cat", "dog"))
    assert cam_stage(classifier) == "pool4"
    images = jax.random.uniform(jax.random.key(1), (3, 64, 64, 3))
    activations = chain.apply(params, images, stop="pool4")
    behind = lambda a: chain.apply(params, a, start="pool4")
    for target, sign in ((0, -0.5), (1, 0.5)):
        targets = jnp.full((3,), target)
        cam = attribution.cam(activations, cam_weights(classifier, params), targets)
        kernel = params["predictions"]["kernel"][:, 0]
        np.testing.assert_allclose(cam, jnp.einsum("nhwc,c->nhw", activations, sign * kernel), rtol=1e-4, atol=1e-6)
        # With a mean and a linear layer behind the maps, Grad-CAM is CAM over the number of positions.
        grad_cam = attribution.grad_cam(behind, activations, targets, relu=False)
        np.testing.assert_allclose(grad_cam * activations.shape[1] * activations.shape[2], cam, rtol=1e-3, atol=1e-6)


def test_kernels_start_as_keras_has_them():
    chain, params = networks.build("convnet", classes=2, head=Head(kind="dense", pool="flatten", hidden=(512,)))
    for stage, (fan_in, fan_out) in {"conv4": (9 * 128, 9 * 128), "dense_1": (6272, 512)}.items():
        kernel = np.asarray(params[stage]["kernel"])
        limit = np.sqrt(6 / (fan_in + fan_out))
        assert 0.99 * limit < np.abs(kernel).max() <= limit
        np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.02)
        assert not np.asarray(params[stage]["bias"]).any()
    again = networks.NetworkSpec(name="convnet", classes=2, head=Head(kind="dense", pool="flatten", hidden=(512,)))
    assert chain == again.chain(), "a chain that is made again must find what was compiled for the first"
