"""From a phase's description to what the loop needs: which stages move, the optimiser, the weights of the classes."""

import fnmatch
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float32, Int32

from jaxcam.classifier import Classifier
from jaxcam.config import Phase
from jaxcam.errors import UserError
from jaxcam.networks import Chain
from jaxcam.networks.layers import Dropout


def trainable_stages(phase: Phase, chain: Chain, base: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the stages that move in this phase, in order; `base` are the names of the stages below the head."""
    words = [word.strip() for word in phase.trainable.split(",")]
    if words == ["all"]:
        return chain.names
    if len(words) == 1 and words[0] != "head" and not is_pattern(words[0]):
        return chain.trainable_from(words[0])
    chosen: set[str] = set()
    for word in words:
        found = chain.names[len(base) :] if word == "head" else fnmatch.filter(chain.names, word)
        if not found:
            raise UserError(f"no stage is called {word!r}; this network has: {', '.join(chain.names)}")
        chosen.update(found)
    return tuple(name for name in chain.names if name in chosen)


def is_pattern(word: str) -> bool:
    """Whether a word stands for several names."""
    return any(sign in word for sign in "*?[")


def check(phases: Sequence[Phase], classifier: Classifier) -> None:
    """Raise `UserError` for a phase that does not fit the network or its classes; asked before the first one begins."""
    for number, phase in enumerate(phases):
        stages = trainable_stages(phase, classifier.chain, classifier.network.base_names())
        if not any(name in classifier.params for name in stages):
            several = "," in phase.trainable or is_pattern(phase.trainable)
            which = f"{phase.trainable!r} stands for" if several else f"from {phase.trainable!r} on"
            raise UserError(f"phases.{number}.trainable: no stage {which} has parameters")
        class_weights(phase, classifier.class_names, np.zeros(0, np.int32))


def last_frozen(trainable: tuple[str, ...], chain: Chain) -> str | None:
    """The stage whose output can be cached: the one before the first that moves or drops; None where it is the first.

    Dropout acts in a training step whether the stages around it move or not, as in Keras.
    """
    first = next(i for i, (name, stage) in enumerate(chain.stages) if name in trainable or isinstance(stage, Dropout))
    return chain.names[first - 1] if first else None


def learning_rates(phase: Phase, steps_per_epoch: int) -> optax.Schedule:
    """Learning rate by step of the phase."""
    peak, total = phase.learning_rate, phase.epochs * steps_per_epoch
    warmup = min(round(phase.warmup_epochs * steps_per_epoch), total - 1)
    rest = total - warmup
    falling = rest / (1 if phase.schedule == "exponential" else 3)
    every = falling if phase.decay_epochs is None else phase.decay_epochs * steps_per_epoch
    after = {
        "constant": lambda: optax.constant_schedule(peak),
        "cosine": lambda: optax.cosine_decay_schedule(peak, rest),
        "linear": lambda: optax.linear_schedule(peak, 0.0, rest),
        "exponential": lambda: optax.exponential_decay(peak, every, phase.decay_rate),
        "step": lambda: optax.exponential_decay(peak, every, phase.decay_rate, staircase=True),
    }[phase.schedule]()
    if warmup:
        after = optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), after], [warmup])
    return promoting(after)


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
    whole = optax.chain(*parts, optax.scale_by_learning_rate(rate))
    return optax.GradientTransformation(whole.init, promoting(whole.update))


def promoting(function: Callable) -> Callable:
    """The function under JAX's standard type promotion: optax mixes floats and integers, which "strict" forbids."""

    def call(*arguments):
        with jax.numpy_dtype_promotion("standard"):
            return function(*arguments)

    return call


def is_kernel(params):
    """Tree of booleans: True for kernels (two or more axes)."""
    return jax.tree.map(lambda value: value.ndim > 1, params)


def class_weights(phase: Phase, class_names: tuple[str, ...], labels: Int32[np.ndarray, " n"]) -> Float32[Array, " k"]:
    """Factor on the loss of each class, in class order."""
    if phase.class_weights == "none":
        return jnp.ones((len(class_names),))
    if phase.class_weights == "balanced":
        counts = np.bincount(labels[labels >= 0], minlength=len(class_names))
        return jnp.asarray(counts.sum() / (len(class_names) * np.maximum(counts, 1)), jnp.float32)
    given = dict(phase.class_weights)
    unknown = sorted(set(given) - set(class_names))
    if unknown:
        raise UserError(f"class weights for unknown classes {unknown}; the classes are {', '.join(class_names)}")
    if not all(0 <= factor < math.inf for factor in given.values()):
        raise UserError(f"class weights must be numbers of at least zero, got {given}")
    return jnp.asarray([given.get(name, 1.0) for name in class_names], jnp.float32)
