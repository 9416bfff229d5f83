"""How sure the model says it is, and how often it is right: numbers to know, not signs of a shortcut."""

import numpy as np

from jaxcam.audit.model.context import Context
from jaxcam.audit.model.intervals import percent
from jaxcam.audit.model.places import audited_sums
from jaxcam.audit.signals import Figure, Signal
from jaxcam.calibration import error_by_chance, fit_temperature


def calibration(context: Context) -> Signal:
    """M10: calibration error over 15 bins, fitted temperature, confidence minus accuracy; shown only.

    The bins are those of the whole set where that was passed over; the temperature is the sample's.
    """
    name, measured = "calibration", context.measured
    audited = np.arange(len(measured.labels)) < len(measured.labels) - measured.sample.added
    known = np.isfinite(measured.logits).all(1) & audited
    if not known.any():
        return context.inapplicable("M10", name, "no audited picture has logits that are numbers")
    found = audited_sums(context)
    count = int(np.sum(found.bins))
    confidence, right = float(np.sum(found.confidence)) / count, float(np.sum(found.correct)) / count
    fitted = fit_temperature(measured.logits[known], measured.labels[known])
    chance_mean, chance_high = error_by_chance(measured.probabilities[known].max(1), seed=measured.settings.seed)
    error = found.calibration_error()
    return context.signal(
        "M10",
        name,
        error,
        judged=False,
        count=count,
        sentence=(
            f"The answers are {percent(confidence)} sure and {percent(right)} right ({count} pictures); calibration "
            f"error {error:.3f}, of which chance alone gives up to {chance_high:.3f}; "
            + (fitted.problem or f"fitted temperature {fitted.value:.2f}")
            + "."
        ),
        details={
            "confidence": confidence,
            "accuracy": right,
            "temperature": fitted.value,
            "temperature_caution": fitted.caution,
            "cross_entropy": float(found.loss) / count,
            "share_above_999": float(found.certain) / count,
            "error_by_chance": [round(chance_mean, 5), round(chance_high, 5)],
        },
        figures={
            "reliability": Figure(
                np.stack([found.bins, found.confidence, found.correct], 1),
                "values",
                ("pictures", "confidence", "right"),
            )
        },
    )
