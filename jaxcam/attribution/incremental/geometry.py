"""Which part of every value of a program each window may change."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from jaxcam.attribution.incremental.boxes import Extent, Extents, Links, Side, Sides, side
from jaxcam.attribution.incremental.programs import Program, Step
from jaxcam.attribution.incremental.rules import links_of


@dataclass(frozen=True)
class Group:
    """Windows that are computed together: their numbers, and the boxes of every touched value."""

    windows: Int[np.ndarray, " m"]
    sides: Mapping[int, Sides]


def changed_extents(
    program: Program, window: tuple[int, int], offsets: Int[np.ndarray, "p 2"], bound: float
) -> dict[int, Extents | None]:
    """For every touched value the axes along which the change is local; None: not even the images are an axis of it."""
    shape = program.shape(program.image)
    extents: dict[int, Extents | None] = {
        program.image: {1 + i: Extent(offsets[:, i], offsets[:, i] + window[i], shape[1 + i]) for i in range(2)}
    }
    for step in program.steps:
        if step.outputs[0] in program.touched:
            found = _extents(step, program, extents, bound)
            for value in step.outputs:
                batched = program.shape(value)[:1] == (program.batch,)
                extents[value] = ({} if found is None else found) if batched else None
    return extents


def _extents(step: Step, program: Program, extents: Mapping[int, Extents | None], bound: float) -> Extents | None:
    links = links_of(step, program)
    touched = [i for i, value in enumerate(step.inputs) if value in program.touched]
    if links is None or any(extents[step.inputs[i]] is None for i in touched):
        return None
    found: dict[int, Extent] = {}
    for to, size in enumerate(program.shape(step.outputs[0])):
        parts, wide = [], False
        for i in touched:
            own = extents[step.inputs[i]] or {}
            for axis, link in links[i].items():
                if link.to == to and axis in own:
                    parts.append(link.extent(own[axis], size))
                    wide |= link.kernel > 1
        if parts and len(parts) == len(touched) and size > 0:
            found[to] = Extent.union(parts).bounded(bound) if wide else Extent.union(parts)
    return found


def make_group(
    program: Program, extents: Mapping[int, Extents | None], windows: Int[np.ndarray, " m"], share: float
) -> Group:
    """The boxes of these windows; an axis is computed whole where the box is that share of it or more."""
    sides: dict[int, Sides] = {}
    for value, axes in extents.items():
        # The image's box is the window itself, whose values are given.
        least = share if value != program.image else np.inf
        sides[value] = {axis: side(extent, windows, least) for axis, extent in (axes or {}).items()}
    return Group(windows, sides)


def sources(program: Program, value: int, link: Links, sides: Sides) -> dict[int, Side]:
    """The boxes of an operand that a step reads for these boxes of its output."""
    shape = program.shape(value)
    return {axis: one.source(sides[one.to], shape[axis]) for axis, one in link.items() if one.to in sides}
