"""Makes `fixtures/networks.json`: what real Keras and PyTorch compute with narrow versions of the networks.

    python tests/networks/make_golden.py [NETWORK ...]

Needs the extra `peers`. Keras' networks come from its own functions, with fewer channels (`keras_narrow.py`), their
input from its own `preprocess_input`; torchvision's are `torch_networks.py` under torchvision's names. The weights are
not in the file: they are drawn again from the tensors' names.
"""

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
import torch
from golden import CLASSES, SIZES, WIDTH, drawn, picture, summary
from keras_narrow import BUILDERS, module, narrow_model
from torch_networks import MODELS

from jaxcam.networks import NetworkSpec

jax.config.update("jax_disable_most_optimizations", True)  # every program runs once
FILE = Path(__file__).parent / "fixtures" / "networks.json"


def stages(name: str) -> list[str]:
    chain = NetworkSpec(name=name, width=WIDTH, classes=CLASSES, input_size=SIZES[name]).chain()
    return list(chain.names)


def from_keras(name: str) -> dict:
    model = narrow_model(name)
    there = {layer.name for layer in model.layers}
    # Keras' conv2d of InceptionV3 is the convolution before its batch norm and ReLU.
    shared = [stage for stage in stages(name) if stage in there and not stage.startswith("conv2d")]
    pixels = module(name).preprocess_input(picture(name).astype(np.float32))
    outputs = keras.Model(model.input, [model.get_layer(stage).output for stage in shared])(pixels)
    found = {stage: np.asarray(value) for stage, value in zip(shared, outputs, strict=True)}
    if name == "mobilenet":
        found["conv_preds"] = found["conv_preds"].reshape(1, CLASSES)
        found["global_average_pooling2d"] = found["global_average_pooling2d"].reshape(1, -1)
    tensors = {f"{layer.name}/{one.name}": one.shape for layer in model.layers for one in layer.weights}
    return {"source": "keras", "version": keras.__version__, **described(tensors, found)}


def from_torch(name: str) -> dict:
    model = MODELS[name](CLASSES, WIDTH).eval()
    state = {key: value for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    loaded = {key: torch.from_numpy(drawn(key, tuple(value.shape))) for key, value in state.items()}
    model.load_state_dict(loaded, strict=False)
    pixels = torch.from_numpy(picture(name)).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    pixels = (pixels / 255 - mean) / std
    if name.startswith("inception"):  # torchvision's transform_input
        pixels = pixels * (std / 0.5) + (mean - 0.5) / 0.5
    with torch.no_grad():
        found = {
            stage: (value.permute(0, 2, 3, 1) if value.ndim == 4 else value).numpy()
            for stage, value in model.stages(pixels).items()
        }
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    return {"source": "torchvision", "version": torch.__version__, **described(shapes, found)}


def described(tensors: dict, found: dict) -> dict:
    for stage, value in found.items():
        assert 1e-2 < value.std() < 1e8, f"{stage} has vanished or exploded, its summary says nothing"
    return {
        "tensors": {name: list(shape) for name, shape in tensors.items()},
        "stages": {stage: summary(stage, value) for stage, value in found.items()},
    }


if __name__ == "__main__":
    networks = json.loads(FILE.read_text()) if FILE.exists() else {}
    FILE.parent.mkdir(exist_ok=True)
    for name in sys.argv[1:] or SIZES:
        networks[name] = (from_keras if name in BUILDERS else from_torch)(name)
        lines = [f" {json.dumps(each)}: {json.dumps(networks[each])}" for each in SIZES if each in networks]
        FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        print(name, len(networks[name]["stages"]), "stages;", FILE.stat().st_size, "bytes", flush=True)
