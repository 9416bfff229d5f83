"""Functions as lists of primitive operations: what `split` cuts, and what Grad-CAM and Ablation-CAM look into.

A traced function is a `ClosedJaxpr`. Calls (`jit`, `remat`, functions with a derivative of their own) are equations
that hold a jaxpr; `inlined` replaces those that are asked for by their equations.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

# The last one is `jaxcam.networks.portions`'.
PLAIN_CALLS = frozenset({"jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint", "in_portions"})
DERIVATIVE_CALLS = frozenset({"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"})
CALLS = PLAIN_CALLS | DERIVATIVE_CALLS
HALF_PRECISION = (jnp.dtype(jnp.bfloat16), jnp.dtype(jnp.float16))

Equation = core.JaxprEqn
Program = core.ClosedJaxpr


def traced(function: Callable[..., Any], *arguments: Any) -> tuple[Program, Any]:
    """The function as a program over its flattened arguments, and the tree its results are put in."""
    program, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    return program, jax.tree.structure(shapes)


def inner_jaxprs(equation: Equation) -> list[core.Jaxpr]:
    """The jaxprs an equation holds: one for a call, several for a branch or a loop."""
    found = []
    for value in equation.params.values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(part, core.ClosedJaxpr):
                found.append(part.jaxpr)
            elif isinstance(part, core.Jaxpr):
                found.append(part)
    return found


def called(equation: Equation) -> Program | None:
    """What a call calls; None for any other equation, and for a call whose arguments are not the program's."""
    if equation.primitive.name not in CALLS:
        return None
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = equation.params.get(name)
        if isinstance(inner, core.Jaxpr) and not inner.constvars:
            inner = core.ClosedJaxpr(inner, ())
        if isinstance(inner, core.ClosedJaxpr) and len(inner.jaxpr.invars) == len(equation.invars):
            return inner
    return None


def inlined(program: Program, enter: Callable[[Equation], bool]) -> Program:
    """The same program with the calls that `enter` picks, at any depth, replaced by their equations."""
    constants = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
    equations: list[Equation] = []

    def walk(jaxpr, names):
        def read(atom):
            return names.get(atom, atom) if isinstance(atom, core.Var) else atom

        for equation in jaxpr.eqns:
            arguments = [read(atom) for atom in equation.invars]
            inner = called(equation)
            if inner is not None and enter(equation):
                inside = dict(zip(inner.jaxpr.invars, arguments, strict=True))
                for variable, value in zip(inner.jaxpr.constvars, inner.consts, strict=True):
                    inside[variable] = core.Var(variable.aval)
                    constants[inside[variable]] = value
                walk(inner.jaxpr, inside)
                results = [inside.get(a, a) if isinstance(a, core.Var) else a for a in inner.jaxpr.outvars]
                names.update(zip(equation.outvars, results, strict=True))
                continue
            # Jaxprs are cached and shared, so one that is called twice brings the same variables twice.
            fresh = [core.Var(variable.aval) for variable in equation.outvars]
            names.update(zip(equation.outvars, fresh, strict=True))
            equations.append(equation.replace(invars=arguments, outvars=fresh))

    names: dict[core.Var, Any] = {}
    walk(program.jaxpr, names)
    results = [names.get(a, a) if isinstance(a, core.Var) else a for a in program.jaxpr.outvars]
    jaxpr = program.jaxpr.replace(constvars=list(constants), outvars=results, eqns=equations)
    return core.ClosedJaxpr(jaxpr, list(constants.values()))


def part(program: Program, inputs: Sequence[Any], outputs: Sequence[Any]) -> tuple[Program, list[int]]:
    """What computes `outputs` from the variables `inputs`, and nothing else of the program.

    The second value lists the program's own arguments that it needs besides; they follow `inputs` in the part's
    arguments.
    """
    given = set(inputs)
    needed = {atom for atom in outputs if isinstance(atom, core.Var)} - given
    equations: list[Equation] = []
    for equation in reversed(program.jaxpr.eqns):
        if needed.isdisjoint(equation.outvars):
            continue
        equations.append(equation)
        needed.update(a for a in equation.invars if isinstance(a, core.Var) and a not in given)
    besides = [i for i, variable in enumerate(program.jaxpr.invars) if variable in needed]
    constants = {v: c for v, c in zip(program.jaxpr.constvars, program.consts, strict=True) if v in needed}
    jaxpr = program.jaxpr.replace(
        constvars=list(constants),
        invars=[*inputs, *(program.jaxpr.invars[i] for i in besides)],
        outvars=list(outputs),
        eqns=equations[::-1],
    )
    return core.ClosedJaxpr(jaxpr, list(constants.values())), besides


def run(program: Program, *arguments: Any) -> list[Any]:
    """The program's results, in order."""
    return core.jaxpr_as_fun(program)(*arguments)


def run_in_float32(program: Program, *arguments: Any) -> list[Any]:
    """The program's results with every bfloat16 or float16 value kept in float32 instead.

    Differences of results that are nearly equal need this: a bfloat16 logit has eight bits. Loops and branches keep
    their own precision. Not to be differentiated: functions with a derivative of their own are followed inside.
    """
    values: dict[Any, Any] = {}

    def read(atom):
        value = values[atom] if isinstance(atom, core.Var) else atom.val
        return wide(value)

    values.update(zip(program.jaxpr.constvars, program.consts, strict=True))
    values.update(zip(program.jaxpr.invars, arguments, strict=True))
    for equation in program.jaxpr.eqns:
        operands = [read(atom) for atom in equation.invars]
        inner = called(equation)
        if inner is not None:
            results = run_in_float32(inner, *operands)
        elif inner_jaxprs(equation):
            operands = [jnp.asarray(o, a.aval.dtype) for o, a in zip(operands, equation.invars, strict=True)]
            results = bound(equation, operands, equation.params)
        else:
            results = bound(equation, operands, {name: wide_dtype(v) for name, v in equation.params.items()})
        values.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in program.jaxpr.outvars]


def bound(equation: Equation, operands: Sequence[Any], params: dict[str, Any]) -> list[Any]:
    """The equation's primitive on other operands; always a list."""
    results = equation.primitive.bind(*operands, **equation.primitive.get_bind_params(params))
    return list(results) if equation.primitive.multiple_results else [results]


def wide(value: Any) -> Any:
    """Half-precision arrays in float32, anything else as it is."""
    return value.astype(jnp.float32) if getattr(value, "dtype", None) in HALF_PRECISION else value


def wide_dtype(parameter: Any) -> Any:
    """float32 in place of a half-precision dtype among an equation's parameters."""
    is_half = isinstance(parameter, (jnp.dtype, type)) and parameter in HALF_PRECISION
    return jnp.dtype(jnp.float32) if is_half else parameter
