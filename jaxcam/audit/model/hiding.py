"""What happens to the answers when the places are hidden that the maps call important."""

import numpy as np

from jaxcam.audit.model.context import Context, by_class, class_share
from jaxcam.audit.model.intervals import bootstrap, percent, share
from jaxcam.audit.model.variants import HIDDEN
from jaxcam.audit.signals import Signal

ACCURATE = 0.9
"""below this accuracy answers change too easily, and unchanged ones mean little"""


def hottest_hidden(context: Context) -> Signal:
    """M3: share of answers that change when the hottest fifth of the map is hidden, beside moved and coldest masks."""
    name = "hiding the hottest 20 %"
    if reason := context.problem():
        return context.inapplicable("M3", name, reason)
    measured, chosen = context.measured, context.tested.copy()
    warm = measured.maps.max((1, 2)) > 0
    chosen &= warm
    if not chosen.any():
        return context.inapplicable("M3", name, "no map has any heat")
    top, cold = (measured.arm(arm) != measured.predicted for arm in ("hottest", "coldest"))
    moved = measured.arms("moved") != measured.predicted[:, None]
    value, interval = share(top[chosen])
    # The other masks are tried on a part of a large sample.
    beside, part = chosen & measured.part, measured.part
    elsewhere, coldest = (float(both[beside].mean()) if beside.any() else np.nan for both in (moved, cold))
    difference = bootstrap(
        np.stack([top, moved.mean(1)], 1).astype(float)[part],
        measured.labels[part],
        context.classes,
        lambda means: means[:, 0] - means[:, 1],
        seed=measured.settings.seed,
    )
    unmoved = context.examples(beside & ~top)
    unmoved = unmoved if len(unmoved) else context.examples(chosen & ~top)
    told = (
        f"Hiding the hottest {percent(HIDDEN)} of the map changes {percent(value)} of {int(chosen.sum())} answers, the "
        f"same shape elsewhere {percent(elsewhere)}, the coldest part {percent(coldest)} ({context.of})"
    )
    exact = context.base >= ACCURATE
    judged = "" if exact else f"; not judged, for the accuracy is below {percent(ACCURATE)}"
    return context.signal(
        "M3",
        name,
        value,
        judged=exact,
        interval=interval,
        count=int(chosen.sum()),
        sentence=f"{told}{judged}.",
        images=context.paths(unmoved),
        details={
            "changed_hottest": value,
            "changed_elsewhere": elsewhere,
            "changed_coldest": coldest,
            "hottest_minus_elsewhere": float(top[beside].mean()) - elsewhere if beside.any() else np.nan,
            "hottest_minus_elsewhere_interval": list(difference),
            "changed_by_class": by_class(
                context.names, context.classes, class_share(top, measured.labels, context.classes)
            ),
        },
        figures={
            "original": context.pictures(None, unmoved),
            "hottest_hidden": context.pictures("hottest", unmoved),
            "elsewhere_hidden": context.pictures("moved_0", unmoved),
        },
    )
