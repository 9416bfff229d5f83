"""Named conventions against what the tools themselves made with the same weights (`make_peer_fixtures.py`)."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import peer_maps
import pytest

from jaxcam import attribution
from jaxcam.attribution import by_convention, convention, fuse
from jaxcam.attribution.conventions import CONVENTIONS, score_of
from jaxcam.errors import UserError

SMALL = jnp.array([[[0.0, 4], [28, 32.5]]])


@pytest.fixture(scope="module")
def peers():
    with np.load(Path(__file__).parent / "fixtures" / "peer_maps.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def cuts(peers):
    """By layer number: the head and its activations."""
    values = {name.removeprefix("weights/"): jnp.asarray(v) for name, v in peers.items() if name.startswith("weights/")}
    first = peer_maps.early(values, jnp.asarray(peers["images"]))
    late = peer_maps.late(values, first)
    top = lambda a: peer_maps.top(values, a)
    return {1: (lambda a: top(peer_maps.late(values, a)), first), 4: (top, late)}


@pytest.fixture(scope="module")
def targets(peers):
    return jnp.asarray(peers["targets"], jnp.int32)


def test_the_fixture_is_what_the_script_draws(peers):
    for name, value in peer_maps.weights().items():
        np.testing.assert_array_equal(value, peers[f"weights/{name}"])
    np.testing.assert_array_equal(peer_maps.images(), peers["images"])


@pytest.mark.parametrize("layer", [1, 4])
@pytest.mark.parametrize("method", sorted(set(peer_maps.PYTORCH_GRAD_CAM) - {"eigen_cam"}))
def test_pytorch_grad_cam(method, layer, peers, cuts, targets):
    function = getattr(attribution, method)
    ours = by_convention("pytorch-grad-cam", *cuts[layer], targets, size=peer_maps.SIZE, method=function)
    np.testing.assert_allclose(ours, peers[f"pytorch-grad-cam/{method}/{layer}"], atol=2e-4)


@pytest.mark.parametrize("layer", [1, 4])
def test_eigen_cam_as_pytorch_grad_cam(layer, peers, cuts):
    maps = attribution.eigen_cam(cuts[layer][1], relu=False)
    ours = convention(maps, "pytorch-grad-cam", peer_maps.SIZE)
    np.testing.assert_allclose(ours, peers[f"pytorch-grad-cam/eigen_cam/{layer}"], atol=2e-4)


def test_several_layers_as_pytorch_grad_cam(peers, cuts, targets):
    maps = [attribution.grad_cam(*cuts[layer], targets) for layer in (1, 4)]
    fused = convention(fuse(maps, size=peer_maps.SIZE), "pytorch-grad-cam")
    np.testing.assert_allclose(fused, peers["pytorch-grad-cam/grad_cam/1+4"], atol=2e-5)


@pytest.mark.parametrize("layer", [1, 4])
def test_captum(layer, peers, cuts, targets):
    raw = by_convention("raw", *cuts[layer], targets)
    np.testing.assert_allclose(raw, peers[f"captum/raw/{layer}"], rtol=1e-4, atol=1e-6)
    ours = by_convention("captum", *cuts[layer], targets, size=peer_maps.SIZE)
    np.testing.assert_allclose(ours, peers[f"captum/grad_cam/{layer}"], rtol=1e-4, atol=1e-6)


def test_keras_book(peers, cuts, targets):
    ours = by_convention("keras-book", *cuts[4], targets, size=peer_maps.SIZE)
    np.testing.assert_allclose(ours, peers["keras-book/grad_cam/4"], atol=1e-5)


def test_the_small_map_under_every_convention():
    """The table of methods.md for [[0,4],[28,32.5]] to 4x4; the book divides by 32.5."""
    final = [
        [0, 0.0308, 0.0923, 0.1231],
        [0.2154, 0.2471, 0.3106, 0.3423],
        [0.6462, 0.6798, 0.7471, 0.7808],
        [0.8615, 0.8962, 0.9654, 1],
    ]
    np.testing.assert_allclose(convention(SMALL, "pytorch-grad-cam", (4, 4))[0], final, atol=6e-5)
    np.testing.assert_array_equal(convention(SMALL, "captum", (4, 4))[0], np.kron(SMALL[0], np.ones((2, 2))))
    np.testing.assert_allclose(convention(SMALL, "keras-book")[0], SMALL[0] / 32.5, rtol=1e-6)
    np.testing.assert_array_equal(convention(SMALL, "raw"), SMALL)
    assert convention(SMALL, "matlab", (4, 4)).min() < 0


def test_matlab_explains_the_probability(cuts, targets):
    head, activations = cuts[4]
    softmax = lambda a: jax.nn.softmax(head(a))
    ours = by_convention("matlab", head, activations, targets)
    np.testing.assert_allclose(ours, attribution.grad_cam(softmax, activations, targets), rtol=1e-4, atol=1e-8)
    assert score_of("captum", targets) is targets
    chosen = lambda logits: logits[:, 0]
    assert score_of("matlab", chosen) is chosen


@pytest.mark.parametrize("name", CONVENTIONS)
def test_dead_maps_are_defined(name):
    negative, zero = -jnp.ones((1, 2, 3)), jnp.zeros((1, 2, 3))
    broken = jnp.zeros((2, 2, 3)).at[0, 0, 0].set(jnp.nan).at[1, 1, 1].set(2.0)
    assert np.isfinite(convention(negative, name, (4, 4))).all()
    np.testing.assert_array_equal(convention(zero, name, (4, 4)), np.zeros((1, 4, 4)))
    maps = np.asarray(convention(broken, name, (4, 4)))
    assert np.isnan(maps[0]).any()
    assert np.isfinite(maps[1]).all()


@pytest.mark.parametrize("name", CONVENTIONS)
def test_jit_vmap_and_the_target_axis(name):
    maps = jax.random.normal(jax.random.key(0), (3, 2, 4, 5))
    plain = convention(maps, name, (8, 9))
    assert plain.shape == (3, 2, 8, 9)
    method = lambda x: convention(x, name, (8, 9))
    np.testing.assert_allclose(jax.jit(method)(maps), plain, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(method)(maps), plain, atol=1e-6)
    np.testing.assert_allclose(convention(maps[:, 1], name, (8, 9)), plain[:, 1], atol=1e-6)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match="unknown convention 'cptum'; there are: raw, pytorch-grad-cam, captum"):
        convention(SMALL, "cptum")
