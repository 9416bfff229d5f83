"""Work and memory of a program's steps, from shapes alone. FLOP = 2 x multiply-add, of convolutions and products."""

from collections.abc import Mapping
from math import prod

import jax
import numpy as np

from jaxcam.attribution.incremental.boxes import Sides
from jaxcam.attribution.incremental.programs import Program, Step
from jaxcam.networks import winograd


def step_flops(step: Step, program: Program) -> int:
    """FLOP of one step on whole arrays, for the program's batch; zero for all but convolutions and products."""
    out = prod(program.shape(step.outputs[0]))
    if step.name == "conv_general_dilated":
        kernel = program.shape(step.inputs[1])
        return 2 * out * prod(kernel) // kernel[step.params["dimension_numbers"].rhs_spec[0]]
    if step.name == "dot_general":
        contracted = step.params["dimension_numbers"][0][0]
        return 2 * out * prod(program.shape(step.inputs[0])[axis] for axis in contracted)
    return 0


def share_of_box(value: int, program: Program, sides: Mapping[int, Sides]) -> float:
    """Part of a value's positions that lie in the boxes."""
    return prod(box.length / box.size for box in sides.get(value, {}).values())


def bytes_of(value: int, program: Program, sides: Mapping[int, Sides] | None = None) -> int:
    """Bytes of a value for the program's batch and one window: of its box, or of all of it."""
    shape = list(program.shape(value))
    for axis, box in (sides or {}).get(value, {}).items():
        shape[axis] = box.length
    return prod(shape) * np.dtype(program.shapes[value].dtype).itemsize


def peak_bytes(program: Program, steps: list[Step], kept: set[int], sides: Mapping[int, Sides]) -> int:
    """Largest sum, over the steps, of the boxes that must be there at once, with the copies that a step reads.

    `kept` are the values needed afterwards. A bound rather than a forecast: fused steps never write their results.
    """
    last: dict[int, int] = {}
    for place, step in enumerate(steps):
        last.update((value, place) for value in step.inputs if value in program.touched)
    alive: dict[int, int] = {}
    peak = 0
    for place, step in enumerate(steps):
        results = {value: bytes_of(value, program, sides) for value in step.outputs}
        reads = sum(bytes_of(value, program, sides) for value in step.inputs if value in program.touched)
        alive |= results
        peak = max(peak, sum(alive.values()) + reads + tile_bytes(step, program, sides))
        for value in list(alive):
            if last.get(value, -1) <= place and value not in kept:
                del alive[value]
    return peak


def tile_bytes(step: Step, program: Program, sides: Mapping[int, Sides]) -> int:
    """Bytes of what a wide 3x3 convolution makes beside its boxes: every value stands in four tiles of `winograd`."""
    if step.name != "conv_general_dilated" or jax.default_backend() != "cpu":
        return 0
    kernel, numbers = program.shape(step.inputs[1]), step.params["dimension_numbers"]
    channels, size = ([kernel[axis] for axis in axes] for axes in (numbers.rhs_spec[:2], numbers.rhs_spec[2:]))
    if size != [3, 3] or min(channels) < winograd.NARROWEST:
        return 0
    return 4 * (bytes_of(step.inputs[0], program, sides) + bytes_of(step.outputs[0], program, sides))
