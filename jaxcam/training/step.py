"""The jitted steps: gradients of the trainable parameters only, nothing synchronises with the host."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from jaxcam.networks.chain import merged

TrainingForward = Callable[..., tuple[Float[Array, "n k"], dict[str, Any]]]
"""forward(params, inputs, rows=..., key=...) -> logits, and running statistics after the step"""
Forward = Callable[..., Float[Array, "n k"]]
"""forward(params, inputs) -> logits; inputs are images, or features of the frozen base"""


class Sums(NamedTuple):
    """Sums over the images seen so far; they stay on the device until somebody reads them."""

    loss: Array
    images: Array
    lowest: Array
    highest: Array
    right: Array
    seen: Array
    gradient_norm: Array
    steps: Array

    @classmethod
    def zero(cls, classes: int) -> "Sums":
        """Nothing seen yet."""
        # One buffer each: a step donates them, and the same buffer cannot be donated twice.
        loss, images, norm, steps = (jnp.zeros((), jnp.float32) for _ in range(4))
        lowest, highest = (jnp.full((classes,), end, jnp.float32) for end in (jnp.inf, -jnp.inf))
        right, seen = (jnp.zeros((classes,), jnp.float32) for _ in range(2))
        return cls(loss, images, lowest, highest, right, seen, norm, steps)

    def numbers(self) -> dict[str, float]:
        """What the sums say.

        Mean loss, accuracy, mean recall of the classes that were seen, mean norm of the gradient (where there was
        one), and how far apart a class's logits lie over the images at most (0: a dead head).
        """
        host = jax.device_get(self)
        count, there = float(host.images) or math.nan, host.seen > 0
        numbers = {
            "loss": float(host.loss) / count,
            "accuracy": float(host.right.sum()) / count,
            "balanced_accuracy": float((host.right[there] / host.seen[there]).mean()) if there.any() else math.nan,
        }
        if host.steps:
            numbers["gradient_norm"] = float(host.gradient_norm) / float(host.steps)
        # Not a standard deviation from sums of squares: rounding would hide that equal logits are equal.
        numbers["logit_spread"] = float((host.highest - host.lowest).max()) if count > 0 else math.nan
        return numbers


class TrainState(NamedTuple):
    """What a step changes."""

    trainable: Any
    """parameters that the optimiser moves"""
    statistics: Any
    """batch norm's running statistics of the stages that move; the optimiser, decay and norms never see them"""
    opt_state: Any
    step: Array

    @property
    def params(self) -> dict[str, Any]:
        """All parameters of the stages that move."""
        return merged(self.trainable, self.statistics)


def losses_of(
    logits: Float[Array, "n k"],
    labels: Int[Array, " n"],
    class_weights: Float[Array, " k"],
    smoothing: float = 0.0,
) -> Float[Array, " n"]:
    """Cross-entropy of each image times the weight of its class.

    `smoothing` is the share of the target that is spread over all classes (Szegedy et al., 2016; as in Keras).
    """
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    if smoothing:
        spread = -jax.nn.log_softmax(logits).mean(-1)
        losses = (1 - smoothing) * losses + smoothing * spread
    return losses * class_weights[labels]


def add_batch(
    sums: Sums,
    losses: Float[Array, " n"],
    logits: Float[Array, "n k"],
    labels: Int[Array, " n"],
    mask: Bool[Array, " n"],
) -> Sums:
    """Sums with the masked-in images of a batch added."""
    correct = (logits.argmax(-1) == labels) & mask
    classes = jax.nn.one_hot(labels, logits.shape[-1], dtype=jnp.float32)
    # Rows that are only padding may hold anything, also NaN: they are selected away, not multiplied by zero.
    lowest = jnp.where(mask[:, None], logits, jnp.inf).min(0)
    highest = jnp.where(mask[:, None], logits, -jnp.inf).max(0)
    return sums._replace(
        loss=sums.loss + jnp.where(mask, losses, 0).sum(),
        images=sums.images + mask.sum().astype(jnp.float32),
        lowest=jnp.minimum(sums.lowest, lowest),
        highest=jnp.maximum(sums.highest, highest),
        right=sums.right + jnp.where(correct[:, None], classes, 0).sum(0),
        seen=sums.seen + jnp.where(mask[:, None], classes, 0).sum(0),
    )


def make_train_step(
    forward: TrainingForward,
    optimiser: optax.GradientTransformation,
    *,
    seed_key: PRNGKeyArray,
    label_smoothing: float = 0.0,
    place: NamedSharding | None = None,
) -> Callable:
    """`step(state, sums, frozen, inputs, labels, mask, class_weights) -> (state, sums, loss)`.

    The state and the sums are donated. `loss` is the batch's, for whoever wants to know early that it is no number.
    The frozen parameters are a plain argument, so no gradient, norm or decay ever touches them; the gradient's norm is
    summed before it is clipped. `place` is where the results lie (every device of a mesh).
    """

    def step(state: TrainState, sums: Sums, frozen, inputs, labels, mask, class_weights):
        key = jax.random.fold_in(seed_key, state.step)
        # Before the forward pass: what is NaN there is NaN in the gradient too, however the loss is masked.
        inputs = jnp.where(mask.reshape(-1, *(1 for _ in inputs.shape[1:])), inputs, jnp.zeros((), inputs.dtype))

        def loss(trainable):
            params = {**frozen, **merged(trainable, state.statistics)}
            logits, statistics = forward(params, inputs, rows=mask, key=key)
            logits = logits.astype(jnp.float32)
            losses = losses_of(logits, labels, class_weights, label_smoothing)
            # Divided by the number of images, not by the sum of weights: with batches of one a weight must still count.
            mean = jnp.where(mask, losses, 0).sum() / jnp.maximum(mask.sum(), 1).astype(jnp.float32)
            return mean, (losses, logits, statistics)

        (mean, (losses, logits, statistics)), gradients = jax.value_and_grad(loss, has_aux=True)(state.trainable)
        updates, opt_state = optimiser.update(gradients, state.opt_state, state.trainable)
        trainable = optax.apply_updates(state.trainable, updates)
        sums = add_batch(sums, losses, logits, labels, mask)
        sums = sums._replace(
            gradient_norm=sums.gradient_norm + optax.tree.norm(gradients), steps=sums.steps + jnp.float32(1)
        )
        return TrainState(trainable, merged(state.statistics, statistics), opt_state, state.step + 1), sums, mean

    # Placed: left to itself the compiler may split what comes out, and the next step was compiled for what went in.
    return jax.jit(step, donate_argnums=(0, 1), out_shardings=place)


def make_eval_step(forward: Forward, *, place: NamedSharding | None = None) -> Callable:
    """`step(params, sums, inputs, labels, mask) -> sums`; the sums are donated."""

    def step(params, sums: Sums, inputs, labels, mask):
        logits = forward(params, inputs).astype(jnp.float32)
        losses = losses_of(logits, labels, jnp.ones((logits.shape[-1],)))
        return add_batch(sums, losses, logits, labels, mask)

    return jax.jit(step, donate_argnums=(1,), out_shardings=place)
