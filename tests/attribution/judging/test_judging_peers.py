"""Our numbers beside captum's and pytorch-grad-cam's, on one network and one set of perturbations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam.attribution.judging.faithfulness import confidence_change
from jaxcam.attribution.judging.road import impute, road
from jaxcam.attribution.judging.robustness import infidelity, max_sensitivity

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("default")]
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(3, 10, 12, 3)).astype(np.float32)
KERNEL, DENSE = RANDOM.normal(size=(3, 3, 3, 4)).astype(np.float32) / 3, RANDOM.normal(size=(4, 5)).astype(np.float32)
TARGETS = np.array([0, 3, 4])
SAMPLES = 7


def fn(images):
    """A convolution, ReLU, mean, dense."""
    maps = jax.lax.conv_general_dilated(images, KERNEL, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(maps).mean((1, 2)) @ DENSE


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def network(torch):
    convolution, dense = torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.Linear(4, 5, bias=False)
    convolution.weight.data = torch.from_numpy(KERNEL.transpose(3, 2, 0, 1).copy())
    dense.weight.data = torch.from_numpy(DENSE.T.copy())

    class Network(torch.nn.Module):
        def forward(self, x):
            return dense(torch.relu(convolution(x)).mean((2, 3)))

    found = Network()
    np.testing.assert_allclose(found(nchw(torch, IMAGES)).detach(), fn(jnp.asarray(IMAGES)), atol=1e-5)
    return found


def nchw(torch, values):
    return torch.from_numpy(np.array(values).transpose(0, 3, 1, 2).copy())


@pytest.mark.parametrize("scale", ["none", "best"])
def test_infidelity_is_captums(torch, network, scale):
    metrics = pytest.importorskip("captum.metrics")
    changes = (0.3 * RANDOM.normal(size=(3, SAMPLES, 10, 12, 3))).astype(np.float32)
    attributions = RANDOM.normal(size=IMAGES.shape).astype(np.float32)

    def theirs(inputs):
        # captum repeats each image next to itself.
        noise = nchw(torch, changes[:, : len(inputs) // 3].reshape(-1, 10, 12, 3))
        return noise, inputs - noise

    expected = metrics.infidelity(
        network,
        theirs,
        nchw(torch, IMAGES),
        nchw(torch, attributions),
        target=torch.from_numpy(TARGETS),
        n_perturb_samples=SAMPLES,
        normalize=scale == "best",
    )
    # One image at a time, so that it is known which sample comes when.
    for row in range(3):
        keys = jax.random.split(jax.random.key(0), SAMPLES)
        table = {tuple(np.asarray(jax.random.key_data(k)).tolist()): i for i, k in enumerate(keys)}
        assert len(table) == SAMPLES

        def perturb(key, image, row=row, keys=keys):
            same = (jax.random.key_data(keys) == jax.random.key_data(key)).all(1)
            change = jnp.asarray(changes[row])[jnp.argmax(same)]
            return change, image - change

        ours = infidelity(
            fn,
            jnp.asarray(IMAGES[row : row + 1]),
            jnp.asarray(attributions[row : row + 1]),
            jnp.asarray(TARGETS[row : row + 1]),
            key=jax.random.key(0),
            perturb=perturb,
            samples=SAMPLES,
            scale=scale,
        )
        np.testing.assert_allclose(ours[0], expected[row].item(), rtol=1e-4)


def test_sensitivity_is_captums(torch):
    metrics = pytest.importorskip("captum.metrics")
    images, key = jnp.asarray(IMAGES), jax.random.key(0)
    draw = lambda number: jax.random.uniform(jax.random.fold_in(key, number), (10, 12, 3), minval=-0.1, maxval=0.1)
    noise = np.stack([np.asarray(draw(number)) for number in range(SAMPLES)])

    def perturb(inputs, radius=0.1):
        repeats = len(inputs) // 3
        return inputs + nchw(torch, np.tile(noise[:repeats], (3, 1, 1, 1)))

    def explain(x):
        return (explain(x[0]),) if isinstance(x, tuple) else torch.sin(3 * x).mean(1, keepdim=True)

    expected = metrics.sensitivity_max(
        explain,
        nchw(torch, IMAGES),
        perturb_func=perturb,
        perturb_radius=0.1,
        n_perturb_samples=SAMPLES,
    )
    ours = max_sensitivity(lambda x: jnp.sin(3 * x).mean(-1), images, key=key, radius=0.1, samples=SAMPLES)
    np.testing.assert_allclose(ours, expected, rtol=1e-4)


def peer():
    from peer_maps import pytorch_grad_cam

    pytest.importorskip("cv2")
    try:
        pytorch_grad_cam()
    except ModuleNotFoundError as error:
        pytest.skip(f"pytorch-grad-cam is not installed: {error}")


def test_imputation_and_road_are_pytorch_grad_cams(torch, network):
    """Without its noise, and on maps without equal values: there it removes what we remove."""
    peer()
    from pytorch_grad_cam.metrics import road as theirs
    from pytorch_grad_cam.metrics.perturbation_confidence import (
        PerturbationConfidenceMetric,
        RemoveLeastRelevantFirst,
        RemoveMostRelevantFirst,
    )
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    known = RANDOM.random((3, 10, 12)) < 0.4
    quiet = theirs.NoisyLinearImputer(noise=0.0)
    expected = [
        quiet(picture, torch.from_numpy(mask.astype(np.float32)))
        for picture, mask in zip(nchw(torch, IMAGES), known, strict=True)
    ]
    ours = np.asarray(impute(jnp.asarray(IMAGES), jnp.asarray(known), tolerance=1e-6))
    np.testing.assert_allclose(ours.transpose(0, 3, 1, 2), np.stack(expected), atol=1e-4)

    maps = RANDOM.permuted(np.tile(np.linspace(0, 1, 120, dtype=np.float32), (3, 1)), axis=1).reshape(3, 10, 12)
    targets = [ClassifierOutputTarget(int(target)) for target in TARGETS]
    shares, found = (0.2, 0.5), {}
    for name, remove in (("most", RemoveMostRelevantFirst), ("least", RemoveLeastRelevantFirst)):
        found[name] = np.stack(
            [
                PerturbationConfidenceMetric(remove(100 - 100 * share, quiet))(
                    nchw(torch, IMAGES), maps, targets, network, return_diff=False
                )
                for share in shares
            ],
            axis=1,
        )
    ours = road(
        fn,
        jnp.asarray(IMAGES),
        jnp.asarray(maps),
        jnp.asarray(TARGETS),
        key=jax.random.key(0),
        shares=shares,
        noise=0.0,
        score="logit",
    )
    np.testing.assert_allclose(ours.most, found["most"], atol=1e-3)
    np.testing.assert_allclose(ours.least, found["least"], atol=1e-3)


def test_scores_behind_the_map_are_pytorch_grad_cams(torch, network):
    peer()
    from pytorch_grad_cam.metrics.cam_mult_image import CamMultImageConfidenceChange

    maps = RANDOM.random((3, 10, 12)).astype(np.float32)
    maps /= maps.max((1, 2), keepdims=True)
    targets = [lambda output, target=int(target): torch.softmax(output, -1)[target].detach() for target in TARGETS]
    expected = CamMultImageConfidenceChange()(nchw(torch, IMAGES), maps, targets, network)
    change = confidence_change(fn, jnp.asarray(IMAGES), jnp.asarray(maps), jnp.asarray(TARGETS))
    np.testing.assert_allclose(change.after - change.before, expected, atol=1e-5)
