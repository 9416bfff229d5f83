"""A network is a chain of named stages; every method of jaxcam is a slice of one chain."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from jaxcam.errors import UserError
from jaxcam.networks import portions
from jaxcam.networks.layers import Conv, MaxPool
from jaxcam.networks.normalised import BatchNorm
from jaxcam.networks.turns import rows_for

STATISTICS = frozenset({"moving_mean", "moving_variance"})
"""parameters that no optimiser moves: batch norm's running statistics"""

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Chain:
    """Named stages applied in order, with a way in and a way out at every stage.

    A stage is a Linen module called as `stage(x, train=...)` with parameters and nothing else (running statistics
    are parameters too). Parameters are a plain dict `{stage: {"kernel": ..., "bias": ...}}`; stages without
    parameters are absent from it.
    """

    stages: tuple[tuple[str, nn.Module], ...]

    def __post_init__(self):
        names = self.names
        if len(set(names)) != len(names):
            raise ValueError(f"stage names must differ, got {names}")

    @property
    def names(self) -> tuple[str, ...]:
        """The stages' names in order."""
        return tuple(name for name, _ in self.stages)

    def index(self, name: str) -> int:
        """Position of a stage; a `UserError` lists the allowed names."""
        if name not in self.names:
            raise UserError(f"unknown stage {name!r}; this network has: {', '.join(self.names)}")
        return self.names.index(name)

    def slice(self, start: str | None = None, stop: str | None = None) -> "Chain":
        """The stages after `start` up to and including `stop`, as a chain of its own."""
        first = 0 if start is None else self.index(start) + 1
        last = len(self.stages) if stop is None else self.index(stop) + 1
        if first > last:
            raise UserError(f"stage {stop!r} comes before {start!r}; swap start and stop")
        return Chain(self.stages[first:last])

    def apply(
        self,
        params: Params,
        x: Float[Array, "n ..."],
        start: str | None = None,
        stop: str | None = None,
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "n ..."]:
        """Output of stage `stop` (default: the last); with `start`, `x` is that stage's output.

        `train=True` switches dropout on and needs `key`; batch norm goes by its running statistics all the same. A
        stage's randomness depends on its name's position in the whole chain, not on where the slice begins.
        """
        steps = self._steps(start, stop, key)
        x, done = large_maps(steps, params, x)
        for name, stage, rngs in steps[done:]:
            with jax.named_scope(name):
                x = cast(Array, stage.apply({"params": params.get(name, {})}, x, train=train, rngs=rngs))
        return x

    def apply_training(
        self,
        params: Params,
        x: Float[Array, "n ..."],
        start: str | None = None,
        *,
        trained: Collection[str],
        rows: Bool[Array, " n"],
        key: PRNGKeyArray | None = None,
    ) -> tuple[Float[Array, "n ..."], dict[str, Any]]:
        """The last stage's output in a training step, and the running statistics after it, nested as in `params`.

        In the stages named in `trained` batch norm goes by the batch, of which only `rows` count, and its running
        statistics move; in the others it goes by the running statistics, which stay (Keras' `trainable = False`).
        Dropout is on everywhere.
        """
        statistics: dict[str, Any] = {}
        steps = self._steps(start, None, key)
        frozen = next((place for place, (name, _, _) in enumerate(steps) if name in trained), len(steps))
        x, done = large_maps(steps[:frozen], params, x)
        for name, stage, rngs in steps[done:]:
            variables = {"params": params.get(name, {})}
            with jax.named_scope(name):
                if name not in trained:
                    x = cast(Array, stage.apply(variables, x, train=True, rngs=rngs))
                    continue
                with nn.intercept_methods(by_batch(rows)):
                    found = stage.apply(variables, x, train=True, rngs=rngs, mutable=["statistics"])
                x, moved = cast(tuple[Array, dict[str, Any]], found)
                if moved:
                    statistics[name] = moved["statistics"]
        return x, statistics

    def in_portions(self, params: Params, shape: tuple[int, ...]) -> tuple[str, ...]:
        """The first stages, if `apply` takes a batch of float32 images of that shape through them in portions."""
        run, _ = with_large_maps(self._steps(None, None, None), params, jax.ShapeDtypeStruct(shape, jnp.float32))
        return tuple(name for name, _ in run)

    def _steps(self, start: str | None, stop: str | None, key: PRNGKeyArray | None) -> list[tuple[str, Any, dict]]:
        """Name, module and random keys of the stages of a slice."""
        offset = 0 if start is None else self.index(start) + 1
        return [
            (name, stage, {} if key is None else {"dropout": jax.random.fold_in(key, position)})
            for position, (name, stage) in enumerate(self.slice(start, stop).stages, start=offset)
        ]

    def init(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> dict[str, Any]:
        """Fresh parameters for inputs of `shape` (n, h, w, c); each stage's key is folded from its position."""
        params: dict[str, Any] = {}
        x = jax.ShapeDtypeStruct(shape, jnp.float32)
        for position, (name, stage) in enumerate(self.stages):
            variables = stage.init(jax.random.fold_in(key, position), jnp.zeros(x.shape, x.dtype))
            if "params" in variables:
                params[name] = dict(variables["params"])
            x = jax.eval_shape(stage.apply, variables, x)
        return params

    def abstract(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """The parameters' shapes and dtypes (`jax.ShapeDtypeStruct`), without computing anything."""
        return jax.eval_shape(lambda: self.init(jax.random.key(0), shape))

    def shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Output shape of every stage for an input of `shape`."""
        params, out = self.abstract(shape), {}
        x = jax.ShapeDtypeStruct(shape, jnp.float32)
        for name, stage in self.stages:
            x = jax.eval_shape(stage.apply, {"params": params.get(name, {})}, x)
            out[name] = x.shape
        return out

    def trainable_from(self, stage: str) -> tuple[str, ...]:
        """Names of `stage` and of everything after it."""
        return self.names[self.index(stage) :]


def with_large_maps(
    steps: Sequence[tuple[str, Any, dict]], params: Params, x: Array | jax.ShapeDtypeStruct
) -> tuple[list[tuple[str, Any]], int]:
    """The first stages, as far as they make large maps, and how many images go through them together."""
    run: list[tuple[str, Any]] = []
    sizes: list[int] = []
    out: Any = x
    fixed = all(isinstance(length, int) for length in x.shape)
    for name, stage, _ in steps if fixed and not portions.whole_batches() else ():
        if not isinstance(stage, (Conv, MaxPool)) or out.ndim != 4 or out.shape[1] * out.shape[2] < portions.POSITIONS:
            break
        out = jax.eval_shape(stage.apply, {"params": params.get(name, {})}, out)
        run.append((name, stage))
        sizes.append(out.size // max(1, out.shape[0]) * out.dtype.itemsize)
    rows = rows_for(max(sizes, default=0), x.shape[0], portions.BYTES)
    return ([], rows) if rows == x.shape[0] else (run, rows)


def large_maps(steps: Sequence[tuple[str, Any, dict]], params: Params, x: Array) -> tuple[Array, int]:
    """What the first stages give, as far as they make large maps, and how many these are: see `networks.portions`."""
    run, rows = with_large_maps(steps, params, x)
    if not run:
        return x, 0

    def through(values: Array, own: Params) -> Array:
        for name, stage in run:
            with jax.named_scope(name):
                values = cast(Array, stage.apply({"params": own.get(name, {})}, values))
        return values

    own = {name: params[name] for name, _ in run if name in params}
    return portions.in_portions(through, x, own, rows=rows), len(run)


def split_params(params: Params, names: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`(those named, the others)`; merge again with `{**others, **named}`."""
    named = {name: value for name, value in params.items() if name in names}
    others = {name: value for name, value in params.items() if name not in names}
    return named, others


def split_statistics(params: Params) -> tuple[dict[str, Any], dict[str, Any]]:
    """`(what an optimiser may move, batch norm's running statistics)`; `merged` puts them together again."""
    flat = flatten_dict(dict(params))
    statistics = {path: value for path, value in flat.items() if path[-1] in STATISTICS}
    return unflatten_dict({path: flat[path] for path in flat if path not in statistics}), unflatten_dict(statistics)


def merged(first: Params, second: Params) -> dict[str, Any]:
    """The leaves of two nested dicts in one; where both have a leaf, the second one's."""
    return unflatten_dict({**flatten_dict(dict(first)), **flatten_dict(dict(second))})


def by_batch(rows: Bool[Array, " n"]) -> Any:
    """Hands `rows` to every batch norm inside a stage, so that no block needs to pass them on."""

    def intercept(call, arguments, options, context):
        if isinstance(context.module, BatchNorm) and context.method_name == "__call__":
            options = {**options, "rows": rows}
        return call(*arguments, **options)

    return intercept
