"""Runs of stages that CPUs do a few images at a time: the same numbers, about a tenth faster.

A convolution at full resolution writes 13 MB an image (VGG16, 224x224, 64 channels). A batch of these leaves the caches
before the next stage reads it, and its pages are new to the process every time. XLA keeps the order of the program, so
the order is changed here: a loop takes one image through all the large maps before the next (forward of 8 images:
.89 of the processor seconds; a loop a stage, padded or unfolded first convolutions, pools before the bias: no gain). On
GPUs and TPUs nothing changes: they want large batches.

The loop exists only where a program becomes machine code for a CPU. To everything else, derivatives, `vmap` and what
looks into traced programs, the run is a call of the plain program over the whole batch: gradients inside a loop would
be several times slower (see `jaxcam.attribution.loops`).
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from jaxcam.networks.turns import in_turns

NAME = "in_portions"
BYTES = 2**22
"""maps of one stage that a portion of the batch may have; one image at least"""
POSITIONS = 1024
"""fewer positions an image: packing the kernel for each portion would cost more than the caches give"""
_WHOLE = jax.make_user_context(default_value=False)


def in_whole_batches() -> AbstractContextManager[None]:
    """Within it no program is traced in portions: for programs that XLA could otherwise not merge.

    Two slices of a chain that end in different places are the same operations up to there, but not the same loop.
    """
    return _WHOLE(True)


def whole_batches() -> bool:
    """Whether `in_whole_batches` holds."""
    return _WHOLE.value


@dataclass(frozen=True, eq=False)
class Portion:
    """The program for a portion of the batch; not a jaxpr, so that it does not count as a second thing to look into."""

    program: core.ClosedJaxpr
    rows: int


def in_portions(function: Callable[..., Array], x: Array, *others: Any, rows: int) -> Array:
    """`function(x, *others)`, whose rows do not depend on each other; on CPUs `rows` of them at a time.

    `rows` must divide the batch. `function` is called with other batch sizes too, and must not close over traced
    values.
    """
    leaves, tree = jax.tree.flatten(others)
    flat = lambda x, *leaves: function(x, *jax.tree.unflatten(tree, leaves))
    part = jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype)
    portion = Portion(jax.make_jaxpr(flat)(part, *leaves), rows)
    (result,) = call.bind(x, *leaves, jaxpr=jax.make_jaxpr(flat)(x, *leaves), portion=portion)
    return result


def whole(*values: Array, jaxpr: core.ClosedJaxpr, portion: Portion) -> list[Array]:
    """The program over the whole batch."""
    return core.jaxpr_as_fun(jaxpr)(*values)


def looped(x: Array, *others: Array, jaxpr: core.ClosedJaxpr, portion: Portion) -> list[Array]:
    """The same in a loop over portions."""
    inner = core.jaxpr_as_fun(portion.program)
    return [in_turns(lambda part: inner(part, *others)[0], x, rows=portion.rows)]


def differentiated(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> tuple[Any, Any]:
    """Derivatives of the program over the whole batch, with respect to what has a tangent."""
    moving = [place for place, tangent in enumerate(tangents) if type(tangent) is not ad.Zero]

    def of(*values: Any) -> list[Array]:
        given = dict(zip(moving, values, strict=True))
        return whole(*(given.get(place, value) for place, value in enumerate(primals)), **params)

    return jax.jvp(of, [primals[place] for place in moving], [tangents[place] for place in moving])


def batched(values: Sequence[Any], axes: Sequence[Any], **params: Any) -> tuple[list[Array], list[int]]:
    """`vmap`: the program over the whole batch."""
    found = jax.vmap(partial(whole, **params), in_axes=tuple(axes))(*values)
    return found, [0] * len(found)


call = core.Primitive(NAME)
call.multiple_results = True
call.def_impl(whole)
call.def_abstract_eval(lambda *values, jaxpr, portion: list(jaxpr.out_avals))
ad.primitive_jvps[call] = differentiated
batching.primitive_batchers[call] = batched
mlir.register_lowering(call, mlir.lower_fun(whole, multiple_results=True))
mlir.register_lowering(call, mlir.lower_fun(looped, multiple_results=True), platform="cpu")
