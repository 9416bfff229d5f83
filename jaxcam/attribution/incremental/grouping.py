"""Which windows share a group: windows whose boxes grow alike, so that one static box wastes little."""

from collections.abc import Mapping
from math import isqrt

import numpy as np
from jaxtyping import Float, Int

from jaxcam.attribution.incremental.boxes import Extents, lengths
from jaxcam.attribution.incremental.costs import step_flops
from jaxcam.attribution.incremental.geometry import Group, make_group
from jaxcam.attribution.incremental.programs import Program


def make_groups(
    program: Program,
    extents: Mapping[int, Extents | None],
    offsets: Int[np.ndarray, "p 2"],
    limit: int,
    share: float,
) -> list[Group]:
    """At most `limit` groups (rounded down to a square) with their boxes; windows keep their order inside a group."""
    sets = [np.zeros(len(offsets), int)] * 2
    if limit > 1:
        sets = axis_sets(program, extents, offsets, isqrt(limit), share)
    joint = sets[0] * (sets[1].max(initial=0) + 1) + sets[1]
    return [make_group(program, extents, np.flatnonzero(joint == which), share) for which in np.unique(joint)]


def axis_sets(
    program: Program, extents: Mapping[int, Extents | None], offsets: Int[np.ndarray, "p 2"], limit: int, share: float
) -> list[Int[np.ndarray, " p"]]:
    """For both axes, the set that each window belongs to."""
    tables: list[list[np.ndarray]] = [[], []]
    weights: list[float] = []
    for step in program.steps:
        axes = extents.get(step.outputs[0]) or {}
        flops = step_flops(step, program) if len(axes) == 2 else 0
        if flops:
            rows, columns = (axes[axis] for axis in sorted(axes))
            weights.append(flops / rows.size / columns.size)
            for i, extent in enumerate((rows, columns)):
                tables[i].append(lengths(extent, share))
    if not weights:
        return [np.zeros(len(offsets), int)] * 2
    both = [np.stack(one, axis=1) for one in tables]
    found = []
    for axis in range(2):
        across = both[1 - axis].mean(0) * np.asarray(weights)
        profiles, which, counts = np.unique(both[axis], axis=0, return_inverse=True, return_counts=True)
        found.append(merge(profiles, counts, across, limit)[which.reshape(-1)])
    return found


def merge(
    profiles: Int[np.ndarray, "q l"], counts: Int[np.ndarray, " q"], weights: Float[np.ndarray, " l"], limit: int
) -> Int[np.ndarray, " q"]:
    """Sets of profiles, at most `limit`: again and again the two whose common box costs least."""
    sets = [[i] for i in range(len(profiles))]
    boxes = [profiles[i] for i in range(len(profiles))]
    sizes = [int(count) for count in counts]

    def extra(i: int, j: int) -> float:
        both = np.maximum(boxes[i], boxes[j])
        return float(weights @ (both * (sizes[i] + sizes[j]) - boxes[i] * sizes[i] - boxes[j] * sizes[j]))

    while len(sets) > 1:
        pairs = [(extra(i, j), i, j) for i in range(len(sets)) for j in range(i + 1, len(sets))]
        cost, i, j = min(pairs)
        if len(sets) <= limit and cost > 0:
            break
        boxes[i] = np.maximum(boxes[i], boxes[j])
        sizes[i] += sizes[j]
        sets[i] += sets[j]
        del boxes[j], sizes[j], sets[j]
    result = np.zeros(len(profiles), int)
    for number, members in enumerate(sets):
        result[members] = number
    return result
