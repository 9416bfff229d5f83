"""Makes `fixtures/`: narrow VGG16s written by real PyTorch and real Keras 3, and what those compute from them.

    python tests/weights/make_fixtures.py

Needs the extra `peers`. Everything is drawn from fixed seeds; files differ between runs only in what the libraries put
into them (times, memory addresses). The networks are 1/32 as wide as VGG16 and take 64x96 pictures, so that the last
map is 2x3x16 and a wrong order of its axes shows.
"""

import copyreg
import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"

import h5py
import keras
import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

FOLDER = Path(__file__).parent / "fixtures"
BLOCKS = ((2, 2), (2, 4), (3, 8), (3, 16), (3, 16))
"""(convolutions, channels) of every block."""
MAP = (2, 3)
FEATURES = 128
CLASSES = 5
SIZE = (64, 96)


class TorchVGG(nn.Module):
    """VGG16 with torchvision's modules and names."""

    def __init__(self, blocks=BLOCKS, features=FEATURES, classes=CLASSES, size=MAP):
        super().__init__()
        layers, channels = [], 3
        for count, width in blocks:
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(channels * size[0] * size[1], features),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(features, features),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(features, classes),
        )

    def forward(self, x):
        """Logits, and the output of every pool as (n, h, w, c)."""
        pools = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                pools.append(x.permute(0, 2, 3, 1))
        return self.classifier(x.flatten(1)), pools


class TimmVGG(nn.Module):
    """VGG16 with timm's modules and names: the dense layers are convolutions."""

    def __init__(self):
        super().__init__()
        self.features = TorchVGG().features
        self.pre_logits = nn.Module()
        self.pre_logits.fc1 = nn.Conv2d(BLOCKS[-1][1], FEATURES, MAP)
        self.pre_logits.fc2 = nn.Conv2d(FEATURES, FEATURES, 1)
        self.head = nn.Module()
        self.head.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, x):
        x = torch.relu(self.pre_logits.fc1(self.features(x)))
        return self.head.fc(torch.relu(self.pre_logits.fc2(x)).flatten(1))


def randomise(model: nn.Module, seed: int) -> nn.Module:
    """He's scale, so that activations neither vanish nor explode, and biases that matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 100
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (2 / fan_in) ** 0.5)
    return model.eval()


def random_picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, *SIZE, 3), dtype=np.uint8)


def as_input(picture: np.ndarray) -> np.ndarray:
    return (picture.astype(np.float32) - 128) / 64


def save_expected(name: str, picture: np.ndarray, logits: np.ndarray, pools: list[np.ndarray]) -> None:
    blocks = {f"block{i}_pool": pool.astype(np.float32) for i, pool in enumerate(pools, start=1)}
    np.savez_compressed(FOLDER / name, picture=picture, predictions=logits.astype(np.float32), **blocks)


def make_torch() -> None:
    model = randomise(TorchVGG(), seed=1)
    state = model.state_dict()
    torch.save(state, FOLDER / "torchvision.pth")
    torch.save(
        {"state_dict": state, "epoch": 3}, FOLDER / "torchvision_legacy.pth", _use_new_zipfile_serialization=False
    )
    save_file(state, FOLDER / "torchvision.safetensors")

    timm = TimmVGG()
    renamed = {
        name.replace("classifier.0", "pre_logits.fc1")
        .replace("classifier.3", "pre_logits.fc2")
        .replace("classifier.6", "head.fc"): value
        for name, value in state.items()
    }
    renamed = {name: renamed[name].reshape(value.shape) for name, value in timm.state_dict().items()}
    timm.load_state_dict(renamed)
    save_file(timm.state_dict(), FOLDER / "timm.safetensors")

    picture = random_picture(1)
    with torch.no_grad():
        image = torch.from_numpy(as_input(picture)).permute(0, 3, 1, 2)
        logits, pools = model(image)
        torch.testing.assert_close(timm.eval()(image), logits, rtol=1e-5, atol=1e-5)
    save_expected("torch_expected.npz", picture, logits.numpy(), [pool.numpy() for pool in pools])


def make_torch_kinds() -> None:
    """Types, strides, offsets and shared storages, in both formats; and the calls that torch wrote in 2017."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tensors = {
        "float32": base,
        "transposed": base.t(),
        "column": base[:, 2],
        "corner": base[2:, 3:],
        "bfloat16": torch.arange(6).reshape(2, 3).to(torch.bfloat16) / 4,
        "bfloat16_view": (torch.arange(12).to(torch.bfloat16) / 4)[1::2],
        "float16": torch.tensor([0.5, -2.0], dtype=torch.float16),
        "float64": torch.tensor([[1e-3]], dtype=torch.float64),
        "int64": torch.tensor(7),
        "bool": torch.tensor([True, False, True]),
        "empty": torch.zeros(0, 3),
        "parameter": nn.Parameter(torch.tensor([1.0, 2.0])),
    }
    torch.save(tensors, FOLDER / "kinds.pth")
    torch.save({"model": tensors}, FOLDER / "kinds_legacy.pth", _use_new_zipfile_serialization=False)
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(4, 2))
    state = randomise(module, seed=2).state_dict()
    save_file(state, FOLDER / "first_torch.safetensors")

    def reduce_2017(tensor: torch.Tensor):
        storage = torch.storage.TypedStorage(wrap_storage=tensor.untyped_storage(), dtype=tensor.dtype, _internal=True)
        return torch._utils._rebuild_tensor, (
            storage, tensor.storage_offset(), tuple(tensor.size()), tensor.stride(),
        )  # fmt: skip

    copyreg.pickle(torch.Tensor, reduce_2017)
    try:
        torch.save(state, FOLDER / "first_torch.pth", _use_new_zipfile_serialization=False)
    finally:
        del copyreg.dispatch_table[torch.Tensor]


def keras_vgg(top: bool) -> keras.Model:
    """As `keras.applications.VGG16`, narrower."""
    x = image = keras.Input((*SIZE, 3))
    for block, (count, width) in enumerate(BLOCKS, start=1):
        for i in range(1, count + 1):
            x = keras.layers.Conv2D(width, 3, padding="same", activation="relu", name=f"block{block}_conv{i}")(x)
        x = keras.layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    if top:
        x = keras.layers.Flatten(name="flatten")(x)
        x = keras.layers.Dense(FEATURES, activation="relu", name="fc1")(x)
        x = keras.layers.Dense(FEATURES, activation="relu", name="fc2")(x)
        x = keras.layers.Dense(CLASSES, name="predictions")(x)
    return keras.Model(image, x)


def randomise_keras(model: keras.Model, seed: int) -> None:
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        fan_in = np.prod(weight.shape[:-1]) if len(weight.shape) > 1 else 100
        weight.assign(generator.normal(size=weight.shape) * (2 / fan_in) ** 0.5)


def make_keras() -> None:
    model = keras_vgg(top=True)
    randomise_keras(model, seed=3)
    model.save_weights(FOLDER / "keras3.weights.h5")
    base = keras_vgg(top=False)
    for layer in base.layers:
        layer.set_weights(model.get_layer(layer.name).get_weights() if layer.weights else [])
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(FOLDER / "keras.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    with h5py.File(FOLDER / "keras_notop.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, base)

    picture = random_picture(3)
    x = as_input(picture)
    pools = keras.Model(model.input, [model.get_layer(f"block{i}_pool").output for i in range(1, 6)])
    save_expected("keras_expected.npz", picture, np.asarray(model(x)), [np.asarray(pool) for pool in pools(x)])


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    make_torch()
    make_torch_kinds()
    make_keras()
    total = sum(path.stat().st_size for path in FOLDER.iterdir())
    for path in sorted(FOLDER.iterdir()):
        print(f"{path.stat().st_size:8d}  {path.name}")
    print(f"{total:8d}  together")
