"""Gradients that are taken inside a loop, at full speed on CPUs.

XLA brings a convolution to the form that its fast CPU kernels take (NHWC, HWIO) only outside of loops. The gradient
with respect to an image is a convolution in another form, and inside `fori_loop` or `scan` it runs several times slower
(jaxlib 0.10; `bench/filters.py --loops` measures how much). Here the program is rewritten to that form beforehand.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from jaxcam.attribution import jaxprs

FORM = ("NHWC", "HWIO", "NHWC")


def loop_ready(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function with every two-dimensional convolution in the form that is fast inside a loop.

    The results are the same numbers. It is applied to a whole gradient, and is not to be differentiated: functions
    with a derivative of their own are followed inside.

    >>> slope = jax.grad(lambda x: (x**3).sum())
    >>> float(loop_ready(slope)(2.0))
    12.0
    """

    def rewritten(*arguments: Any) -> Any:
        program, tree = jaxprs.traced(function, *arguments)
        program = jaxprs.inlined(program, lambda equation: True)
        values: dict[Any, Any] = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
        values.update(zip(program.jaxpr.invars, jax.tree.leaves(arguments), strict=True))
        read = lambda atom: values[atom] if isinstance(atom, core.Var) else atom.val
        for equation in program.jaxpr.eqns:
            operands = [read(atom) for atom in equation.invars]
            convolve = equation.primitive.name == "conv_general_dilated"
            results = [convolved(equation, *operands)] if convolve else None
            if results is None or results[0] is None:
                results = jaxprs.bound(equation, operands, equation.params)
            values.update(zip(equation.outvars, results, strict=True))
        return jax.tree.unflatten(tree, [read(atom) for atom in program.jaxpr.outvars])

    return rewritten


def convolved(equation: jaxprs.Equation, images: Any, kernel: Any) -> Any:
    """A convolution's result by transposing what goes in and what comes out; None where that is not needed."""
    about = dict(equation.params)
    numbers = about.pop("dimension_numbers")
    images_from = (numbers.lhs_spec[0], *numbers.lhs_spec[2:], numbers.lhs_spec[1])
    kernel_from = (*numbers.rhs_spec[2:], numbers.rhs_spec[1], numbers.rhs_spec[0])
    result_from = (numbers.out_spec[0], *numbers.out_spec[2:], numbers.out_spec[1])
    same = images_from == result_from == tuple(range(len(images_from))) and kernel_from == tuple(
        range(len(kernel_from))
    )
    if same or len(images_from) != 4 or about["batch_group_count"] != 1:
        return None
    result = lax.conv_general_dilated(
        jnp.transpose(images, images_from),
        jnp.transpose(kernel, kernel_from),
        about["window_strides"],
        about["padding"],
        about["lhs_dilation"],
        about["rhs_dilation"],
        FORM,
        about["feature_group_count"],
        precision=about["precision"],
        preferred_element_type=about["preferred_element_type"],
    )
    return jnp.transpose(result, np.argsort(result_from).tolist())
