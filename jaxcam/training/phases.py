"""From a phase's description to what the loop needs: which stages move, the optimiser, the weights of the classes."""

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float32, Int32

from jaxcam.config import Phase
from jaxcam.errors import UserError
from jaxcam.networks import Chain


def trainable_stages(phase: Phase, chain: Chain, base: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the stages that move in this phase; `base` are the names of the stages below the head."""
    if phase.trainable == "all":
        return chain.names
    if phase.trainable == "head":
        return chain.names[len(base) :]
    return chain.trainable_from(phase.trainable)


def last_frozen(trainable: tuple[str, ...], chain: Chain) -> str | None:
    """The stage whose output can be cached: the one before the first that moves; None if all move."""
    first = chain.index(trainable[0])
    return chain.names[first - 1] if first else None


def learning_rates(phase: Phase, steps_per_epoch: int) -> optax.Schedule:
    """Learning rate by step of the phase."""
    total, warmup = phase.epochs * steps_per_epoch, round(phase.warmup_epochs * steps_per_epoch)
    if phase.schedule == "cosine":
        return optax.warmup_cosine_decay_schedule(
            0.0 if warmup else phase.learning_rate, phase.learning_rate, warmup, total
        )
    if warmup:
        return optax.linear_schedule(0.0, phase.learning_rate, warmup)
    return optax.constant_schedule(phase.learning_rate)


def optimiser(phase: Phase, steps_per_epoch: int) -> optax.GradientTransformation:
    """The phase's optimiser with Keras' defaults; decay acts on kernels only."""
    rate = learning_rates(phase, steps_per_epoch)
    scale = {
        "adam": lambda: optax.scale_by_adam(eps=1e-7),
        "rmsprop": lambda: optax.scale_by_rms(decay=0.9, eps=1e-7),
        "sgd": lambda: optax.trace(decay=0.9),
    }[phase.optimiser]()
    parts = [optax.clip_by_global_norm(phase.clip_norm), scale] if phase.clip_norm else [scale]
    if phase.weight_decay:
        parts.append(optax.add_decayed_weights(phase.weight_decay, mask=is_kernel))
    return optax.chain(*parts, optax.scale_by_learning_rate(rate))


def is_kernel(params):
    """Tree of booleans: True for kernels (two or more axes)."""
    return {stage: {name: value.ndim > 1 for name, value in values.items()} for stage, values in params.items()}


def class_weights(phase: Phase, class_names: tuple[str, ...], labels: Int32[np.ndarray, " n"]) -> Float32[Array, " k"]:
    """Factor on the loss of each class, in class order."""
    if phase.class_weights == "none":
        return jnp.ones((len(class_names),))
    if phase.class_weights == "balanced":
        counts = np.bincount(labels[labels >= 0], minlength=len(class_names))
        return jnp.asarray(len(labels) / (len(class_names) * np.maximum(counts, 1)), jnp.float32)
    given = dict(phase.class_weights)
    unknown = sorted(set(given) - set(class_names))
    if unknown:
        raise UserError(f"class weights for unknown classes {unknown}; the classes are {', '.join(class_names)}")
    return jnp.asarray([given.get(name, 1.0) for name in class_names], jnp.float32)
