"""What an incremental evaluation will do, in numbers: boxes, work, and where the boxes end."""

from dataclasses import dataclass

import numpy as np

from jaxcam.attribution.incremental.costs import share_of_box, step_flops
from jaxcam.attribution.incremental.programs import Program, Step
from jaxcam.attribution.incremental.reductions import COMBINE
from jaxcam.attribution.incremental.rules import RULES
from jaxcam.attribution.incremental.schedule import Schedule, Settings

WINDOWED = ("reduce_window_sum", "reduce_window_max", "reduce_window_min")


@dataclass(frozen=True)
class Operation:
    """One operation: FLOP of an image when computed whole, and on average over the windows; its share of the work.

    `map_size` are the rows and columns of its output (empty behind the boxes), `boxes` the largest box of each group.
    """

    primitive: str
    label: str
    map_size: tuple[int, ...]
    boxes: tuple[tuple[int, ...], ...]
    dense_flops: float
    flops: float
    share: float

    @property
    def box(self) -> tuple[int, ...]:
        """The largest box of all groups."""
        return tuple(int(length) for length in np.max(self.boxes, axis=0)) if self.map_size else ()


@dataclass(frozen=True)
class Plan:
    """The operations that multiply (FLOP = 2 x multiply-add) or pool, in order.

    `ends` names the operations at which boxes give way to whole values by nature: sums over positions, flattening.
    `fallbacks` names those that had to be computed whole for want of a rule, with what follows them.
    """

    window: tuple[int, int]
    windows: int
    groups: int
    operations: tuple[Operation, ...]
    ends: tuple[str, ...]
    fallbacks: tuple[str, ...]

    @property
    def dense_flops(self) -> float:
        """FLOP of one forward of an image."""
        return sum(operation.dense_flops for operation in self.operations)

    @property
    def flops(self) -> float:
        """FLOP of a window, on average."""
        return sum(operation.flops for operation in self.operations)

    @property
    def window_speed_up(self) -> float:
        """A forward's work over a window's."""
        return self.dense_flops / self.flops if self.flops else 1.0

    @property
    def speed_up(self) -> float:
        """Work of computing every window by itself over that of this plan, its base pass included."""
        work = self.windows * self.flops + self.dense_flops
        return self.windows * self.dense_flops / work if work else 1.0

    def __str__(self) -> str:
        rows = [("operation", "map", "largest box", "GFLOP", "of", "share")]
        for operation in self.operations:
            size, box = (" x ".join(map(str, lengths)) for lengths in (operation.map_size, operation.box))
            gigas = (f"{operation.flops / 1e9:.4f}", f"{operation.dense_flops / 1e9:.4f}")
            name = f"{operation.primitive} {operation.label}".strip()
            rows.append((name[-48:], size, box, *gigas, f"{operation.share:.1%}"))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = []
        for name, *numbers in rows:
            cells = [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)]
            lines.append("  ".join([name.ljust(widths[0]), *cells]))
        height, width = self.window
        lines.append(
            f"{self.windows} windows of {height} x {width} in {self.groups} groups: {self.flops / 1e9:.3f} of "
            f"{self.dense_flops / 1e9:.3f} GFLOP a window; predicted speed-up {self.speed_up:.2f} with the base pass"
        )
        lines.append(f"boxes end at: {', '.join(self.ends) or 'the outputs'}")
        lines.append(f"computed whole for want of a rule: {', '.join(self.fallbacks) or 'nothing'}")
        return "\n".join(lines)


def make_plan(program: Program, schedule: Schedule, settings: Settings) -> Plan:
    """The plan of a schedule."""
    counts = np.asarray([len(group.windows) for group in schedule.groups], float)
    found = []
    for step in program.steps:
        flops = step_flops(step, program) / max(1, program.batch)
        if step.outputs[0] in program.touched and (flops or step.name in WINDOWED):
            value = step.outputs[0]
            shares = np.asarray([share_of_box(value, program, group.sides) for group in schedule.groups])
            mean = float(counts @ shares / counts.sum()) if counts.sum() else 0.0
            axes = sorted(schedule.extents[value] or {})
            boxes = tuple(tuple(group.sides[value][axis].length for axis in axes) for group in schedule.groups)
            found.append((step, tuple(program.shape(value)[axis] for axis in axes), boxes, flops, flops * mean))
    total = sum(flops for *_, flops in found)
    operations = tuple(
        Operation(step.name, step.label, size, boxes, dense, flops, flops / total if total else 0.0)
        for step, size, boxes, dense, flops in found
    )
    ends, fallbacks = endings(program, schedule)
    return Plan(settings.window, len(settings.offsets), len(counts), operations, ends, fallbacks)


def endings(program: Program, schedule: Schedule) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the steps behind which a change is local along fewer axes: by nature, and for want of a rule."""
    natural: list[str] = []
    forced: list[str] = []
    for step in program.steps:
        axes = [len(schedule.extents[value] or {}) for value in step.inputs if value in program.touched]
        after = schedule.extents.get(step.outputs[0])
        if axes and max(axes) > len(after or {}):
            by_nature = step.name in {*COMBINE, "reshape", "dot_general"} and after is not None
            (natural if by_nature else forced).append(name(step))
        elif axes and step.name not in RULES:
            forced.append(name(step))
    return tuple(natural), tuple(forced)


def name(step: Step) -> str:
    """Primitive and layer."""
    return f"{step.name} ({step.label})" if step.label else step.name
