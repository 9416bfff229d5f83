"""Occlusion, Score-CAM, LIME and KernelSHAP beside captum and pytorch-grad-cam, on the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import peer_maps
import pytest

from jaxcam.attribution.perturbation.masks import score_cam
from jaxcam.attribution.perturbation.occlusion_conventions import occlusion_map
from jaxcam.attribution.perturbation.segments import grid_segments
from jaxcam.attribution.perturbation.shapley import kernel_shap
from jaxcam.attribution.perturbation.surrogate import lime

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
SIZE = (16, 20)


@pytest.fixture(scope="module")
def nets():
    """The same small convnet in torch (NCHW) and JAX (NHWC), and its first layers alone in JAX."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(6, 8, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 4),
    ).eval()
    kernels = [jnp.asarray(theirs[i].weight.detach().numpy().transpose(2, 3, 1, 0)) for i in (0, 2)]
    biases = [jnp.asarray(theirs[i].bias.detach().numpy()) for i in (0, 2, 6)]
    dense = jnp.asarray(theirs[6].weight.detach().numpy().T)

    def activations(x):
        layers = (kernels[0], (2, 2), ((1, 1), (1, 1))), (kernels[1], (1, 1), "VALID")
        for (kernel, strides, padding), bias in zip(layers, biases, strict=False):
            dimensions = ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=dimensions)
            x = jax.nn.relu(x + bias)
        return x

    return theirs, lambda x: activations(x).mean((1, 2)) @ dense + biases[2], activations


@pytest.fixture(scope="module")
def pictures():
    import torch

    values = np.random.default_rng(0).normal(size=(2, *SIZE, 3)).astype(np.float32)
    return jnp.asarray(values), torch.from_numpy(values.transpose(0, 3, 1, 2).copy())


TARGETS = [1, 3]


@pytest.mark.parametrize(("window", "stride", "fill"), [((4, 4), (4, 4), 0.0), ((5, 3), (3, 2), 0.7)])
def test_captum_occlusion(nets, pictures, window, stride, fill):
    attr = pytest.importorskip("captum.attr")
    theirs, fn, _ = nets
    ours, torch_images = pictures
    expected = attr.Occlusion(theirs).attribute(
        torch_images, (3, *window), (3, *stride), baselines=fill, target=TARGETS
    )
    run = lambda x: occlusion_map(fn, x, jnp.array(TARGETS), window, stride, fill, convention="captum", engine="brute")
    np.testing.assert_allclose(jax.jit(run)(ours), expected[:, 0], rtol=1e-3, atol=1e-6)


def test_pytorch_grad_cams_score_cam(nets, pictures):
    pytest.importorskip("torch")
    try:
        peer = peer_maps.pytorch_grad_cam()
    except ImportError:
        pytest.skip("grad-cam is not installed")
    target = peer.utils.model_targets.ClassifierOutputTarget
    theirs, fn, activations = nets
    ours, torch_images = pictures
    method = peer.ScoreCAM(theirs, [theirs[3]])
    with method:
        method.batch_size = 16
        method(torch_images, [target(number) for number in TARGETS])
        layer = theirs[:4](torch_images).detach().numpy()
        expected = method.get_cam_image(torch_images, theirs[3], [target(number) for number in TARGETS], layer, None)
    run = lambda x: score_cam(fn, x, activations(x), jnp.array(TARGETS), relu=False)
    np.testing.assert_allclose(jax.jit(run)(ours), expected, rtol=1e-3, atol=1e-5)


def test_captum_lime_and_kernel_shap(nets, pictures):
    attr = pytest.importorskip("captum.attr")
    import torch
    from captum._utils.models.linear_model import SkLearnLasso

    theirs, fn, _ = nets
    ours, torch_images = pictures
    segments = grid_segments(SIZE, (2, 3))
    mask = torch.from_numpy(segments.astype(np.int64))[None, None]
    run = lambda x: (
        lime(
            fn,
            x,
            jnp.array(TARGETS),
            key=jax.random.key(0),
            segments=segments,
            convention="captum",
            samples=500,
            alpha=1e-4,
        ),
        kernel_shap(fn, x, jnp.array(TARGETS), key=jax.random.key(0), segments=segments, fill=0.0),
    )
    linear, shap = jax.jit(run)(ours)
    for i, target in enumerate(TARGETS):
        torch.manual_seed(1)
        options = {"target": target, "feature_mask": mask, "return_input_shape": False, "perturbations_per_eval": 100}
        found = attr.Lime(theirs, interpretable_model=SkLearnLasso(alpha=1e-4)).attribute(
            torch_images[i : i + 1], n_samples=500, **options
        )
        noise = 6 * np.asarray(linear.errors[i]).max()
        assert noise < np.abs(found).max() / 2
        np.testing.assert_allclose(linear.coefficients[i], found[0], atol=noise)
        values = attr.KernelShap(theirs).attribute(torch_images[i : i + 1], n_samples=1000, **options)
        np.testing.assert_allclose(shap.coefficients[i], values[0], atol=0.15 * np.abs(values).max().item())
