"""The public face: `incremental(fn)` and what can be asked of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int, Num

from jaxcam.attribution.incremental.changes import Changes, Part
from jaxcam.attribution.incremental.evaluate import base_walk, in_chunks, start, window_outputs
from jaxcam.attribution.incremental.plan import Plan, make_plan
from jaxcam.attribution.incremental.programs import Program, trace
from jaxcam.attribution.incremental.regions import Region, unfold
from jaxcam.attribution.incremental.schedule import Schedule, Settings, make_schedule, touched_steps

Windows = np.ndarray


@dataclass(frozen=True)
class Incremental:
    """A function under a changed box of its input; made by `incremental`."""

    fn: Callable[[Any], Any]
    _kept: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def __call__(
        self,
        images: Num[Array, "n h w c"],
        *,
        window: Sequence[int],
        offsets: Windows,
        fill: Any = 0.0,
        chosen: Int[Array, " q"] | None = None,
        return_base: bool = False,
        memory: int | None = None,
        groups: int = 9,
        tau: float = 1.0,
        whole: float = 0.95,
    ) -> Any:
        """Exactly `fn(images with that window replaced)`, (n, p, ...), for every image and every window.

        `window` is (height, width), `offsets` the static upper left corners (p, 2), windows inside the image. `fill`
        is a scalar, a colour (c,), a patch (h w c), or another image (H W c) or (n H W c). `chosen`, which may be
        traced, numbers the windows to evaluate: (n, q, ...). `return_base` gives `fn(images)` too, from the same pass.

        `memory` bounds the bytes of intermediate values (default 1 GiB on CPU, 8 GiB elsewhere). Windows are computed
        in at most `groups` groups of equal boxes: more groups waste less and compile longer; 1 compiles fastest.
        Where a box covers `whole` of an axis, all of it is computed. `tau` below 1 is an approximation: no box grows
        beyond that part of an axis (the projective field threshold of Nakandala et al., 2019).

        Cost: one forward an image, and for each window the part of one that `plan` tells. Images must not influence
        each other. Like `jax.jit`, `fn` is traced once for each shape. Raises ValueError for windows outside the image.
        """
        limit = 1 if chosen is not None else groups
        settings = self.settings(images.shape, window, offsets, limit, tau, whole, memory)
        fill = checked_fill(fill, images, settings.window)
        count = len(settings.offsets) if chosen is None else chosen.shape[0]
        if 0 in (count, images.shape[0]):
            base = self.fn(images)
            outputs = jax.tree.map(lambda leaf: jnp.zeros((len(leaf), count, *leaf.shape[1:]), leaf.dtype), base)
            return (outputs, base) if return_base else outputs
        prepared, constants = self.prepare(images.shape, images.dtype, settings)
        outputs, base = prepared.run(constants, images, fill, chosen)
        outputs = jax.tree.unflatten(prepared.program.structure, outputs)
        return (outputs, jax.tree.unflatten(prepared.program.structure, base)) if return_base else outputs

    def changes(
        self,
        images: Num[Array, "n h w c"],
        *,
        window: Sequence[int],
        offsets: Windows,
        fill: Any = 0.0,
        memory: int | None = None,
        groups: int = 9,
        tau: float = 1.0,
        whole: float = 0.95,
    ) -> Changes:
        """The boxes in which each window changes `fn`'s maps (n h w c), without building the changed maps.

        Options as in a call. All boxes of all windows are in memory at once.
        """
        settings = self.settings(images.shape, window, offsets, groups, tau, whole, memory)
        fill = checked_fill(fill, images, settings.window)
        program, constants = trace(self.fn, jax.ShapeDtypeStruct(images.shape, images.dtype))
        (value,) = program.outputs
        schedule = make_schedule(program, settings)
        if value not in program.touched or schedule.extents[value] is None:
            raise ValueError("changes need a function that gives one array of maps (n h w c) of the images")

        @jax.jit
        def patches(constants, images, fill):
            walk, steps = base_walk(program, schedule, constants, images), touched_steps(program)
            found = []
            for group, limit in zip(schedule.groups, schedule.windows, strict=True):

                def run(chunk, group=group):
                    first = {program.image: start(walk, group, chunk, fill)}
                    region = walk.run(steps, first, group, chunk)[value]
                    return [unfold(region.patch, chunk.count)] if isinstance(region, Region) else []

                found += in_chunks(run, None, len(group.windows), limit, [1])
            return walk.base[value], found

        base, found = patches(constants, images, fill)
        pairs = zip(schedule.groups, found, strict=True)
        return Changes(base, tuple(Part(group.windows, group.sides[value], patch) for group, patch in pairs))

    def plan(
        self,
        shape: Sequence[int],
        *,
        window: Sequence[int],
        offsets: Windows | None = None,
        stride: Sequence[int] | None = None,
        dtype: Any = np.float32,
        groups: int = 9,
        tau: float = 1.0,
        whole: float = 0.95,
    ) -> Plan:
        """What an evaluation of images (n h w c) would compute, operation by operation; nothing is computed.

        Give `offsets`, or the `stride` of a grid that begins in the upper left corner.
        """
        if (offsets is None) == (stride is None):
            raise ValueError("give either offsets or a stride")
        if offsets is None:
            offsets = grid_offsets(shape[1:3], window, stride or ())
        settings = self.settings(shape, window, offsets, groups, tau, whole, None)
        program, _ = trace(self.fn, jax.ShapeDtypeStruct((1, *shape[1:]), dtype))
        return make_plan(program, make_schedule(program, settings), settings)

    @staticmethod
    def settings(shape, window, offsets, groups, tau, whole, memory) -> Settings:
        """Checked settings."""
        if len(shape) != 4:
            raise ValueError(f"images must be (n h w c), got shape {tuple(shape)}")
        height, width = (int(length) for length in window)
        corners = np.asarray(offsets)
        if corners.ndim != 2 or corners.shape[1] != 2 or not np.issubdtype(corners.dtype, np.integer):
            raise ValueError(f"offsets must be integers (p, 2), got {corners.dtype} {corners.shape}")
        inside = (corners >= 0) & (corners + np.asarray([height, width]) <= np.asarray(shape[1:3]))
        if min(height, width) < 1 or not inside.all():
            raise ValueError(f"windows of {height} x {width} must lie inside the images of {shape[1]} x {shape[2]}")
        if groups < 1 or not 0 < tau <= 1 or whole <= 0:
            raise ValueError(
                f"groups must be positive and tau in (0, 1], got groups={groups}, tau={tau}, whole={whole}"
            )
        if memory is None:
            memory = 2**30 if jax.default_backend() == "cpu" else 2**33
        pairs = tuple((int(row), int(column)) for row, column in corners)
        return Settings((height, width), pairs, groups, tau, whole, memory)

    def prepare(self, shape: tuple[int, ...], dtype: Any, settings: Settings) -> tuple["Prepared", Sequence[Any]]:
        """The program for these shapes and the arrays it closes over; kept unless those belong to a transformation."""
        key = (tuple(shape), np.dtype(dtype), settings)
        if key in self._kept:
            return self._kept[key]
        program, constants = trace(self.fn, jax.ShapeDtypeStruct(shape, dtype))
        schedule = make_schedule(program, settings)
        if schedule.images < shape[0]:
            program, constants = trace(self.fn, jax.ShapeDtypeStruct((schedule.images, *shape[1:]), dtype))
            schedule = make_schedule(program, settings)
        prepared = Prepared(program, schedule)
        if not any(isinstance(array, jax.core.Tracer) for array in constants):
            self._kept[key] = (prepared, constants)
        return prepared, constants


class Prepared:
    """A traced and scheduled program, compiled once for all calls."""

    def __init__(self, program: Program, schedule: Schedule) -> None:
        self.program, self.schedule = program, schedule
        self.run = jax.jit(self.outputs)

    def outputs(self, constants: Sequence[Any], images: Any, fill: Any, chosen: Any) -> tuple[list[Any], list[Any]]:
        """Outputs of the windows and of the images, as many images at a time as the schedule allows."""
        count, several = self.program.batch, images.shape[0]
        if count == several:
            return self.some(constants, images, fill, chosen)
        # The last pass repeats the last image.
        numbers = np.arange(-(-several // count) * count).clip(max=several - 1).reshape(-1, count)
        fills = fill[numbers] if fill.ndim == 4 else None

        def one(part):
            images, own = part
            return self.some(constants, images, fill if own is None else own, chosen)

        results = lax.map(one, (images[numbers], fills))
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:several], results)

    def some(self, constants: Sequence[Any], images: Any, fill: Any, chosen: Any) -> tuple[list[Any], list[Any]]:
        """Outputs for as many images as the program was traced for."""
        walk = base_walk(self.program, self.schedule, constants, images)
        outputs = window_outputs(walk, self.schedule, fill, chosen)
        return outputs, [walk.base[value] for value in self.program.outputs]


def checked_fill(fill: Any, images: Any, window: tuple[int, int]) -> Any:
    """The fill as an array in the images' dtype; ValueError for a shape that fits neither colour, patch nor image."""
    n, height, width, channels = images.shape
    fill = jnp.asarray(fill).astype(images.dtype)
    allowed = ((), (1,), (channels,), (*window, channels), (height, width, channels), (n, height, width, channels))
    if fill.shape not in allowed:
        raise ValueError(f"fill must have one of the shapes {allowed}, got {fill.shape}")
    return fill


def grid_offsets(size: Sequence[int], window: Sequence[int], stride: Sequence[int]) -> Int[np.ndarray, "p 2"]:
    """Corners of the windows of a grid that lie inside, row by row."""
    rows, columns = (np.arange(0, size[i] - window[i] + 1, stride[i]) for i in range(2))
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def incremental(fn: Callable[[Any], Any]) -> Incremental:
    """`fn` under a changed box of its input: exact, but only what a box reaches is computed again.

    `fn` maps images (n h w c) to an array or a tree of arrays with the images on axis 0, and treats every image by
    itself; any JAX function will do (a chain, NNX, Equinox, Keras on JAX). Nothing is traced yet.

    >>> evaluate = incremental(lambda images: images.sum((1, 2)))
    >>> evaluate(jnp.ones((1, 4, 4, 1)), window=(2, 2), offsets=np.array([[0, 0], [1, 2]])).tolist()
    [[[12.0], [12.0]]]
    """
    return Incremental(fn)
