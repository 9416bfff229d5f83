"""Guided backpropagation and the deconvolution network, for any JAX function.

Both are gradients in which every ReLU has another backward rule. `guided(fn)` and `deconvolution(fn)` give a function
with `fn`'s values and those rules: `fn` is traced, its ReLUs are found wherever they stand (inside `jit`, `remat`,
`scan`, `cond`), and the rest is evaluated as before.

A ReLU is `jax.nn.relu`, `max(x, 0)` in either order (`jnp.maximum`, `jnp.clip` from zero, the first half of `relu6`)
or `jnp.where(x > 0, x, 0)`. Other nonlinearities, and maxima of two computed values, keep their own derivative; so do
functions with a custom derivative, unless they are nothing but a ReLU. `count(fn, images)` says how many were found: at
zero both methods are the plain gradient.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn, Literal
from jaxtyping import Array, Float, Float32

from jaxcam.attribution.gradient.gradients import Function, input_gradients
from jaxcam.attribution.interpret import Atom, Program, bodies, trace, with_bodies
from jaxcam.attribution.targets import Targets

COPIES = ("broadcast_in_dim", "convert_element_type", "reshape", "copy", "stop_gradient", "squeeze", "name")
ABOVE, BELOW = ("gt", "ge"), ("lt", "le")


def guided_backprop(
    fn: Function, images: Float[Array, "n *shape"], targets: Targets
) -> Float32[Array, "n *shape"] | Float32[Array, "n t *shape"]:
    """Guided backpropagation: the gradient through ReLUs that let only positive gradients of active units pass.

    Source: Springenberg et al., "Striving for Simplicity: The All Convolutional Net" (2015). Backward rule of a ReLU:
    `g * (x > 0) * (g > 0)`. Works for any function of float images (n, h, w, c) to scores (n, k). Signed, float32,
    (n, h, w, c), or (n, t, h, w, c) for t targets. Much of the map does not depend on the class or on the upper layers'
    weights (Adebayo et al., 2018): use it to see detail, not to compare classes.

    Cost: 1 forward, and 1 backward for each target.

    >>> images = jnp.array([[[[1.0], [-1.0]], [[2.0], [3.0]]]])
    >>> fn = lambda x: jax.nn.relu(x).reshape(1, -1) @ jnp.array([[1.0], [1.0], [-1.0], [2.0]])
    >>> guided_backprop(fn, images, jnp.array([0])).reshape(-1).tolist()
    [1.0, 0.0, 0.0, 2.0]
    """
    return input_gradients(guided(fn), images, targets)


def deconvnet(
    fn: Function, images: Float[Array, "n *shape"], targets: Targets
) -> Float32[Array, "n *shape"] | Float32[Array, "n t *shape"]:
    """Deconvolution network: the gradient through ReLUs that let only positive gradients pass, of any unit.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014). Backward rule of a ReLU:
    `g * (g > 0)`, whatever its input was. Works for any function of float images (n, h, w, c) to scores (n, k). Signed,
    float32, (n, h, w, c), or (n, t, h, w, c) for t targets. Max pools route back to where their maxima stood.

    Cost: 1 forward, and 1 backward for each target.

    >>> images = jnp.array([[[[1.0], [-1.0]], [[2.0], [3.0]]]])
    >>> fn = lambda x: jax.nn.relu(x).reshape(1, -1) @ jnp.array([[1.0], [1.0], [-1.0], [2.0]])
    >>> deconvnet(fn, images, jnp.array([0])).reshape(-1).tolist()
    [1.0, 1.0, 0.0, 2.0]
    """
    return input_gradients(deconvolution(fn), images, targets)


def guided(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` with guided backpropagation's rule at every ReLU; values, arguments and outputs stay as they are.

    Only reverse-mode derivatives (`grad`, `vjp`) of the result are defined. Takes any tree of arguments.
    """
    return _replaced(fn, _guided_relu)


def deconvolution(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` with the deconvolution network's rule at every ReLU; values, arguments and outputs stay as they are.

    Only reverse-mode derivatives (`grad`, `vjp`) of the result are defined. Takes any tree of arguments.
    """
    return _replaced(fn, _deconvolution_relu)


def count(fn: Callable[..., Any], *arguments: Any) -> int:
    """How many ReLUs `fn` has for these arguments (arrays, or `jax.ShapeDtypeStruct`); one in a loop counts once.

    >>> count(lambda x: jax.nn.relu(x) + jnp.maximum(x, 0) + jnp.tanh(x), jnp.ones(3))
    2
    """
    program, _ = trace(fn, *arguments, open_custom=is_rectifier)
    return _count(program)


def rectified(program: Program) -> dict[JaxprEqn, int]:
    """The operations that are ReLUs, each with the position of its argument."""
    found = {}
    for operation in program.operations:
        position, aval = _argument(program, operation), cast(Any, operation.outvars[0].aval)
        if position is not None and jnp.issubdtype(aval.dtype, jnp.floating):
            found[operation] = position
    return found


def is_rectifier(program: Program) -> bool:
    """Whether a function with a custom derivative is a ReLU, or a ReLU with a ceiling (relu6)."""
    rest = [operation for operation in program.operations if operation not in rectified(program)]
    return bool(rectified(program)) and all(
        operation.primitive.name in ("min", *COPIES, *ABOVE, *BELOW) for operation in rest
    )


def is_zero(program: Program, atom: Atom) -> bool:
    """Whether a value is known to be zero everywhere."""
    if isinstance(atom, Literal):
        return bool(np.all(np.asarray(atom.val) == 0))
    if atom in program.constants:
        value = program.constants[atom]
        small = isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer) and value.is_fully_addressable
        return (isinstance(value, np.ndarray | np.generic) or small) and value.size < 2**20 and not np.any(value)
    operation = program.producers.get(atom)
    return operation is not None and operation.primitive.name in COPIES and is_zero(program, operation.invars[0])


def _argument(program: Program, operation: JaxprEqn) -> int | None:
    """Position of the argument of which an operation is the ReLU; None if it is none."""
    if operation.primitive.name == "max":
        zeros = [is_zero(program, atom) for atom in operation.invars]
        return zeros.index(False) if zeros.count(True) == 1 else None
    if operation.primitive.name != "select_n" or len(operation.invars) != 3:
        return None
    test = program.producers.get(operation.invars[0])
    if test is None or test.primitive.name not in (*ABOVE, *BELOW):
        return None
    # select_n(test, value if false, value if true); the test may read x > 0 or 0 < x.
    (left, right), upper = test.invars, test.primitive.name in ABOVE
    for x, zero, above in ((left, right, upper), (right, left, not upper)):
        position = 2 if above else 1
        if (
            not isinstance(x, Literal)
            and operation.invars[position] == x
            and is_zero(program, zero)
            and is_zero(program, operation.invars[3 - position])
        ):
            return position
    return None


def _count(program: Program) -> int:
    inside = [_opened(body) for operation in program.operations for body in bodies(operation)]
    return len(rectified(program)) + sum(map(_count, inside))


_opened = partial(Program, open_custom=is_rectifier)


def _replaced(fn: Callable[..., Any], relu: Callable[[Array], Array]) -> Callable[..., Any]:
    def replaced(*arguments):
        program, tree = trace(fn, *arguments, open_custom=is_rectifier)
        return jax.tree.unflatten(tree, _evaluate(program, relu, jax.tree.leaves(arguments)))

    return replaced


def _evaluate(program: Program, relu: Callable[[Array], Array], arguments: Any) -> list[Any]:
    found = rectified(program)

    def rule(operation, values):
        if operation in found:
            shape = cast(Any, operation.outvars[0].aval).shape
            return [relu(jnp.broadcast_to(values[found[operation]], shape))]
        inside = [_opened(body) for body in bodies(operation)]
        if not any(map(_count, inside)):
            return None
        return with_bodies(operation, values, [lambda *x, body=body: _evaluate(body, relu, x) for body in inside])

    return program.evaluate(*arguments, rule=rule)


def _rectifier(backward: Callable[[Array, Array], Array]) -> Callable[[Array], Array]:
    @jax.custom_vjp
    def relu(x):
        return jnp.maximum(x, jnp.zeros((), x.dtype))

    # jnp.maximum, not a comparison, so that a NaN gradient stays one.
    relu.defvjp(
        lambda x: (relu(x), x > 0),
        lambda active, g: (backward(active, jnp.maximum(g, jnp.zeros((), g.dtype))),),
    )
    return relu


_guided_relu = _rectifier(lambda active, g: jnp.where(active, g, jnp.zeros((), g.dtype)))
_deconvolution_relu = _rectifier(lambda active, g: g)
