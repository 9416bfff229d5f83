"""What each primitive does to a changed box: from which inputs an output position comes, and how to compute it.

A rule gives, for every operand, links from its axes to the output's. An axis without a link must be read whole; a step
without a rule, or one whose images are not linked, is computed densely.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxcam.attribution.incremental.boxes import Link
from jaxcam.attribution.incremental.programs import Program, Step
from jaxcam.networks.convolution import evaluated

Pads = Mapping[int, tuple[int, int]]
WORTH_FLOPS = 8e9
"""less work in a convolution of boxes: its faster form would cost more to compile (half a second) than it saves"""


@dataclass(frozen=True)
class Box:
    """What a step is asked to compute: the folded shape of its (first) output, and the padding of its first operand.

    `pads` holds the axes of the operand whose box was cut at the array's ends; the others keep the step's own padding.
    """

    shape: tuple[int, ...]
    pads: Pads


Bind = Callable[[Step, Sequence[Any], Box], list[Any]]


@dataclass(frozen=True)
class Rule:
    """Links of every operand, how to compute a box, and the value that stands beyond the first operand's ends."""

    links: Callable[[Step, Program], list[dict[int, Link]]]
    bind: Bind = lambda step, operands, box: step.bind(*operands)
    fill: Callable[[Step, Sequence[Any], Any], Any] = lambda step, operands, dtype: 0


def links_of(step: Step, program: Program) -> list[dict[int, Link]] | None:
    """Links of the step's operands, or None where it must be computed densely."""
    rule = RULES.get(step.name)
    if rule is None:
        return None
    links = rule.links(step, program)
    for value, link in zip(step.inputs, links, strict=True):
        if value in program.touched and link.get(0) != Link(0):
            return None
    return links


def _identical(step: Step, program: Program) -> list[dict[int, Link]]:
    """Each output position comes from the same position of every operand."""
    shape = program.shape(step.outputs[0])
    return [
        {axis: Link(axis) for axis, size in enumerate(program.shape(value)) if size == shape[axis]}
        for value in step.inputs
    ]


def _all_but(*names: str) -> Callable[[Step, Program], list[dict[int, Link]]]:
    """Identical, except along the axes that the parameters of these names give; reductions drop those axes."""

    def links(step: Step, program: Program) -> list[dict[int, Link]]:
        params = [step.params[name] for name in names]
        taken = {axis for param in params for axis in (param if isinstance(param, Sequence) else (param,))}
        result = []
        for value in step.inputs:
            rank = len(program.shape(value))
            kept = [axis for axis in range(rank) if axis not in taken]
            drop = len(program.shape(step.outputs[0])) < rank
            result.append({axis: Link(place if drop else axis) for place, axis in enumerate(kept)})
        return result

    return links


def _transpose(step: Step, program: Program) -> list[dict[int, Link]]:
    return [{axis: Link(place) for place, axis in enumerate(step.params["permutation"])}]


def _broadcast(step: Step, program: Program) -> list[dict[int, Link]]:
    shape, operand = step.params["shape"], program.shape(step.inputs[0])
    places = step.params["broadcast_dimensions"]
    first = {axis: Link(int(to)) for axis, to in enumerate(places) if operand[axis] == shape[to]}
    return [first] + [{} for _ in step.inputs[1:]]


def _reshape(step: Step, program: Program) -> list[dict[int, Link]]:
    """An axis survives where the reshape keeps it by itself."""
    if step.params.get("dimensions") is not None:
        return [{}]
    before, after = program.shape(step.inputs[0]), program.shape(step.outputs[0])
    link: dict[int, Link] = {}
    if 0 in before:
        return [link]
    for axis, size in enumerate(before):
        for to, other in enumerate(after):
            alone = prod(before[:axis]) == prod(after[:to]) and size == other
            if alone and to not in {found.to for found in link.values()}:
                link[axis] = Link(to)
                break
    return [link]


def _dot(step: Step, program: Program) -> list[dict[int, Link]]:
    (contracted, batched) = step.params["dimension_numbers"]
    result: list[dict[int, Link]] = []
    place = len(batched[0])
    for side, value in enumerate(step.inputs):
        link = {0: Link(0)} if batched[side][:1] == (0,) else {}
        for axis in range(len(program.shape(value))):
            if axis not in contracted[side] and axis not in batched[side]:
                link[axis] = Link(place)
                place += 1
        result.append(link)
    return result


def _convolution(step: Step, program: Program) -> list[dict[int, Link]]:
    params, numbers = step.params, step.params["dimension_numbers"]
    if params["batch_group_count"] != 1:
        return [{}, {}]
    link = {numbers.lhs_spec[0]: Link(int(numbers.out_spec[0]))}
    kernel = program.shape(step.inputs[1])
    for i, axis in enumerate(numbers.lhs_spec[2:]):
        if params["lhs_dilation"][i] == 1:
            extent = (kernel[numbers.rhs_spec[2 + i]] - 1) * params["rhs_dilation"][i] + 1
            stride, low = params["window_strides"][i], params["padding"][i][0]
            link[axis] = Link(int(numbers.out_spec[2 + i]), int(extent), int(stride), int(low))
    return [link, {}]


def _bind_convolution(step: Step, operands: Sequence[Any], box: Box) -> list[Any]:
    numbers, strides = step.params["dimension_numbers"], step.params["window_strides"]
    padding = [box.pads.get(axis, own) for axis, own in zip(numbers.lhs_spec[2:], step.params["padding"], strict=True)]
    kernel = operands[1].shape
    depthwise = step.params["feature_group_count"] > 1
    if depthwise or 2 * prod(box.shape) * prod(kernel[axis] for axis in numbers.rhs_spec[1:]) >= WORTH_FLOPS:
        each = evaluated(step.params, operands[0], operands[1], padding)
        if each is not None:
            return [each]
    slow = padding and not any(map(any, padding)) and max(kernel[axis] for axis in numbers.rhs_spec[2:]) > 1
    if not (slow and box.pads and jax.default_backend() == "cpu"):
        return step.bind(*operands, padding=tuple(padding))
    # XLA's CPU convolution is two to four times slower without any padding than with one superfluous row.
    padding[0] = (0, strides[0])
    (result,) = step.bind(*operands, padding=tuple(padding))
    rows = numbers.out_spec[2]
    return [lax.slice_in_dim(result, 0, box.shape[rows], axis=rows)]


def _window(step: Step, program: Program) -> list[dict[int, Link]]:
    params, link = step.params, {}
    for axis, kernel in enumerate(params["window_dimensions"]):
        if params["base_dilation"][axis] == 1:
            extent = (kernel - 1) * params["window_dilation"][axis] + 1
            stride, low = params["window_strides"][axis], params["padding"][axis][0]
            link[axis] = Link(axis, int(extent), int(stride), int(low))
    return [link]


def _bind_window(step: Step, operands: Sequence[Any], box: Box) -> list[Any]:
    padding = tuple(box.pads.get(axis, own) for axis, own in enumerate(step.params["padding"]))
    return step.bind(*operands, padding=padding)


def _pad(step: Step, program: Program) -> list[dict[int, Link]]:
    config = step.params["padding_config"]
    shape = program.shape(step.inputs[0])
    link = {axis: Link(axis, low=int(low)) for axis, (low, _, between) in enumerate(config) if between == 0}
    if config[0] == (0, 0, 0):
        link[0] = Link(0)
    return [{axis: value for axis, value in link.items() if shape[axis] > 0}, {}]


def _bind_pad(step: Step, operands: Sequence[Any], box: Box) -> list[Any]:
    config = tuple(
        (*box.pads[axis], 0) if axis in box.pads else own for axis, own in enumerate(step.params["padding_config"])
    )
    return step.bind(*operands, padding_config=config)


def _slice(step: Step, program: Program) -> list[dict[int, Link]]:
    """A slice with a stride reads cells of `stride` positions, so that the slices of one pool keep one box."""
    shape = program.shape(step.inputs[0])
    strides = step.params["strides"] or (1,) * len(shape)
    link = {}
    for axis, (start, stride) in enumerate(zip(step.params["start_indices"], strides, strict=True)):
        link[axis] = Link(axis, int(stride), int(stride), -int(start // stride * stride))
    if program.shape(step.outputs[0])[0] == shape[0]:
        link[0] = Link(0)
    return [link]


def _bind_slice(step: Step, operands: Sequence[Any], box: Box) -> list[Any]:
    starts, limits = list(step.params["start_indices"]), list(step.params["limit_indices"])
    strides = list(step.params["strides"] or (1,) * len(starts))
    for axis in (0, *box.pads):
        starts[axis] %= strides[axis]
        limits[axis] = starts[axis] + (box.shape[axis] - 1) * strides[axis] + 1
    return step.bind(*operands, start_indices=tuple(starts), limit_indices=tuple(limits), strides=tuple(strides))


def _reverse(step: Step, program: Program) -> list[dict[int, Link]]:
    rank = len(program.shape(step.inputs[0]))
    return [{axis: Link(axis, mirrored=axis in step.params["dimensions"]) for axis in range(rank)}]


def lowest(dtype: Any) -> Any:
    """The value that no maximum keeps."""
    if jnp.issubdtype(dtype, jnp.floating):
        return -jnp.inf
    return False if dtype == jnp.bool_ else jnp.iinfo(dtype).min


def highest(dtype: Any) -> Any:
    """The value that no minimum keeps."""
    if jnp.issubdtype(dtype, jnp.floating):
        return jnp.inf
    return True if dtype == jnp.bool_ else jnp.iinfo(dtype).max


# fmt: off
ELEMENTWISE = (
    "abs", "acos", "acosh", "add", "add_any", "and", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil",
    "clamp", "clz", "complex", "conj", "convert_element_type", "copy", "copy_p", "cos", "cosh", "digamma", "div",
    "eq", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor", "ge", "gt", "imag", "integer_pow", "is_finite",
    "le", "lgamma", "log", "log1p", "logistic", "lt", "max", "min", "mul", "mulhi", "ne", "neg", "nextafter", "not",
    "or", "population_count", "pow", "real", "reduce_precision", "rem", "round", "rsqrt", "select_n", "shift_left",
    "shift_right_arithmetic", "shift_right_logical", "sign", "sin", "sinh", "sqrt", "square", "stop_gradient", "sub",
    "tan", "tanh", "xor",
)
# fmt: on
REDUCTIONS = (*(f"reduce_{kind}" for kind in ("sum", "max", "min", "prod", "and", "or", "xor")), "argmax", "argmin")
CUMULATIVE = ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")

RULES: dict[str, Rule] = {name: Rule(_identical) for name in ELEMENTWISE}
RULES |= {name: Rule(_all_but("axes")) for name in REDUCTIONS}
RULES |= {name: Rule(_all_but("axis")) for name in CUMULATIVE}
RULES |= {
    "sort": Rule(_all_but("dimension")),
    "concatenate": Rule(_all_but("dimension")),
    "split": Rule(_all_but("axis")),
    "squeeze": Rule(_all_but("dimensions")),
    "transpose": Rule(_transpose),
    "broadcast_in_dim": Rule(_broadcast, lambda step, operands, box: step.bind(*operands, shape=box.shape)),
    "reshape": Rule(_reshape, lambda step, operands, box: step.bind(*operands, new_sizes=box.shape)),
    "dot_general": Rule(_dot),
    "conv_general_dilated": Rule(_convolution, _bind_convolution),
    "reduce_window_sum": Rule(_window, _bind_window),
    "reduce_window_max": Rule(_window, _bind_window, lambda step, operands, dtype: lowest(dtype)),
    "reduce_window_min": Rule(_window, _bind_window, lambda step, operands, dtype: highest(dtype)),
    "pad": Rule(_pad, _bind_pad, lambda step, operands, dtype: operands[1]),
    "slice": Rule(_slice, _bind_slice),
    "rev": Rule(_reverse),
}
