"""Programs compiled ahead of time, and what they cost: seconds to compile, operations by formula and by XLA, memory."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from jaxcam.attribution.jaxprs import inner_jaxprs


@dataclass(frozen=True)
class Program:
    """A compiled function and its arguments; calling it waits for the result."""

    compiled: Callable[..., Any]
    arguments: tuple[Any, ...]
    facts: dict[str, Any]
    """seconds to trace and compile, `gflop` by formula, `gflop_xla` by cost analysis, MiB of arguments and the rest"""

    def __call__(self) -> Any:
        return jax.block_until_ready(self.compiled(*self.arguments))


def program(function: Callable[..., Any], *arguments: Any) -> Program:
    """Compile the function for the arguments; one that is jitted already keeps its options."""
    jitted = function if hasattr(function, "lower") else jax.jit(function)
    started, busy = time.perf_counter(), time.process_time()
    lowered = jitted.lower(*arguments)
    traced = time.perf_counter()
    compiled = lowered.compile()
    facts: dict[str, Any] = {"trace_s": round(traced - started, 2), "compile_s": round(time.perf_counter() - traced, 2)}
    facts |= {"compile_core_s": round(time.process_time() - busy, 2)}
    flops, whole = formula_flops(jitted, *arguments)
    facts |= {"gflop": round(flops / 1e9, 4)} | ({} if whole else {"gflop_lower_bound": True})
    analysis = cost_analysis(compiled)
    if "flops" in analysis:
        facts["gflop_xla"] = round(analysis["flops"] / 1e9, 4)
    memory = compiled.memory_analysis()
    if memory is not None:
        parts = (memory.argument_size_in_bytes, memory.output_size_in_bytes, memory.temp_size_in_bytes)
        facts |= {"program_mib": round(sum(parts) / 2**20, 1), "temporary_mib": round(parts[2] / 2**20, 1)}
    return Program(compiled, arguments, facts)


def cost_analysis(compiled: Any) -> dict[str, float]:
    """XLA's own count, as a dictionary in every version of JAX. It counts the body of a loop once."""
    found = compiled.cost_analysis() or {}
    return dict(found[0] if isinstance(found, list) else found)


def formula_flops(function: Callable[..., Any], *arguments: Any) -> tuple[float, bool]:
    """Operations of the convolutions and matrix products that a call does, two for each multiply-add.

    Padding counts as if it were multiplied, loops as often as they run; nothing else is counted. The second value is
    False where a loop's length is not known beforehand: its body then counts once.
    """
    return _operations(jax.make_jaxpr(function)(*arguments).jaxpr)


def _operations(jaxpr: Any) -> tuple[float, bool]:
    total, whole = 0.0, True
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == "conv_general_dilated":
            total += _convolution(equation)
        elif name == "convolution_3x3":  # as many as by definition: fewer are done
            total += 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(equation.invars[1].aval.shape[:3])
        elif name == "convolution_3x3_kernel":
            slope, kernel = equation.invars[1].aval.shape, equation.outvars[0].aval.shape
            total += 2.0 * math.prod(slope) * math.prod(kernel[:3])
        elif name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            length = math.prod(shape[axis] for axis in contracted)
            total += 2.0 * math.prod(equation.outvars[0].aval.shape) * length
        inner = [_operations(part) for part in inner_jaxprs(equation)]
        if not inner:
            continue
        most, known = max(flops for flops, _ in inner), all(known for _, known in inner)
        if name == "scan":
            most = sum(flops for flops, _ in inner) * equation.params["length"]
        elif name == "while":
            known = known and most == 0
        elif name != "cond":
            most = sum(flops for flops, _ in inner)
        total, whole = total + most, whole and known
    return total, whole


def _convolution(equation: Any) -> float:
    """Two operations for each output, kernel position and channel of its group."""
    kernel = equation.invars[1].aval.shape
    outputs = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(kernel) / outputs
