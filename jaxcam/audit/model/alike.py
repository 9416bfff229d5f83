"""Maps compared with maps of random heads on the same features: locked to a place, or blind to what was learned."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float64

from jaxcam.attribution.judging.sanity import spearman
from jaxcam.audit.model.context import Context, by_class
from jaxcam.audit.model.measured import FEW
from jaxcam.audit.model.places import method
from jaxcam.audit.model.program import HEADS
from jaxcam.audit.signals import Signal
from jaxcam.audit.whole_set import unit_maps

ALIKE = 0.5
"""rank correlation with the maps of random heads from which maps hardly depend on what was learned"""


def no_heads(context: Context) -> str:
    """Why there are no maps of random heads; empty where there are."""
    if context.measured.head_maps is None:
        return (
            f"the maps are {method(context)}'s, which need the whole network for every random head; use cam or grad_cam"
        )
    return "" if context.measured.maps.any() else "no map has any heat"


def maps_of_heads(context: Context) -> Iterator[Float[np.ndarray, "n gh gw"]]:
    """The maps of the sample by each random head."""
    maps = context.measured.head_maps
    return iter(()) if maps is None else iter(np.moveaxis(maps, 1, 0))


def correlation(context: Context) -> Signal:
    """M5: how alike the maps of a class' pictures are, in standard deviations of what random heads give."""
    name = "likeness of the maps of a class"
    reason = no_heads(context)
    if reason or not context.classes:
        return context.inapplicable("M5", name, reason or context.problem())
    measured = context.measured
    warm = measured.maps.max((1, 2)) > measured.maps.min((1, 2))
    classes = [c for c in context.classes if (warm & (measured.labels == c)).sum() >= FEW]
    if not classes:
        return context.inapplicable("M5", name, f"no class has {FEW} maps that are not the same everywhere")
    labels = np.where(warm, measured.labels, -1)
    by_own, errors = class_likeness(measured.maps, labels, classes)
    chance = np.array([class_likeness(maps, labels, classes)[0] for maps in maps_of_heads(context)])
    own, null = float(by_own.mean()), chance.mean(1)
    spread = max(float(null.std(ddof=1)), 1e-3)
    value, error = (own - float(null.mean())) / spread, float(np.sqrt((errors**2).sum()) / len(errors)) / spread
    return context.signal(
        "M5",
        name,
        value,
        interval=(value - 1.96 * error, value + 1.96 * error),
        sentence=(
            f"Two maps of one class correlate by {own:.2f} on average, under {HEADS} random heads on the same features "
            f"by {null.mean():.2f} ± {spread:.2f}: {abs(value):.1f} standard deviations "
            f"{'more' if value >= 0 else 'less'} ({context.of})."
        ),
        details={
            "correlation": own,
            "random_heads": null.tolist(),
            "correlation_by_class": by_class(context.names, classes, by_own.tolist()),
        },
    )


def class_likeness(
    maps: Float[np.ndarray, "n h w"], labels: np.ndarray, classes: list[int]
) -> tuple[Float64[np.ndarray, " k"], Float64[np.ndarray, " k"]]:
    """Mean correlation of two maps of each class, and its standard error (jackknife over the pictures)."""
    units = np.asarray(jax.jit(unit_maps)(jnp.asarray(maps))).reshape(len(maps), -1).astype(np.float64)
    found, errors = [], []
    for c in classes:
        own = units[labels == c]
        count, total = len(own), own.sum(0)
        squares, norms = float(total @ total), (own * own).sum(1)
        pairs = count * (count - 1)
        found.append((squares - norms.sum()) / pairs)
        # Without one picture: |S - u|^2 = S.S - 2 S.u + u.u
        left = squares - 2 * own @ total + norms
        each = (left - (norms.sum() - norms)) / ((count - 1) * (count - 2))
        errors.append(np.sqrt((count - 1) / count * ((each - each.mean()) ** 2).sum()))
    return np.array(found), np.array(errors)


def sanity(context: Context) -> Signal:
    """M12: rank correlation of a map with the map of a random head on the same features; shown only."""
    name = "explainer sanity"
    if reason := no_heads(context):
        return context.inapplicable("M12", name, reason)
    measured = context.measured
    maps = jnp.asarray(measured.maps)
    each = np.stack([np.asarray(jax.jit(spearman)(maps, jnp.asarray(other))) for other in maps_of_heads(context)])
    by_head = np.array([np.nanmean(row) if np.isfinite(row).any() else np.nan for row in each])
    by_head = by_head[np.isfinite(by_head)]
    if not len(by_head):
        return context.inapplicable("M12", name, "no two maps can be ranked")
    value, error = (
        float(by_head.mean()),
        float(by_head.std(ddof=1) / np.sqrt(len(by_head))) if len(by_head) > 1 else 0.0,
    )
    verdict = (
        "follow the picture more than what the head has learned" if abs(value) > 0.5 else "follow the trained head"
    )
    return context.signal(
        "M12",
        name,
        value,
        judged=False,
        count=len(measured.maps),
        interval=(value - 1.96 * error, value + 1.96 * error),
        sentence=(
            f"A map's ranks correlate by {value:.2f} with those under a random head on the same features "
            f"({len(measured.maps)} maps by {method(context)}): the maps {verdict}."
        ),
        details={"by_head": [round(float(v), 4) for v in by_head]},
    )
