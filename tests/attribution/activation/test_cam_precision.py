"""bfloat16 keeps the order of a trained network's maps: packaged weights, drawn pictures, a head fitted to them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import spearmanr

from jaxcam import attribution, networks, weights
from jaxcam.attribution import at_stage
from jaxcam.data import drawn

METHODS = ("grad_cam", "grad_cam_pp", "hires_cam", "xgrad_cam", "layer_cam", "eigen_grad_cam", "ablation_cam")
CLASSES, SIZE, STAGE = (3, 20, 45, 70, 100), 96, "block5_conv3"


@pytest.fixture(scope="module")
def maps():
    """By dtype: signed maps by method, for one image a class."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(CLASSES)), 6)
    pixels = np.stack([drawn.draw(CLASSES[label], rng, size=SIZE) for label in labels])
    images = jnp.asarray(pixels, jnp.float32) / 127.5 - 1
    made, shown = {}, images[::6]
    for dtype in ("float32", "bfloat16"):
        head = networks.Head(kind="dense")
        chain = networks.NetworkSpec(classes=len(CLASSES), head=head, input_size=(SIZE, SIZE), dtype=dtype).chain()
        params = weights.load_entry("vgg16_mini", chain.slice(stop="gap").abstract((1, SIZE, SIZE, 3)))
        if dtype == "float32":
            pooled = np.asarray(jax.jit(lambda x, p=params, c=chain: c.apply(p, x, stop="gap"))(images), np.float64)
            wanted = 4 * np.eye(len(CLASSES))[labels] - 2
            ridge = pooled.T @ pooled + 0.01 * np.trace(pooled.T @ pooled) * np.eye(pooled.shape[1]) / pooled.shape[1]
            kernel = jnp.asarray(np.linalg.solve(ridge, pooled.T @ wanted), jnp.float32)
        params["predictions"] = {"kernel": kernel, "bias": jnp.zeros(len(CLASSES))}

        @jax.jit
        def program(x, params=params, chain=chain):
            features, head = at_stage(chain, params, STAGE)
            activations, targets = features(x), jnp.arange(len(CLASSES))
            run = lambda m: getattr(attribution, m)(head, activations, targets, relu=False)
            eigen = attribution.eigen_cam(activations, relu=False)
            return {m: run(m) for m in METHODS} | {"eigen_cam": eigen}

        made[dtype] = program(shown)
    return made


@pytest.mark.parametrize("method", [*METHODS, "eigen_cam"])
def test_bfloat16_keeps_the_ranks(method, maps):
    exact, half = (np.asarray(maps[dtype][method]) for dtype in ("float32", "bfloat16"))
    assert half.dtype == np.float32
    correlations = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(exact, half, strict=True)]
    assert min(correlations) >= 0.99, correlations
