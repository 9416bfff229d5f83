"""The jitted steps: gradients of the trainable parameters only, nothing synchronises with the host."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

Forward = Callable[..., Float[Array, "n k"]]
"""forward(params, inputs, train=..., key=...) -> logits; inputs are images, or features of the frozen base"""


class Sums(NamedTuple):
    """Sums over the images seen so far; they stay on the device until somebody reads them."""

    loss: Array
    correct: Array
    images: Array
    lowest: Array
    highest: Array

    @classmethod
    def zero(cls, classes: int) -> "Sums":
        """Nothing seen yet."""
        # One buffer each: a step donates them, and the same buffer cannot be donated twice.
        zeros = [jnp.zeros((), jnp.float32) for _ in range(3)]
        return cls(*zeros, *(jnp.full((classes,), end, jnp.float32) for end in (jnp.inf, -jnp.inf)))

    def numbers(self) -> dict[str, float]:
        """Mean loss, accuracy, and how far apart a class's logits lie over the images at most (0: a dead head)."""
        count = float(self.images) or math.nan
        # Not a standard deviation from sums of squares: rounding would hide that equal logits are equal.
        spread = float((self.highest - self.lowest).max()) if count > 0 else math.nan
        return {"loss": float(self.loss) / count, "accuracy": float(self.correct) / count, "logit_spread": spread}


class TrainState(NamedTuple):
    """What a step changes."""

    trainable: Any
    opt_state: Any
    step: Array


def losses_of(
    logits: Float[Array, "n k"], labels: Int[Array, " n"], class_weights: Float[Array, " k"]
) -> Float[Array, " n"]:
    """Cross-entropy of each image times the weight of its class."""
    plain = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return plain * class_weights[labels]


def add_batch(
    sums: Sums,
    losses: Float[Array, " n"],
    logits: Float[Array, "n k"],
    labels: Int[Array, " n"],
    mask: Bool[Array, " n"],
) -> Sums:
    """Sums with the masked-in images of a batch added."""
    weight = mask.astype(jnp.float32)
    correct = (logits.argmax(-1) == labels) & mask
    # Rows that are only padding may hold anything, also NaN: they are selected away, not multiplied by zero.
    lowest = jnp.where(mask[:, None], logits, jnp.inf).min(0)
    highest = jnp.where(mask[:, None], logits, -jnp.inf).max(0)
    return Sums(
        sums.loss + jnp.where(mask, losses, 0).sum(),
        sums.correct + correct.sum().astype(jnp.float32),
        sums.images + weight.sum(),
        jnp.minimum(sums.lowest, lowest),
        jnp.maximum(sums.highest, highest),
    )


def make_train_step(forward: Forward, optimiser: optax.GradientTransformation, *, seed_key: PRNGKeyArray) -> Callable:
    """`step(state, sums, frozen, inputs, labels, mask, class_weights) -> (state, sums)`; state and sums are donated.

    The frozen parameters are a plain argument, so no gradient, norm or decay ever touches them.
    """

    def step(state: TrainState, sums: Sums, frozen, inputs, labels, mask, class_weights):
        key = jax.random.fold_in(seed_key, state.step)
        # Before the forward pass: what is NaN there is NaN in the gradient too, however the loss is masked.
        inputs = jnp.where(mask.reshape(-1, *(1 for _ in inputs.shape[1:])), inputs, jnp.zeros((), inputs.dtype))

        def loss(trainable):
            logits = forward({**frozen, **trainable}, inputs, train=True, key=key).astype(jnp.float32)
            losses = losses_of(logits, labels, class_weights)
            # Divided by the number of images, not by the sum of weights: with batches of one a weight must still count.
            mean = jnp.where(mask, losses, 0).sum() / jnp.maximum(mask.sum(), 1).astype(jnp.float32)
            return mean, (losses, logits)

        gradients, (losses, logits) = jax.grad(loss, has_aux=True)(state.trainable)
        updates, opt_state = optimiser.update(gradients, state.opt_state, state.trainable)
        trainable = optax.apply_updates(state.trainable, updates)
        return TrainState(trainable, opt_state, state.step + 1), add_batch(sums, losses, logits, labels, mask)

    return jax.jit(step, donate_argnums=(0, 1))


def make_eval_step(forward: Forward) -> Callable:
    """`step(params, sums, inputs, labels, mask) -> (sums, logits)`."""

    def step(params, sums: Sums, inputs, labels, mask):
        logits = forward(params, inputs, train=False, key=None).astype(jnp.float32)
        losses = losses_of(logits, labels, jnp.ones((logits.shape[-1],)))
        return add_batch(sums, losses, logits, labels, mask), logits

    return jax.jit(step, donate_argnums=(1,))
