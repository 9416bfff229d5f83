"""Files that real Keras writes, both formats, with top and without; torchvision's layout at full width."""

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import CLASSES, SIZES, WIDTH, picture

from jaxcam import weights
from jaxcam.networks import NetworkSpec
from jaxcam.preprocessing import Preprocessing
from jaxcam.weights.catalog import imagenet
from jaxcam.weights.safetensors_files import flatten

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("quick_compilation")]
KERAS = ("vgg19", "resnet50", "mobilenet", "inception_v3", "xception")


def save_legacy(path, model, offset=0):
    """Keras' old `.h5`; with `offset` the automatic names are counted from there, as in the published files."""
    legacy = pytest.importorskip("keras.src.legacy.saving.legacy_h5_format")
    with h5py.File(path, "w") as file:
        legacy.save_weights_to_hdf5_group(file, model)
    if not offset:
        return
    with h5py.File(path) as old, h5py.File(path.with_name("offset.h5"), "w") as new:
        names = []
        for layer in old.attrs["layer_names"]:
            layer = layer.decode() if isinstance(layer, bytes) else layer
            base, _, number = layer.rpartition("_")
            automatic = ("conv2d", "batch_normalization")
            if layer in automatic:
                names.append(f"{layer}_{offset}")
            elif base in automatic:
                names.append(f"{base}_{int(number) + offset}")
            else:
                names.append(layer)
            group = new.create_group(names[-1])
            parts = [str(part).split("/")[-1] for part in old[layer].attrs["weight_names"]]
            group.attrs["weight_names"] = [f"{names[-1]}/{part}:0".encode() for part in parts]
            for part in parts:
                group[f"{names[-1]}/{part}:0"] = old[f"{layer}/{layer}/{part}"][()]
        new.attrs["layer_names"] = [name.encode() for name in names]
    path.with_name("offset.h5").replace(path)


@pytest.mark.parametrize("name", KERAS)
def test_files_of_keras(name, tmp_path):
    pytest.importorskip("keras")
    from keras_narrow import module, narrow_model

    spec = NetworkSpec(name=name, width=WIDTH, classes=CLASSES, input_size=SIZES[name])
    chain = spec.chain()
    with jax.numpy_dtype_promotion("standard"):
        model, base = narrow_model(name), narrow_model(name, top=False)
        pixels = picture(name)
        expected = np.asarray(model(module(name).preprocess_input(pixels.astype(np.float32))))
        model.save_weights(tmp_path / "w.weights.h5")
        save_legacy(tmp_path / "w.h5", model, offset=1)
        base.save_weights(tmp_path / "base.weights.h5")
        save_legacy(tmp_path / "base.h5", base)
    with h5py.File(tmp_path / "w.weights.h5") as old, h5py.File(tmp_path / "first.weights.h5", "w") as new:
        for layer, group in old["layers"].items():  # Keras 3 before it wrote the layers' names
            for number, value in group.get("vars", {}).items():
                new[f"layers/{layer}/vars/{number}"] = value[()]
    params = weights.load(tmp_path / "w.weights.h5", chain.abstract(spec.shape), network=name)
    inputs = Preprocessing.named(imagenet(name).preprocessing).normalise(jnp.asarray(pixels))
    found = np.asarray(jax.jit(chain.apply)(params, inputs))
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    for file in ("w.h5", "first.weights.h5", "base.weights.h5", "base.h5"):
        other = flatten(weights.load(tmp_path / file, None, network=name))
        mine = flatten(params)
        assert other.keys() == {each for each in mine if "base" not in file or each.split("/")[0] in spec.base_names()}
        for parameter, value in other.items():
            np.testing.assert_array_equal(value, mine[parameter], err_msg=f"{file}: {parameter}")


@pytest.mark.parametrize("name", ["resnet50_torchvision", "inception_v3_torchvision"])
def test_torchvisions_layout_at_full_width(name, tmp_path):
    torch = pytest.importorskip("torch")
    from torch_networks import MODELS

    torch.manual_seed(0)
    model = MODELS[name](11).eval()
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif value.ndim == 1:
                value.add_(0.1 * torch.randn(value.shape))
            elif value.ndim > 1:
                value.normal_(0, (2 / value[0].numel()) ** 0.5)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    spec = NetworkSpec(name=name, classes=11, input_size=(97, 110))
    chain = spec.chain()
    params = weights.load(tmp_path / "w.pth", chain.abstract(spec.shape), network=name)
    inputs = np.random.default_rng(0).normal(0, 1, spec.shape).astype(np.float32)
    with torch.no_grad():
        outputs = model.stages(torch.from_numpy(inputs).permute(0, 3, 1, 2))
    expected = {key: (v.permute(0, 2, 3, 1) if v.ndim == 4 else v).numpy() for key, v in outputs.items()}

    @jax.jit
    def run(params, x):
        found, start = {}, None
        for stage in expected:
            x = found[stage] = chain.apply(params, x, start=start, stop=stage)
            start = stage
        return found

    found = run(params, jnp.asarray(inputs))
    errors = {
        key: float(np.abs(np.asarray(found[key]) - value).max() / np.abs(value).max())
        for key, value in expected.items()
    }
    assert max(errors.values()) < 1e-4, errors
