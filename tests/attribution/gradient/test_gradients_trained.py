"""The gradient family on the packaged trained network and drawn pictures: conservation, and bfloat16 beside float32."""

import jax.numpy as jnp
import numpy as np
import pytest
from gradient_family import fast_jit
from scipy.stats import spearmanr

from jaxcam import attribution
from jaxcam.attribution import Composite, Epsilon, ZBox, ZPlus
from jaxcam.data import drawn
from jaxcam.networks import NetworkSpec
from jaxcam.preprocessing import Preprocessing
from jaxcam.weights.catalog import get
from jaxcam.weights.pretrained import load_entry

ENTRY = get("vgg16_mini")


def function(dtype):
    """The trained convolutions; the scores are the means of their last channels."""
    spec = NetworkSpec(name="vgg16_mini", head="none", input_size=(64, 64), dtype=dtype)
    base = attribution.named_stages(spec.chain(), load_entry(ENTRY, None))
    return lambda x: base(x).astype(jnp.float32).mean((1, 2))


@pytest.fixture(scope="module")
def pictures():
    drawings, _ = drawn.draw_set(4, 5, size=64)
    images = Preprocessing.named(ENTRY.preprocessing).normalise(jnp.asarray(drawings))
    return images, function("float32")(images).argmax(-1)


def test_relevance_is_conserved_through_thirteen_layers(pictures):
    images, targets = pictures
    rules = Composite(Epsilon(bias=False), ZPlus(bias=False), ZBox(-1.0, 1.0))
    found = fast_jit(lambda x: attribution.relevance(function("float32"), x, targets, rules=rules))(images)
    np.testing.assert_allclose(found.error / found.expected, np.zeros(4), atol=1e-4)
    assert len(found.stages) == 18


def test_deep_lift_adds_up(pictures):
    images, targets = pictures
    found = fast_jit(lambda x: attribution.deep_lift(function("float32"), x, targets, baselines=0.0))(images)
    np.testing.assert_allclose(found.error / found.expected, np.zeros(4), atol=1e-3)


METHODS = {
    "saliency": attribution.saliency,
    "guided_backprop": attribution.guided_backprop,
    "relevance": lambda *given: attribution.relevance(*given).attributions,
    "deep_lift": lambda *given: attribution.deep_lift(*given, baselines=0.0).attributions,
    "integrated_gradients": lambda *given: (
        attribution.integrated_gradients(*given, baselines=0.0, steps=8).attributions
    ),
}


# Rounding to eight bits turns ReLUs and the choices of max pools over, which moves single pixels of a gradient.
FLOORS = {
    "saliency": 0.9,
    "guided_backprop": 0.98,
    "relevance": 0.998,
    "deep_lift": 0.93,
    "integrated_gradients": 0.93,
}


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_keeps_the_order(pictures, method):
    images, targets = pictures
    run = lambda dtype: fast_jit(lambda x: METHODS[method](function(dtype), x, targets))(images)
    maps = [np.asarray(attribution.channel_max_abs(run(dtype))) for dtype in ("float32", "bfloat16")]
    for exact, half in zip(*maps, strict=True):
        assert spearmanr(exact.ravel(), half.ravel()).statistic > FLOORS[method]
