"""A network of your own: this one file defines it, and every command of jaxcam then works on the runs trained with it.

Arguments: size=full|test (test: an eighth of the width at 64x64, a few steps).

Claim: a network is a chain of named stages; training phases, freezing by stage, every attribution method, the audit
and the export know nothing else of it. Here: a short SqueezeNet (Iandola et al., 2016) with its fire modules.
Expected: depends on the pictures; the file is an example of the form, not of an accuracy.
Commands:
    jaxcam train configs/own_network.py --data.source pictures --out runs/own
    jaxcam train configs/own_network.py:size=test --data.source pictures --out runs/own-test

Then, as for any run: `jaxcam explain runs/own --methods cam grad_cam occlusion --stage fire5`, `jaxcam audit runs/own`,
`jaxcam features runs/own activations --images cat.jpg`, `jaxcam export runs/own exported`. The run remembers where this
file is and runs it again. To start from weights of your own, give `--network.weights FILE.safetensors` with the names
that jaxcam saves.
"""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from jaxcam.config import Config, Network, Phase
from jaxcam.errors import UserError
from jaxcam.networks import Architecture, Head
from jaxcam.networks.layers import Conv, GlobalAveragePool, MaxPool
from jaxcam.preprocessing import Preprocessing


class Fire(nn.Module):
    """A stage: any Linen module called as `stage(x, train=...)` that keeps its parameters and nothing else.

    A 1x1 convolution to a quarter of the channels, then 1x1 and 3x3 convolutions side by side.
    """

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        squeezed = Conv(max(1, self.features // 8), (1, 1), dtype=self.dtype, name="squeeze")(x)
        sides = [
            Conv(self.features // 2, size, dtype=self.dtype, name=name)(squeezed)
            for name, size in (("expand1x1", (1, 1)), ("expand3x3", (3, 3)))
        ]
        return jnp.concatenate(sides, axis=-1)


FIRES = (128, 256, 384, 512)
"""channels of fire2 to fire5"""


def base(*, width: float = 1.0, dtype: DTypeLike = jnp.float32):
    """The named stages up to the last maps; their names are what phases, methods and commands are told."""
    stages = [("conv1", Conv(max(2, round(96 * width)), (7, 7), (2, 2), dtype=dtype)), ("pool1", MaxPool())]
    for number, features in enumerate(FIRES, start=2):
        stages.append((f"fire{number}", Fire(max(4, round(features * width) // 2 * 2), dtype)))
        if number in (2, 4):
            stages.append((f"pool{number}", MaxPool()))
    return tuple(stages)


def top(classes: int, *, width: float = 1.0, dtype: DTypeLike = jnp.float32):
    """The network's own top, for `head="top"`; a `Head` stands on the base without it."""
    return (("conv10", Conv(classes, (1, 1), relu=False, dtype=dtype)), ("gap", GlobalAveragePool()))


NETWORK = Architecture(base, top, input_size=(224, 224))
"""what jaxcam looks for in this file"""


def get_config(size: str = "full") -> Config:
    """Everything from fresh parameters, then `fire4` and what follows once more, slowly."""
    if size not in ("full", "test"):
        raise UserError(f"got size={size}; allowed are size=full and size=test")
    test = size == "test"
    return Config(
        network=Network(name=__file__, weights="none", width=1 / 8 if test else None, head=Head(kind="dense")),
        preprocessing=Preprocessing.named("tf", size=(64, 64) if test else NETWORK.input_size),
        phases=(
            Phase(trainable="all", epochs=2 if test else 60, learning_rate=1e-3, batch_size=4 if test else 32),
            Phase(trainable="fire4", epochs=1 if test else 10, learning_rate=1e-4, batch_size=4 if test else 32),
        ),
    )
