"""What the methods cost at VGG16's last convolution, in forwards of 224x224, by XLA's count of operations.

Everything before the layer is shared by all of them (`test_split` shows that XLA merges it), so the head is compiled
alone.
"""

import jax
import jax.numpy as jnp
import pytest

from jaxcam import attribution, networks
from jaxcam.attribution.activation import pullback
from jaxcam.networks.convolution import one_operation

STAGE = "block5_conv3"
METHODS = ("grad_cam", "grad_cam_pp", "hires_cam", "xgrad_cam", "layer_cam", "eigen_grad_cam")


@pytest.fixture(scope="module")
def costs():
    """`extra(methods, classes)`: forwards on top of one forward."""
    chain = networks.NetworkSpec(name="vgg16").chain()
    params = chain.abstract((1, 224, 224, 3))
    activations = jax.ShapeDtypeStruct((1, 14, 14, 512), jnp.float32)
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    with one_operation():  # by definition: on CPUs fewer operations are done
        forward = jax.jit(chain.apply).lower(params, image).cost_analysis()["flops"]
    assert abs(forward / 30.941e9 - 1) < 0.05  # XLA leaves the padded border out

    def flops(methods, classes):
        def program(params, activations, targets):
            head = lambda a: chain.apply(params, a, start=STAGE)
            maps = [getattr(attribution, method)(head, activations, targets) for method in methods]
            return head(activations), maps

        targets = jax.ShapeDtypeStruct((1, classes), jnp.int32)
        return jax.jit(program).lower(params, activations, targets).compile().cost_analysis()["flops"]

    plain = flops((), 1)
    return lambda methods, classes: (flops(methods, classes) - plain) / forward


def test_one_class_and_ten(costs):
    assert 0 < costs(("grad_cam",), 1) <= 0.01
    assert costs(("grad_cam",), 10) <= 0.03


def test_a_hundred_classes(costs, monkeypatch):
    monkeypatch.setattr(pullback, "MEMORY", 2**40)  # no loop, whose body would count once
    assert costs(("grad_cam",), 100) <= 0.2


def test_all_gradient_methods_together(costs):
    assert costs(METHODS, 1) <= 0.05
