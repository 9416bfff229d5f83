"""Images by their Fourier coefficients and in decorrelated colours, so that every frequency and colour grows alike.

Source: Olah, Mordvintsev and Schubert, Feature Visualization (Distill, 2017); the colour matrix is that of Lucid (their
code, Apache-2.0): the square root of the colours' covariance in ImageNet.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, PRNGKeyArray

_COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)
COLOURS = _COLOURS / np.linalg.norm(_COLOURS, axis=0).max()
"""row: red, green, blue; column: brightness and two differences of colours"""


def frequencies(size: tuple[int, int]) -> Float32[np.ndarray, "h half"]:
    """Length of the frequency that each coefficient of `numpy.fft.rfft2` stands for, in cycles a pixel."""
    down, across = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None]
    return np.sqrt(down**2 + across**2).astype(np.float32)


def spectrum_noise(key: PRNGKeyArray, size: tuple[int, int], *, spread: float = 0.01) -> Float32[Array, "2 3 h half"]:
    """Real and imaginary parts of small random coefficients for three colours."""
    return spread * jax.random.normal(key, (2, 3, *frequencies(size).shape), jnp.float32)


def image_of(
    coefficients: Float32[Array, "*n 2 3 h half"], size: tuple[int, int]
) -> Float32[Array, "*n height width 3"]:
    """The image of some coefficients, every value in 0..1.

    Low frequencies are worth more (1/f, as in photographs), colours are mixed from decorrelated ones, and a sigmoid
    keeps the range.
    """
    lengths = frequencies(size)
    worth = (np.sqrt(size[0] * size[1]) / np.maximum(lengths, 1 / max(size))).astype(np.float32)
    complex_values = lax_complex(coefficients * worth)
    planes = jnp.fft.irfft2(complex_values, s=size) / 4
    mixed = jnp.einsum("...chw,rc->...hwr", planes, jnp.asarray(COLOURS), precision="highest")
    return jax.nn.sigmoid(mixed.astype(jnp.float32))


def lax_complex(parts: Float32[Array, "*n 2 c h half"]) -> Array:
    """Complex numbers of their real and imaginary parts, which stand in the fourth axis from the end."""
    return jax.lax.complex(parts[..., 0, :, :, :], parts[..., 1, :, :, :])
