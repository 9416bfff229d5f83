"""InceptionV3 (Szegedy et al., 2016) as a chain: a stem of convolutions, then the blocks `mixed0` to `mixed10`.

Keras' version, and torchvision's: its batch norms have a scale, its mean pools divide by nine also at the border, and
dropout stands before the last layer. Both were trained on pixels of -1 to 1.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxcam.networks.heads import Stages
from jaxcam.networks.layers import Dense, Dropout, GlobalAveragePool
from jaxcam.networks.normalised import ConvNorm, WindowPool, window_pool
from jaxcam.networks.vgg import scaled


@dataclass(frozen=True)
class Step:
    """A convolution of a branch: channels, kernel, and whether it halves the map."""

    features: int
    rows: int = 1
    columns: int = 1
    halve: bool = False


@dataclass(frozen=True)
class Branch:
    """Convolutions one after the other, after a pool if named; `split` ends in two side by side."""

    steps: tuple[Step, ...] = ()
    pool: str = ""
    split: tuple[Step, ...] = ()


class Mixed(nn.Module):
    """Branches side by side, joined along the channels; parameters `branch0_0`, `branch0_1`, ... in Keras' order."""

    branches: tuple[Branch, ...]
    width: float = 1.0
    torchvision: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool = False) -> Float[Array, "n oh ow f"]:
        outputs = []
        for number, branch in enumerate(self.branches):
            y, count = pooled(x, branch.pool, self.torchvision), 0
            for step in branch.steps:
                y, count = self.convolution(step, f"branch{number}_{count}")(y), count + 1
            ends = []
            for step in branch.split:
                ends.append(self.convolution(step, f"branch{number}_{count}")(y))
                count += 1
            outputs += ends or [y.astype(self.dtype)]
        return jnp.concatenate(outputs, axis=-1)

    def convolution(self, step: Step, name: str | None) -> ConvNorm:
        """The step as a module."""
        return convolution(step, width=self.width, dtype=self.dtype, scale=self.torchvision, name=name)


def convolution(
    step: Step, *, width: float, dtype: DTypeLike, scale: bool, padding: str | None = None, name: str | None = None
) -> ConvNorm:
    """Convolution, batch norm, ReLU; halving ones are not padded."""
    stride = 2 if step.halve else 1
    return ConvNorm(
        scaled(step.features, width),
        (step.rows, step.columns),
        (stride, stride),
        padding or ("VALID" if step.halve else "SAME"),
        scale=scale,
        dtype=dtype,
        name=name,
    )


def pooled(x: Float[Array, "n h w c"], kind: str, torchvision: bool) -> Float[Array, "n oh ow c"]:
    """The branch's input: as it is, the mean of 3x3 neighbours, or the halving 3x3 maximum."""
    if kind == "mean" and torchvision:
        return nn.pool(x, 0.0, lax.add, (3, 3), (1, 1), "SAME") / jnp.asarray(9, x.dtype)
    if kind == "mean":
        return window_pool(x, "mean", 3, 1, "SAME")
    return window_pool(x, "max", 3, 2, "VALID") if kind == "max" else x


def block_35(pool_features: int) -> tuple[Branch, ...]:
    """The blocks on the 35x35 map."""
    return (
        Branch((Step(64),)),
        Branch((Step(48), Step(64, 5, 5))),
        Branch((Step(64), Step(96, 3, 3), Step(96, 3, 3))),
        Branch((Step(pool_features),), pool="mean"),
    )


def block_17(features: int) -> tuple[Branch, ...]:
    """The blocks on the 17x17 map: 7x7 kernels taken apart into rows and columns."""
    row, column, last = Step(features, 1, 7), Step(features, 7, 1), 192
    return (
        Branch((Step(last),)),
        Branch((Step(features), row, Step(last, 7, 1))),
        Branch((Step(features), column, row, column, Step(last, 1, 7))),
        Branch((Step(last),), pool="mean"),
    )


def block_8() -> tuple[Branch, ...]:
    """The blocks on the 8x8 map: branches that end in two."""
    ends = (Step(384, 1, 3), Step(384, 3, 1))
    return (
        Branch((Step(320),)),
        Branch((Step(384),), split=ends),
        Branch((Step(448), Step(384, 3, 3)), split=ends),
        Branch((Step(192),), pool="mean"),
    )


BLOCKS: tuple[tuple[Branch, ...], ...] = (
    block_35(32),
    block_35(64),
    block_35(64),
    (
        Branch((Step(384, 3, 3, halve=True),)),
        Branch((Step(64), Step(96, 3, 3), Step(96, 3, 3, halve=True))),
        Branch(pool="max"),
    ),
    block_17(128),
    block_17(160),
    block_17(160),
    block_17(192),
    (
        Branch((Step(192), Step(320, 3, 3, halve=True))),
        Branch((Step(192), Step(192, 1, 7), Step(192, 7, 1), Step(192, 3, 3, halve=True))),
        Branch(pool="max"),
    ),
    block_8(),
    block_8(),
)


def base(*, width: float = 1.0, dtype: DTypeLike = jnp.float32, torchvision: bool = False) -> Stages:
    """`conv2d` to `conv2d_4` with two pools between, then `mixed0` to `mixed10`."""

    def stem(features: int, size: int, padding: str = "VALID", halve: bool = False) -> ConvNorm:
        step = Step(features, size, size, halve)
        return convolution(step, width=width, dtype=dtype, scale=torchvision, padding=padding)

    return (
        ("conv2d", stem(32, 3, halve=True)),
        ("conv2d_1", stem(32, 3)),
        ("conv2d_2", stem(64, 3, "SAME")),
        ("max_pooling2d", WindowPool("max")),
        ("conv2d_3", stem(80, 1)),
        ("conv2d_4", stem(192, 3)),
        ("max_pooling2d_1", WindowPool("max")),
        *((f"mixed{number}", Mixed(branches, width, torchvision, dtype)) for number, branches in enumerate(BLOCKS)),
    )


def top(classes: int, *, width: float = 1.0, dtype: DTypeLike = jnp.float32, torchvision: bool = False) -> Stages:
    """Global average pooling `avg_pool`, in torchvision's version dropout of a half, and `predictions`."""
    dropout = (("dropout", Dropout(0.5)),) if torchvision else ()
    return (("avg_pool", GlobalAveragePool()), *dropout, ("predictions", Dense(classes, dtype=dtype)))
