"""How an evaluation is cut up: groups of windows, steps on boxes and dense steps, chunks that fit the memory."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from jaxcam.attribution.incremental.boxes import Extents
from jaxcam.attribution.incremental.costs import bytes_of, peak_bytes
from jaxcam.attribution.incremental.geometry import Group, changed_extents, sources
from jaxcam.attribution.incremental.grouping import make_groups
from jaxcam.attribution.incremental.programs import Program, Step
from jaxcam.attribution.incremental.regions import same, trim
from jaxcam.attribution.incremental.rules import links_of
from jaxcam.attribution.incremental.walk import whole


@dataclass(frozen=True)
class Settings:
    """What decides an evaluation beside the function; hashable, so that compiled programs can be kept."""

    window: tuple[int, int]
    offsets: tuple[tuple[int, int], ...]
    groups: int
    bound: float
    share: float
    memory: int

    def corners(self) -> Int[np.ndarray, "p 2"]:
        """The windows' upper left corners."""
        return np.asarray(self.offsets, int).reshape(-1, 2)


@dataclass(frozen=True)
class Schedule:
    """The cut.

    `local` steps run for each chunk of windows and give the values of `frontier`; `dense` steps follow for all windows
    at once. `images`: how many of the images at a time. `windows`: how many windows of each group at a time.
    """

    extents: Mapping[int, Extents | None]
    groups: tuple[Group, ...]
    local: tuple[Step, ...]
    dense: tuple[Step, ...]
    frontier: tuple[int, ...]
    images: int
    windows: tuple[int, ...]


def make_schedule(program: Program, settings: Settings) -> Schedule:
    """The cut for this program, planned for all of its images at once, and how many of them the memory holds."""
    offsets = settings.corners()
    extents = changed_extents(program, settings.window, offsets, settings.bound)
    groups = tuple(make_groups(program, extents, offsets, settings.groups, settings.share))
    n = max(1, program.batch)
    local, dense = cut(program, extents)
    # Bytes of one image: its base, and its dense part for all windows, in and out of the reordering.
    base = base_bytes(program, groups, local) / n
    after = len(offsets) * dense_bytes(program, local, dense) / n
    room = 0.75 * settings.memory
    if base + after > room:
        local, dense, after = touched_steps(program), [], 0.0
        base = base_bytes(program, groups, local) / n
    passes = -(-n // max(1, min(n, int(room // max(1.0, base + after)))))
    images = -(-n // passes)
    rest = settings.memory - images * (base + after)
    frontier = ending(program, local, dense)
    windows = []
    for group in groups:
        one = images * peak_bytes(program, local, set(frontier), group.sides) / n
        windows.append(int(max(1, min(len(group.windows), rest // max(1.0, one)))))
    return Schedule(extents, groups, tuple(local), tuple(dense), frontier, images, tuple(windows))


def touched_steps(program: Program) -> list[Step]:
    """Steps that depend on the images."""
    return [step for step in program.steps if step.outputs[0] in program.touched]


def cut(program: Program, extents: Mapping[int, Extents | None]) -> tuple[list[Step], list[Step]]:
    """The steps up to where nothing local is left, and those behind."""
    steps = touched_steps(program)
    needed: set[int] = set()
    local: list[Step] = []
    made = {program.image}
    for step in steps:
        inputs = [value for value in step.inputs if value in program.touched]
        if extents[step.outputs[0]] or (any(extents[value] for value in inputs) and made.issuperset(inputs)):
            local.append(step)
            made.update(step.outputs)
    # A step on boxes may read a dense value, whose steps then come before the cut too.
    chosen = {step.outputs[0] for step in local}
    for step in reversed(steps):
        if step.outputs[0] in chosen or needed & set(step.outputs):
            chosen.add(step.outputs[0])
            needed.update(step.inputs)
    return [s for s in steps if s.outputs[0] in chosen], [s for s in steps if s.outputs[0] not in chosen]


def ending(program: Program, local: list[Step], dense: list[Step]) -> tuple[int, ...]:
    """Values of the local steps (or the images) that the dense steps or the outputs need."""
    made = {program.image, *(value for step in local for value in step.outputs)}
    used = {value for step in dense for value in step.inputs} | set(program.outputs)
    return tuple(sorted(made & used))


def base_bytes(program: Program, groups: tuple[Group, ...], local: list[Step]) -> int:
    """Bytes of the base values that some group reads beside its own boxes."""
    read: set[int] = set()
    for group in groups:
        for step in local:
            links = links_of(step, program) or [{} for _ in step.inputs]
            for value, link in zip(step.inputs, links, strict=True):
                sides = group.sides.get(value, {})
                boxes = trim(whole(sides) | sources(program, value, link, group.sides[step.outputs[0]]))[0]
                if any(not same(side, boxes[axis]) for axis, side in sides.items()):
                    read.add(value)
    return sum(bytes_of(value, program) for value in read)


def dense_bytes(program: Program, local: list[Step], dense: list[Step]) -> int:
    """Bytes a window of the values at the cut, twice, and of the dense steps' own."""
    frontier = ending(program, local, dense)
    return 2 * sum(bytes_of(value, program) for value in frontier) + peak_bytes(
        program, dense, set(program.outputs), {}
    )
