"""Patterns that people can read: Fourier images, seen in changing views, smooth."""

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float32, Int, PRNGKeyArray

from jaxcam.attribution.features.ascent import Patterns, channel_keys, in_windows, rms
from jaxcam.attribution.features.responses import Response
from jaxcam.attribution.features.spectrum import image_of, spectrum_noise
from jaxcam.attribution.features.views import look, random_view
from jaxcam.attribution.loops import loop_ready


def variation_slope(images: Float32[Array, "n h w c"]) -> Float32[Array, "n h w c"]:
    """Gradient of the total variation, the sum of the lengths of the differences to the right and downward."""

    def variation(images):
        down, right = jnp.diff(images, axis=1)[:, :, :-1], jnp.diff(images, axis=2)[:, :-1]
        return jnp.sqrt(down**2 + right**2 + 1e-4).sum()

    return jax.grad(variation)(images)


def robust_patterns(
    response: Response,
    channels: Int[Array, " n"],
    *,
    key: PRNGKeyArray,
    size: tuple[int, int] = (128, 128),
    steps: int = 128,
    learning_rate: float = 0.05,
    shift: float = 8.0,
    scale: float = 0.1,
    degrees: float = 10.0,
    smooth: float = 0.1,
    at_once: int | None = None,
) -> Patterns:
    """Gradient ascent on the mean of a channel over Fourier coefficients and decorrelated colours.

    Source: Olah, Mordvintsev and Schubert, Feature Visualization (Distill, 2017). In every step the image is seen
    shifted by up to `shift` pixels, scaled by up to 1 +- `scale` and turned by up to `degrees`, so that only patterns
    that survive this are found (all three 0: the image as it is). `smooth` is how much total variation counts beside
    the gradient's root mean square. Adam moves the coefficients. The images are in 0..1, and `response` is given 255
    times that. All channels of a step are seen in the same view, so that a channel's pattern does not depend on the
    others or on `at_once`. Pure; for `jit`, where `size`, `steps` and `at_once` are static.

    Cost: `steps` forwards and backwards up to the stage for every channel, and two forwards.
    """
    start_key, view_key = jax.random.split(key)
    optimiser = optax.adam(learning_rate)
    moves = bool(shift or scale or degrees)  # without, nothing is interpolated, and single pixels stay sharp

    def grow(channels: Int[Array, " m"]) -> Patterns:
        mean = lambda images: response(255 * images, channels).mean(1)

        def step(number, state):
            coefficients, memory = state
            view = random_view(jax.random.fold_in(view_key, number), degrees=degrees, scale=scale, shift=shift)
            images, pullback = jax.vjp(lambda values: image_of(values, size), coefficients)
            seen = (lambda images: look(images, view)) if moves else (lambda images: images)
            gradient = loop_ready(jax.grad(lambda images: mean(seen(images)).sum()))(images)
            # Divided by its size, so that a weak channel is not smoothed away and a strong one is smoothed at all.
            direction = smooth * variation_slope(images) - gradient / (rms(gradient) + 1e-12)
            (slope,) = pullback(direction)
            with jax.numpy_dtype_promotion("standard"):  # optax needs it
                change, memory = optimiser.update(slope, memory)
            return optax.apply_updates(coefficients, change), memory

        start = jax.vmap(lambda own: spectrum_noise(own, size))(channel_keys(start_key, channels))
        coefficients, _ = lax.fori_loop(0, steps, step, (start, optimiser.init(start)))
        first, last = image_of(start, size), image_of(coefficients, size)
        return Patterns(last, mean(first), mean(last))

    return in_windows(grow, channels, at_once)
