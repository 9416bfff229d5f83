"""The walk: a program's steps on boxes instead of whole activations."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcam.attribution.incremental.boxes import Extents, Link, Links, Side, Sides
from jaxcam.attribution.incremental.geometry import Group, sources
from jaxcam.attribution.incremental.programs import Program, Step
from jaxcam.attribution.incremental.reductions import ends, reduced
from jaxcam.attribution.incremental.regions import Chunk, Region, fold, read, read_array, repeat, trim, unfold
from jaxcam.attribution.incremental.rules import RULES, Box, links_of


@dataclass(frozen=True)
class Loose:
    """A changed value (p, ...) without an axis of images."""

    array: Any


Changed = Region | Loose


def plain_values(program: Program, values: Mapping[int, Any], *, touched: bool) -> dict[int, Any]:
    """`values` and what follows from them: the steps that depend on the images, or those that do not."""
    values = dict(values)
    for step in program.steps:
        if (step.outputs[0] in program.touched) == touched:
            values.update(zip(step.outputs, step.bind(*(values[i] for i in step.inputs)), strict=True))
    return values


@dataclass(frozen=True)
class Walk:
    """What all windows share: the program, and its values for the unchanged images."""

    program: Program
    extents: Mapping[int, Extents | None]
    base: Mapping[int, Any]

    def run(
        self, steps: Iterable[Step], changed: Mapping[int, Changed], group: Group, chunk: Chunk
    ) -> dict[int, Changed]:
        """`changed` and the results of the steps, for these windows."""
        found = dict(changed)
        for step in steps:
            found.update(zip(step.outputs, self.step(step, found, group, chunk), strict=True))
        return found

    def step(self, step: Step, changed: Mapping[int, Changed], group: Group, chunk: Chunk) -> list[Changed]:
        """Results of one step."""
        links = links_of(step, self.program)
        if links is None or any(isinstance(changed.get(value), Loose) for value in step.inputs):
            return self.densely(step, changed, chunk)
        first = changed.get(step.inputs[0])
        if isinstance(first, Region) and ends(step, first.sides):
            results = [reduced(step, first, chunk)]
        else:
            results = self.boxed(step, links, changed, group, chunk)
        return [
            Region(self.base[value], result, group.sides[value])
            for value, result in zip(step.outputs, results, strict=True)
        ]

    def boxed(
        self, step: Step, links: list[dict[int, Link]], changed: Mapping[int, Changed], group: Group, chunk: Chunk
    ) -> list[Any]:
        """The patches of a step with a rule."""
        rule, sides = RULES[step.name], group.sides[step.outputs[0]]
        raw = [self.base.get(value) for value in step.inputs]
        pads: Mapping[int, tuple[int, int]] = {}
        operands = []
        for place, (value, link) in enumerate(zip(step.inputs, links, strict=True)):
            boxes, fill = sources(self.program, value, link, sides), 0
            if place == 0:
                boxes, pads = trim(boxes)
                fill = rule.fill(step, raw, self.program.shapes[value].dtype)
            operands.append(self.operand(value, link, boxes, changed, chunk, fill))
        shape = list(self.program.shape(step.outputs[0]))
        for axis, side in sides.items():
            shape[axis] = side.length
        return rule.bind(step, operands, Box((shape[0] * chunk.count, *shape[1:]), pads))

    def operand(
        self, value: int, link: Links, boxes: Sides, changed: Mapping[int, Changed], chunk: Chunk, fill: Any
    ) -> Any:
        """One operand in the boxes that a step reads, whole along its other axes."""
        if value in changed:
            region = changed[value]
            if isinstance(region, Loose):
                raise ValueError("a value without an axis of images has no boxes")
            return read(region, {**whole(region.sides), **boxes}, chunk, fill)
        array = self.base[value]
        constant = self.program.constant_along(value)
        if boxes and {0, *boxes} <= constant:
            shape = [boxes[axis].length if axis in boxes else size for axis, size in enumerate(array.shape)]
            # A constant may have one row for all images; a map of one position does not tell it from the others.
            rows = shape[0] * chunk.count if shape[0] == self.program.batch else shape[0]
            step = self.program.broadcasts[value]
            return step.bind(self.base[step.inputs[0]], shape=(rows, *shape[1:]))[0]
        if boxes:
            array = read_array(array, boxes, chunk, fill)
            return fold(jnp.broadcast_to(array, (self.program.batch, *array.shape[1:])))
        batched = link.get(0) == Link(0) and array.shape[:1] == (self.program.batch,)
        return repeat(array, chunk.count) if batched else array

    def densely(self, step: Step, changed: Mapping[int, Changed], chunk: Chunk) -> list[Changed]:
        """One step on whole arrays, mapped over the windows."""
        operands: list[Any] = []
        axes: list[int | None] = []
        for value in step.inputs:
            own = changed.get(value)
            if own is None:
                operands.append(self.base[value])
                axes.append(None)
            elif isinstance(own, Loose):
                operands.append(own.array)
                axes.append(0)
            else:
                operands.append(unfold(merged(own, chunk), chunk.count))
                axes.append(1)
        batched = [self.extents[value] is not None for value in step.outputs]
        out_axes = [int(one) for one in batched]
        results = jax.vmap(step.bind, in_axes=tuple(axes), out_axes=out_axes)(*operands)
        return [
            Region(self.base[value], fold(result), {}) if one else Loose(result)
            for value, result, one in zip(step.outputs, results, batched, strict=True)
        ]


def whole(sides: Sides) -> dict[int, Side]:
    """All of every axis."""
    return {axis: Side(np.zeros_like(side.starts), side.size, side.size) for axis, side in sides.items()}


def merged(region: Region, chunk: Chunk) -> Any:
    """The whole changed activation (n * p, ...)."""
    return read(region, whole(region.sides), chunk, 0)
