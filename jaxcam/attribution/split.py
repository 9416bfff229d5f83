"""Where a network is cut: features before, a head after; for any JAX function and for any stage of a chain."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jaxtyping import Array

from jaxcam.attribution import jaxprs
from jaxcam.errors import UserError
from jaxcam.networks.chain import Chain, Params


class Split(NamedTuple):
    """A network in two parts: `features, head = split(...)`."""

    features: Callable[..., Any]
    """from the images to the value at the cut"""
    head: Callable[..., Any]
    """from that value, and the images where the rest of the network sees more than the value, to the result"""

    def on(self, *images: Any) -> tuple[Any, Callable[[Any], Any]]:
        """The value for these images, and the rest of the network as a function of the value alone.

            Where the rest needs more than the value (a skip connection round the cut), it is computed from the images;
            inside one `jit` XLA merges that with the computation of the value.

            >>> import jax.numpy as jnp
            >>> from jax.ad_checkpoint import checkpoint_name
        >>> fn = lambda x: checkpoint_name(2 * x, "twice") + x
            >>> value, head = split(fn, at="twice").on(3.0)
            >>> float(value), float(head(value)), float(head(10.0))
            (6.0, 9.0, 13.0)
        """
        return self.features(*images), lambda value: self.head(value, *images)


def split(function: Callable[..., Any], at: str, *, occurrence: int | None = None) -> Split:
    """Cut any JAX function at the value that it names with `jax.ad_checkpoint.checkpoint_name(value, at)`.

    `features(images)` gives that value, `head(value)` the function's result from it, exactly and with the function's
    own derivatives. What the rest of the function uses besides the value (parameters, constants) is the function's
    own. Where it uses the images again by another way (a skip connection round the cut), pass them too,
    `head(value, images)`, or take both at once: `value, head = split(fn, at).on(images)`.

    The function is traced on every call, so use the parts inside `jit`. `head(value)` needs the images' shapes and
    has them from the last `features(images)` that gave values of that size; the number of images may differ. Jitted
    functions, checkpointed ones (`jax.remat`) and those with a derivative of their own are followed; a derivative that
    spans the cut is replaced by that of its parts. A name inside a loop or a branch cannot be cut. A name that is
    given several times needs `occurrence`, 0 for the first, -1 for the last. `UserError` says what cannot be cut.

    >>> import jax.numpy as jnp
    >>> from jax.ad_checkpoint import checkpoint_name
    >>> fn = lambda x: checkpoint_name(jnp.sin(x), "sine") * 2
    >>> features, head = split(fn, at="sine")
    >>> features(jnp.zeros(1)).tolist(), head(jnp.ones(1)).tolist()
    ([0.0], [2.0])
    """
    shapes: dict[Any, tuple[Any, ...]] = {}

    def features(*images):
        program, _ = opened(function, at, images)
        value = named_value(program, at, occurrence)
        shapes[tail(value.aval)] = jax.eval_shape(lambda *same: same, *images)
        before, besides = jaxprs.part(program, [], [value])
        leaves = jax.tree.leaves(images)
        return jaxprs.run(before, *(leaves[i] for i in besides))[0]

    def head(value, *images):
        if not images and tail(value) not in shapes:
            raise UserError(
                f"head(value) at {at!r} does not know the images' shapes yet: call features(images) first, "
                "or head(value, images)"
            )
        program, tree = opened(function, at, images or resized(shapes[tail(value)], value))
        variable = named_value(program, at, occurrence)
        after, besides = jaxprs.part(program, [variable], program.jaxpr.outvars)
        if not uses(after, variable):
            raise UserError(f"the result does not depend on {at!r}: go on with the value that checkpoint_name returns")
        if besides and not images:
            raise UserError(
                f"what follows {at!r} uses the images again, past the named value: call head(value, images), "
                "take split(fn, at).on(images), or name a value that everything passes through"
            )
        leaves = jax.tree.leaves(images)
        return jax.tree.unflatten(tree, jaxprs.run(after, value, *(leaves[i] for i in besides)))

    return Split(features, head)


def at_stage(chain: Chain, params: Params, stage: str) -> Split:
    """A chain cut after a stage: features of images, and the head on that stage's output.

    Exact for every stage; the parameters are the chain's, whatever of them is trained or frozen. The head's own
    stages count too: `conv_last` of a CAM head is a place like any other. `UserError` lists the stages there are.
    """
    chain.index(stage)
    return Split(
        lambda images: chain.apply(params, images, stop=stage), lambda value: chain.apply(params, value, start=stage)
    )


def opened(function: Callable[..., Any], at: str, arguments: tuple[Any, ...]) -> tuple[jaxprs.Program, Any]:
    """The traced function with every call unrolled that the name is in."""
    program, tree = jaxprs.traced(function, *arguments)
    return jaxprs.inlined(program, lambda equation: any(name == at for name, _ in names_in(equation))), tree


def named_value(program: jaxprs.Program, at: str, occurrence: int | None) -> Any:
    """The variable that the name stands for."""
    found = [e.outvars[0] for e in program.jaxpr.eqns if e.primitive.name == "name" and e.params["name"] == at]
    every = [entry for equation in program.jaxpr.eqns for entry in names_in(equation)]
    inside = [path[0] for name, path in every if name == at and path]
    if inside and not found:
        raise UserError(f"{at!r} is named inside a {inside[0]}, which cannot be cut; name the value before or after it")
    if not found:
        names = ", ".join(dict.fromkeys(name for name, _ in every)) or "no names at all"
        raise UserError(f"no value is named {at!r} (jax.ad_checkpoint.checkpoint_name); the function has: {names}")
    if occurrence is None and len(found) > 1:
        raise UserError(f"{len(found)} values are named {at!r}; say which with occurrence=0..{len(found) - 1}")
    if not -len(found) <= (occurrence or 0) < len(found):
        raise UserError(f"{at!r} is named {len(found)} times, so there is no occurrence {occurrence}")
    return found[occurrence or 0]


def names_in(equation: jaxprs.Equation) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names given by an equation or inside it, and the operations they are inside of."""
    if equation.primitive.name == "name":
        yield equation.params["name"], ()
    for inner in jaxprs.inner_jaxprs(equation):
        for deeper in inner.eqns:
            for name, path in names_in(deeper):
                yield name, (equation.primitive.name, *path)


def uses(program: jaxprs.Program, variable: Any) -> bool:
    atoms = [*program.jaxpr.outvars, *(a for equation in program.jaxpr.eqns for a in equation.invars)]
    return any(atom is variable for atom in atoms)


def tail(value: Any) -> tuple[Any, ...]:
    """What values of one network have in common for any number of images."""
    return (*value.shape[1:], value.dtype)


def resized(shapes: tuple[Any, ...], value: Array) -> tuple[Any, ...]:
    """The images' shapes for as many images as there are values."""
    if not value.ndim:
        return shapes

    def one(leaf):
        shape = (value.shape[0], *leaf.shape[1:]) if leaf.shape else ()
        return jax.ShapeDtypeStruct(shape, leaf.dtype, weak_type=leaf.weak_type)

    return jax.tree.map(one, shapes)
