"""Where the maps of a class lie on average: always in one corner, and the same in training and validation."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxcam.audit.model.context import Context, by_class
from jaxcam.audit.model.intervals import DRAWS, percent
from jaxcam.audit.model.variants import shares
from jaxcam.audit.sample import sample
from jaxcam.audit.signals import Figure, Signal
from jaxcam.audit.whole_set import SetSums, sums_of, whole_set

CELLS = 4
SHOWN_CLASSES = 50
TRAIN_MAPS = 400
"""training pictures whose maps are compared with those of the audited ones"""


def place_words(row: float, column: float) -> str:
    """A place in a picture in words; both from 0 to 1.

    >>> place_words(0.9, 0.1), place_words(0.5, 0.5), place_words(0.5, 0.9)
    ('lower left', 'centre', 'right')
    """
    vertical = "upper" if row < 1 / 3 else "lower" if row > 2 / 3 else ""
    horizontal = "left" if column < 1 / 3 else "right" if column > 2 / 3 else ""
    alone = {"upper": "upper edge", "lower": "lower edge"}.get(vertical, vertical)
    return f"{vertical} {horizontal}" if vertical and horizontal else alone or horizontal or "centre"


def coarse(maps: Float[np.ndarray, "n h w"], cells: int = CELLS) -> Float[np.ndarray, "n c c"]:
    """Maps as shares of the heat on a grid of cells x cells; each adds up to one."""
    rows, columns = (upscaled(length, cells) for length in maps.shape[1:])
    found = np.einsum("nhw,ha,wb->nab", maps.astype(np.float64), rows, columns)
    total = found.sum((1, 2), keepdims=True)
    return np.where(total > 0, found / np.where(total > 0, total, 1), 1 / cells**2)


def upscaled(length: int, cells: int) -> np.ndarray:
    """Weights that sum positions into cells; a position on a boundary is divided, of a smaller grid repeated."""
    overlap = shares(length, cells)
    return overlap / np.maximum(overlap.sum(1, keepdims=True), 1e-12)


def sums(context: Context) -> SetSums:
    """The sums over the whole set where they were made, else over the sample."""
    if "sums" not in context.shared:
        context.shared["sums"] = sample_sums(context, context.measured.labels)
    return context.shared["sums"]


def audited_sums(context: Context) -> SetSums:
    """The same without the training pictures that were added to the sample."""
    found = context.measured.sample
    if "audited" in context.shared:
        return context.shared["audited"]
    if not found.added:
        return sums(context)
    own = np.arange(len(found)) < len(found) - found.added
    return sample_sums(context, np.where(own, found.labels, -1).astype(np.int32))


def sample_sums(context: Context, labels: np.ndarray) -> SetSums:
    """The sums over the sample's pictures with a label."""
    measured = context.measured
    found = jax.jit(sums_of)(jnp.asarray(measured.maps), jnp.asarray(measured.logits), jnp.asarray(labels))
    return found.on_host()


def peak_share(context: Context) -> Signal:
    """M4: the largest share of a class' mean map in one of 4 x 4 cells, of those at the border."""
    name = "peak of the mean maps"
    if not context.classes:
        return context.inapplicable("M4", name, context.problem())
    measured = context.measured
    if not measured.maps.any():
        return context.inapplicable("M4", name, "no map has any heat")
    means = sums(context).mean_maps()
    cells = coarse(means[context.classes])
    border = np.ones((CELLS, CELLS), bool)
    border[1:-1, 1:-1] = False
    at_border = np.where(border, cells, 0)
    place, row, column = (int(i) for i in np.unravel_index(int(at_border.argmax()), cells.shape))
    peaks = [np.unravel_index(int(cell.argmax()), cell.shape) for cell in cells]
    label, value = context.classes[place], float(at_border.max())
    count = int(np.asarray(sums(context).count)[label])
    own = coarse(measured.maps[measured.labels == label])[:, row, column]
    drawn = np.random.default_rng(measured.settings.seed).choice(own, (DRAWS, len(own))).mean(1)
    where = place_words((row + 0.5) / CELLS, (column + 0.5) / CELLS)
    examples = context.examples(measured.labels == label)
    shown = context.classes[:SHOWN_CLASSES]
    return context.signal(
        "M4",
        name,
        value,
        interval=(float(np.percentile(drawn, 2.5)), float(np.percentile(drawn, 97.5))),
        count=count,
        sentence=(
            f"Of class {context.names[label]}'s mean map {percent(value)} lies in one sixteenth of the picture, at the "
            f"{where} (an even map has 6 %; {count} maps by {method(context)})."
        ),
        images=context.paths(examples),
        details={
            "place": where,
            "class": context.names[label],
            "cell": [row, column],
            "peak_by_class": by_class(context.names, context.classes, [cell.max() for cell in cells]),
            "peak_place_by_class": {
                context.names[c]: place_words((r + 0.5) / CELLS, (k + 0.5) / CELLS)
                for c, (r, k) in zip(context.classes, peaks, strict=True)
            },
            "dead_maps": int(np.sum(sums(context).cold)),
        },
        figures={
            "mean_maps": Figure(means[shown].astype(np.float32), "heat", tuple(context.names[c] for c in shown)),
            "original": context.pictures(None, examples),
            "maps": Figure(measured.maps[examples], "heat", context.pictures(None, examples).labels),
        },
    )


def method(context: Context) -> str:
    """The name of the method that made the maps."""
    return context.measured.settings.request.methods[0]


def consistency(context: Context) -> Signal:
    """M11: cosine of a class' mean maps in training and in the audited pictures; shown only."""
    name = "mean maps of training and audited pictures"
    subject, measured = context.subject, context.measured
    if subject.train is None or not len(subject.train):
        return context.inapplicable("M11", name, "the training pictures are not there")
    rows = sample(
        subject.train,
        subject.classifier.preprocessing,
        per_class=max(2, TRAIN_MAPS // max(1, len(context.names))),
        total=TRAIN_MAPS,
        seed=measured.settings.seed + 2,
        progress=context.progress,
    ).rows
    if not len(rows):
        return context.inapplicable("M11", name, "no training picture has a class of the classifier")
    trained = whole_set(
        subject.classifier,
        subject.train,
        measured.settings,
        colour=context.colour,
        batch_size=subject.options.batch_size,
        progress=context.progress,
        order=rows,
    )
    ours = audited_sums(context)
    both = np.flatnonzero((np.asarray(trained.count) >= 2) & (np.asarray(ours.count) >= 2)).tolist()
    if not both:
        return context.inapplicable("M11", name, "no class has two pictures in both sets")
    first, second = (found.mean_maps()[both].reshape(len(both), -1) for found in (trained, ours))
    cosines = (first * second).sum(1) / np.maximum(
        np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1), 1e-12
    )
    worst = int(cosines.argmin())
    return context.signal(
        "M11",
        name,
        float(cosines.min()),
        judged=False,
        count=int(np.sum(ours.count)),
        sentence=(
            f"The mean maps of {int(np.sum(trained.count))} training and {int(np.sum(ours.count))} audited pictures "
            f"agree to {cosines.min():.2f} (cosine) in class {context.names[both[worst]]}, where they agree least. A "
            "shortcut that is in both sets does not show here."
        ),
        details={"cosine_by_class": by_class(context.names, both, cosines.tolist()), "forwards": len(rows)},
        figures={
            "train": Figure(
                trained.mean_maps()[both[:SHOWN_CLASSES]].astype(np.float32),
                "heat",
                tuple(context.names[c] for c in both[:SHOWN_CLASSES]),
            )
        },
    )
