"""What the golden test and its script share: sizes, weights drawn from a tensor's name, and summaries of outputs."""

import zlib

import numpy as np

WIDTH, CLASSES = 1 / 16, 5
SIZES = {
    "vgg19": (38, 45),
    "resnet50": (45, 52),
    "resnet50_torchvision": (45, 52),
    "mobilenet": (45, 52),
    "inception_v3": (75, 91),
    "inception_v3_torchvision": (75, 91),
    "xception": (71, 78),
}
PROJECTIONS = 4


def stream(name: str) -> np.random.RandomState:
    """Numbers that depend on a name and on nothing else; numpy keeps this generator's stream as it is."""
    return np.random.RandomState(zlib.crc32(name.encode()))


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Values for the tensor of that name in a file, under which activations keep their size."""
    kind, random = name.replace(".", "/").split("/")[-1], stream(name)
    norm = any(word in name for word in ("bn", "norm", "downsample.1"))
    if kind in ("gamma", "moving_variance", "running_var") or (kind == "weight" and norm and len(shape) == 1):
        values = random.uniform(0.5, 1.5, shape)
    elif len(shape) == 1:
        values = random.uniform(-0.2, 0.2, shape)
    else:
        torch_order = "." in name
        inputs = np.prod(shape[1:] if torch_order else shape[:2] if shape[-1] == 1 else shape[:-1])
        values = random.uniform(-1, 1, shape) * np.sqrt(6 / inputs)
    return values.astype(np.float32)


def picture(name: str) -> np.ndarray:
    """A `uint8` picture of the network's size."""
    return stream(name).randint(0, 256, (1, *SIZES[name], 3)).astype(np.uint8)


def summary(stage: str, values: np.ndarray) -> list[float]:
    """Root mean square of an output, and projections of it on fixed random directions of the same length."""
    values, random = np.asarray(values, np.float64), stream(stage)
    found = [float(np.sqrt(np.mean(values**2)))]
    for _ in range(PROJECTIONS):
        found.append(float((values * random.uniform(-1, 1, values.shape)).sum() / np.sqrt(values.size / 3)))
    return found
