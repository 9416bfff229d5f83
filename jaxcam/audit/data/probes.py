"""D2: does a thumbnail too small to show anything tell the class? One nearest neighbour, each picture left out."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from jaxcam.audit.data.looks import Looks
from jaxcam.audit.signals import Signal, not_applicable
from jaxcam.audit.thresholds import THRESHOLDS
from jaxcam.data.scan.duplicates import near_duplicates
from jaxcam.data.scan.inventory import printable
from jaxcam.data.scan.properties import FEWEST, as_groups, nearest_other, thumbnail_looks

NAME = "a thumbnail tells the class"
CHANCE = 0.01
_PERMUTATIONS = 999


def signal(train: Looks, audited: Looks, class_names: Sequence[str], where: str, *, seed: int = 0) -> Signal:
    """The best of four probes, as accuracy above chance over what is possible: 0 chance, 1 perfect."""
    counts = np.bincount(train.labels, minlength=len(class_names))
    kept = np.flatnonzero(counts >= FEWEST)
    if len(kept) < 2:
        return not_applicable("D2", NAME, "data", f"fewer than two classes with {FEWEST} pictures in {where}")
    code = np.full(len(class_names), -1)
    code[kept] = np.arange(len(kept))
    rows = np.flatnonzero(code[train.labels] >= 0)
    codes = code[train.labels[rows]]
    own = as_groups(_copies(train, rows))
    chance = 1 / len(kept)
    probes = []
    for name, values in thumbnail_looks(train.colour[rows]).items():
        nearest = nearest_other(values, own)
        share, interval = balanced(codes[nearest] == codes, codes, len(kept))
        excess = (share - chance) / (1 - chance)
        probes.append((excess, name, share, interval, by_chance(codes, nearest, seed=seed), values, nearest))
    probes.sort(key=lambda probe: -probe[0])
    excess, name, share, (low, high), p, values, nearest = probes[0]
    status, bound = THRESHOLDS["D2"].judge(excess)
    if p * len(probes) > CHANCE:
        status = "green"
    return Signal(
        id="D2",
        name=NAME,
        layer="data",
        value=excess,
        interval=((low - chance) / (1 - chance), (high - chance) / (1 - chance)),
        count=len(rows),
        status=status,
        threshold=bound,
        sentence=(
            f"The picture nearest by {_WORDS[name]} has the same class for {share:.0%} of {len(rows)} pictures in "
            f"{where} (chance {chance:.0%}, p {p:.2g})."
        ),
        images=_showing(audited, class_names),
        details={
            "measured_on": where,
            "probes": {
                one[1]: {
                    "balanced_accuracy": round(one[2], 4),
                    "interval": [round(end, 4) for end in one[3]],
                    "excess": round(one[0], 4),
                    "p": round(one[4], 4),
                }
                for one in probes
            },
            "chance": chance,
            "by_class": {
                printable(class_names[int(label)]): round(float((codes[nearest] == codes)[codes == number].mean()), 4)
                for number, label in enumerate(kept)
            },
        },
    )


_WORDS = {
    "8x8 grey thumbnail": "its 8x8 grey thumbnail",
    "border of the thumbnail": "the border of its 8x8 thumbnail",
    "four corners": "its four corners",
    "mean colour": "its mean colour",
}


def _copies(looks: Looks, rows: Int[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:
    """Groups of copies, which must not answer for each other; -1 for none."""
    groups = np.full(len(rows), -1, np.int64)
    found = near_duplicates(looks.luma[rows], looks.colour[rows], views=("as it is", "mirrored"))
    for number, members in enumerate(found):
        groups[members] = number
    return groups


def balanced(right: np.ndarray, codes: Int[np.ndarray, " n"], classes: int) -> tuple[float, tuple[float, float]]:
    """Balanced accuracy and its 95 % interval (each class's share after Agresti and Coull)."""
    counts = np.bincount(codes, minlength=classes)
    hits = np.bincount(codes[right], minlength=classes)
    share = float((hits / counts).mean())
    smooth = (hits + 2) / (counts + 4)
    error = 1.96 * float(np.sqrt((smooth * (1 - smooth) / (counts + 4)).sum())) / classes
    return share, (max(0.0, share - error), min(1.0, share + error))


def by_chance(codes: Int[np.ndarray, " n"], nearest: Int[np.ndarray, " n"], *, seed: int) -> float:
    """Share of dealings of the labels that are as right as the real ones: the permutation test."""
    generator, classes = np.random.default_rng(seed), int(codes.max()) + 1
    weights = 1 / np.bincount(codes)
    wanted = float(((codes[nearest] == codes) * weights[codes]).sum()) / classes
    reached = 0
    for _ in range(_PERMUTATIONS):
        dealt = generator.permutation(codes)
        reached += float(((dealt[nearest] == dealt) * weights[dealt]).sum()) / classes >= wanted - 1e-9
    return (reached + 1) / (_PERMUTATIONS + 1)


def _showing(audited: Looks, class_names: Sequence[str], most: int = 12) -> tuple[str, ...]:
    """Of each class the audited pictures whose thumbnails are nearest to the class's mean."""
    labels = [label for label in range(len(class_names)) if (audited.labels == label).any()]
    each = max(1, min(4, most // max(1, len(labels))))
    shown: list[str] = []
    for label in labels:
        own = np.flatnonzero(audited.labels == label)
        small: Float[np.ndarray, "n v"] = audited.colour[own].reshape(len(own), -1).astype(np.float32)
        distance = ((small - small.mean(0)) ** 2).sum(1)
        shown += [audited.paths[own[place]] for place in np.argsort(distance, kind="stable")[:each].tolist()]
    return tuple(shown[:most])
