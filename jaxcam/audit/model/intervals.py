"""How sure a number is: intervals for shares, and for whatever is computed from shares of classes."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from jaxcam.metrics import wilson

DRAWS = 1000
Z2 = 1.959964**2


def class_means(
    values: Float[np.ndarray, "n m"], labels: Int[np.ndarray, " n"], classes: Sequence[int]
) -> Float64[np.ndarray, " m"]:
    """Mean over the classes of each class' mean: balanced accuracy, where a value says whether a picture is right."""
    return np.mean([values[labels == c].mean(0, dtype=np.float64) for c in classes], axis=0)


def bootstrap(
    values: Float[np.ndarray, "n m"],
    labels: Int[np.ndarray, " n"],
    classes: Sequence[int],
    compute: Callable[[Float64[np.ndarray, "d m"]], Float64[np.ndarray, " d"]],
    *,
    seed: int = 0,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[float, float]:
    """95 % interval of `compute(class_means(values))`: pictures are drawn again within their class.

    Where every draw gives the same value (all pictures agree), the interval is as wide as Wilson's for n of n.
    """
    generator = np.random.default_rng([seed, 0xB0])
    means = np.zeros((DRAWS, values.shape[1]))
    for c in classes:
        own = values[labels == c].astype(np.float64)
        drawn = generator.multinomial(len(own), np.full(len(own), 1 / len(own)), size=DRAWS)
        means += drawn @ own / (len(own) * len(classes))
    found = compute(means)
    found = found[np.isfinite(found)]
    if not len(found):
        return bounds
    low, high = (float(end) for end in np.percentile(found, (2.5, 97.5)))
    if high - low < 1e-9:
        count = int(np.isin(labels, classes).sum())
        margin = Z2 / (count + Z2)
        low, high = low - margin, high + margin
    return max(bounds[0], low), min(bounds[1], high)


def share(happened: Bool[np.ndarray, " n"]) -> tuple[float, tuple[float, float]]:
    """A share of pictures and its 95 % Wilson interval; NaN without any."""
    count = len(happened)
    return (float(happened.mean()) if count else float("nan")), wilson(int(happened.sum()), count)


def percent(value: float) -> str:
    """A share in words: whole per cents, with a digit where it would be rounded to nothing or to all.

    >>> percent(0.345), percent(0.004), percent(1.0), percent(0.997), percent(0.99999)
    ('34 %', '0.4 %', '100 %', '99.7 %', 'over 99.9 %')
    """
    whole, exact = f"{100 * value:.0f}", f"{100 * value:.1f}"
    if value != 1 and exact == "100.0":
        return "over 99.9 %" if value < 1 else f"{exact} %"
    rounded_off = (whole in ("0", "-0") and value != 0) or (whole == "100" and value != 1)
    return f"{exact if rounded_off else whole} %"
