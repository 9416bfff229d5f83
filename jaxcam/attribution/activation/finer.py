"""Finer-CAM: what tells a class from those that are most like it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int

from jaxcam.attribution.activation.cam import grad_cam
from jaxcam.attribution.activation.pullback import Head
from jaxcam.attribution.targets import Score, check_targets, chosen_scores


def finer(targets: Int[Array, "..."], *, references: int = 3, strength: float = 1.0) -> Score:
    """Finer-CAM's score: the target's logit less those of the `references` classes whose logits are nearest to it.

    `sum(p * (target - strength * reference)) / sum(p)` over the references, where p are their softmax probabilities,
    which take part in the gradient (as in pytorch-grad-cam and the authors' code). With fewer other classes than
    `references` all of them are taken; with none the score is the logit. For any method that takes targets.
    """
    if references < 1:
        raise ValueError(f"references must be at least 1, got {references}")

    def score(logits: Float[Array, "n k"]) -> Float32[Array, "n ..."]:
        check_targets(targets, *logits.shape)
        logits = logits.astype(jnp.float32)
        own = chosen_scores(logits, targets)
        count = min(references, logits.shape[1] - 1)
        if count == 0:
            return own if targets.ndim == 2 else own[:, 0]
        columns = targets.reshape(targets.shape[0], -1)
        distance = jnp.abs(logits[:, None] - own[..., None])
        itself = jnp.arange(logits.shape[1]) == columns[..., None]
        _, nearest = jax.lax.top_k(-jax.lax.stop_gradient(jnp.where(itself, jnp.inf, distance)), count)
        others = jnp.take_along_axis(jnp.broadcast_to(logits[:, None], distance.shape), nearest, axis=2)
        # Probabilities divided by their sum, which may be too small for float32.
        value = (jax.nn.softmax(others) * (own[..., None] - strength * others)).sum(-1)
        return value if targets.ndim == 2 else value[:, 0]

    return score


def finer_cam(
    head: Head,
    activations: Float[Array, "n h w c"],
    targets: Int[Array, "..."],
    *,
    relu: bool = True,
    references: int = 3,
    strength: float = 1.0,
    method: Callable[..., Float32[Array, "n ..."]] = grad_cam,
) -> Float32[Array, "n ..."]:
    """Finer-CAM (Zhang et al., 2025): a map of what distinguishes the class from the most similar ones.

    Grad-CAM (or another `method` of the same signature) of the score `finer`; `strength=0` is the method itself up to
    the weights' gradient, larger values leave only what the similar classes lack. `targets` are classes, (n,) or
    (n, t). Cost: the method's.
    """
    return method(head, activations, finer(targets, references=references, strength=strength), relu=relu)
