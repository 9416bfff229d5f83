"""The gradient family: what a small change of each input value would do to a score.

Every function takes `fn`, any JAX function from float images (n, h, w, c) to scores (n, k), and `targets` in one of the
three forms of `jaxcam.attribution.targets`. It returns signed values for every input value in float32, (n, h, w, c), or
(n, t, h, w, c) for t targets; `channel_sum` and `channel_max_abs` make (.., h, w) of them. Inputs need not be pictures:
any shape (n, ...) works. All are pure and work under `jit`, `vmap` and sharding; the images' dtype is the dtype that
`fn` sees, sums are float32.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Key

from jaxcam.attribution.gradient.samples import (
    MEMORY,
    Function,
    arranged,
    fold,
    gradients_at,
    image_keys,
    logits_shape,
    points_at_once,
    target_scores,
)
from jaxcam.attribution.targets import Targets


def input_gradients(
    fn: Function, images: Float[Array, "n *shape"], targets: Targets, *, memory: int = MEMORY
) -> Float32[Array, "n *shape"] | Float32[Array, "n t *shape"]:
    """Gradient of each target's score with respect to its image: one forward, one backward for each target.

    The targets share the forward. `memory` (bytes) bounds how many backward passes run together.
    """
    logits = logits_shape(fn, images)
    at_once = points_at_once(fn, images, memory)
    values = gradients_at(fn, images[:, None], targets, lambda gradient: gradient[:, 0], at_once=at_once)
    return arranged(values, targets, logits)


def saliency(
    fn: Function, images: Float[Array, "n *shape"], targets: Targets, *, absolute: bool = False, memory: int = MEMORY
) -> Float32[Array, "n *shape"] | Float32[Array, "n t *shape"]:
    """Saliency: the gradient of the score with respect to the input.

    Source: Simonyan et al., "Deep Inside Convolutional Networks" (2014), who show the largest absolute value over the
    channels: `channel_max_abs(saliency(...))`. Signed, float32, (n, h, w, c), or (n, t, h, w, c) for t targets;
    `absolute=True` drops the sign, as captum does.

    Cost: 1 forward, and 1 backward for each target.

    >>> fn = lambda x: (x * jnp.array([3.0, -1.0])).sum((1, 2))
    >>> saliency(fn, jnp.ones((1, 1, 1, 2)), jnp.array([1])).tolist()
    [[[[0.0, -1.0]]]]
    """
    values = input_gradients(fn, images, targets, memory=memory)
    return jnp.abs(values) if absolute else values


def input_x_gradient(
    fn: Function, images: Float[Array, "n *shape"], targets: Targets, *, memory: int = MEMORY
) -> Float32[Array, "n *shape"] | Float32[Array, "n t *shape"]:
    """Input times gradient: the first-order share of each input value in the score.

    Source: Shrikumar et al., "Not Just a Black Box" (2016). For a linear function without a constant the values of an
    image add up to its score. Signed, float32, (n, h, w, c), or (n, t, h, w, c) for t targets. Depends on where
    the inputs' zero lies: a black pixel has none after division by 255, and a mean pixel none after normalising.

    Cost: 1 forward, and 1 backward for each target.

    >>> fn = lambda x: (x * jnp.array([3.0, -1.0])).sum((1, 2, 3))[:, None]
    >>> input_x_gradient(fn, jnp.array([[[[2.0, 5.0]]]]), jnp.array([0])).tolist()
    [[[[6.0, -5.0]]]]
    """
    values = input_gradients(fn, images, targets, memory=memory)
    return values * beside_targets(images.astype(jnp.float32), values)


def smooth_grad(
    fn: Function,
    images: Float[Array, "n *shape"],
    targets: Targets,
    *,
    key: Key[Array, "..."],
    samples: int = 50,
    noise: float = 0.15,
    kind: Literal["mean", "squared", "variance"] = "mean",
    memory: int = MEMORY,
) -> Float32[Array, "n *shape"] | Float32[Array, "n t *shape"]:
    """SmoothGrad: the gradient averaged over noisy copies of the image.

    Source: Smilkov et al., "SmoothGrad: removing noise by adding noise" (2017). Gaussian noise is added whose standard
    deviation is `noise` times the image's own range (largest minus smallest value over all positions and channels), as
    in the paper; a constant image gets none. `kind`: `"mean"` of the gradients, signed; `"squared"`, the mean of their
    squares (SmoothGrad-Squared, Hooker et al., 2019); `"variance"`, their variance over the samples, divided by
    `samples` (VarGrad, Adebayo et al., 2018). Float32, (n, h, w, c), or (n, t, h, w, c) for t targets.

    `key` is one key, and every image gets the same draws, so its map does not depend on the batch it stands in; or one
    key for each image (n,). The numbers do not depend on `memory` (bytes), which bounds how many samples run together.

    Cost: `samples` forwards, and `samples` backwards for each target.
    """
    if kind not in ("mean", "squared", "variance"):
        raise ValueError(f"kind must be mean, squared or variance, got {kind!r}")
    logits, keys = logits_shape(fn, images), image_keys(key, images.shape[0])
    wide = images.astype(jnp.float32)
    inner = tuple(range(1, images.ndim))
    spread = noise * (wide.max(inner, keepdims=True) - wide.min(inner, keepdims=True))

    def draw(key, sample):
        return jax.random.normal(jax.random.fold_in(key, sample), images.shape[1:])

    def step(carry, numbers):
        draws = jax.vmap(jax.vmap(draw, (None, 0)), (0, None))(keys, numbers)
        points = (wide[:, None] + spread[:, None] * draws).astype(images.dtype)
        at_once = max(1, budget // len(numbers))
        part = gradients_at(fn, points, targets, lambda g: moments(g, squared=kind == "squared"), at_once=at_once)
        done, mean, scatter = carry
        # Chan et al. (1979): means and squared deviations of two groups of samples, joined without cancellation.
        share = len(numbers) / (done + len(numbers))
        away = part[0] - mean
        joined = scatter + part[1] + jnp.square(away) * done * share
        return done + len(numbers), mean + away * share, joined

    budget = points_at_once(fn, images, memory)
    count = jax.eval_shape(lambda x: target_scores(fn, x, targets), images).shape[1]
    zeros = jnp.zeros((count, *images.shape), jnp.float32)
    _, mean, scatter = fold(step, (jnp.zeros(()), zeros, zeros), samples, budget)
    return arranged(scatter / samples if kind == "variance" else mean, targets, logits)


def moments(
    gradients: Float32[Array, "n s *shape"], *, squared: bool
) -> tuple[Float32[Array, "n *shape"], Float32[Array, "n *shape"]]:
    """Mean over the samples, and sum of squared deviations from it; of the squares if asked."""
    values = jnp.square(gradients) if squared else gradients
    return values.mean(1), jnp.square(values - values.mean(1, keepdims=True)).sum(1)


def beside_targets(values: Float32[Array, "n *shape"], like: Float32[Array, "n *more"]) -> Float32[Array, "n ..."]:
    """`values` with an axis for targets where `like` has one."""
    return values[:, None] if like.ndim > values.ndim else values


def channel_sum(values: Float[Array, "... h w c"]) -> Float32[Array, "... h w"]:
    """Sum over the channels: keeps the sign and what the values add up to (for decompositions).

    >>> channel_sum(jnp.array([[[1.0, -3.0]]])).tolist()
    [[-2.0]]
    """
    return values.astype(jnp.float32).sum(-1)


def channel_max_abs(values: Float[Array, "... h w c"]) -> Float32[Array, "... h w"]:
    """Largest absolute value over the channels (for gradients; Simonyan et al., 2014). NaN where a channel is NaN.

    >>> channel_max_abs(jnp.array([[[1.0, -3.0]]])).tolist()
    [[3.0]]
    """
    return jnp.abs(values.astype(jnp.float32)).max(-1)
