"""Single pictures with their maps: which ones are shown, and what stands beside each."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxcam.data.decode import UnreadableImage
from jaxcam.maps import render
from jaxcam.maps.layout import describe_flags
from jaxcam.maps.reader import Maps
from jaxcam.maps.shown import pictured
from jaxcam.report import pictures
from jaxcam.report.gather import Run, Split
from jaxcam.report.summary import number

LIMIT = 120
"""pictures shown of a split"""
CLASSES = 4
"""classes shown of a picture; of more the likeliest, its own, and the explained ones"""
PHOTO_WIDTH = 400
THREADS = 4


@dataclass(frozen=True)
class Heat:
    """One coloured map."""

    method: str
    target: str
    place: str
    image: str
    first: bool
    """whether it is the one to see before anything is chosen"""


@dataclass(frozen=True)
class Chance:
    """One class' probability."""

    name: str
    share: float
    mapped: bool


@dataclass(frozen=True)
class Card:
    """One picture."""

    split: str
    path: str
    label: str
    predicted: str
    confidence: float
    wrong: bool
    known: bool
    ratio: float
    photo: str | None
    problem: str
    chances: tuple[Chance, ...]
    heats: tuple[Heat, ...]
    flags: tuple[str, ...]
    order: int


@dataclass(frozen=True)
class Gallery:
    """A split's cards, which of its pictures they are, and the pictures that could not be read."""

    split: str
    cards: tuple[Card, ...]
    words: str
    unreadable: tuple[tuple[str, str], ...]
    gone: int
    """pictures whose file is no longer there or no longer readable"""

    @property
    def box(self) -> float:
        """Width / height of the frame that all cards share."""
        return float(np.clip(np.median([card.ratio for card in self.cards]), 0.8, 1.8)) if self.cards else 1.0


def choose(split: Split, limit: int, seed: int = 0) -> tuple[np.ndarray, str]:
    """Rows to show and a sentence about them: the wrong ones first (most confident first), then a seeded sample."""
    readable = np.flatnonzero(split.predicted >= 0)
    wrong = readable[split.wrong[readable]]
    wrong = wrong[np.argsort(-split.confidence[wrong], kind="stable")]
    rest = np.setdiff1d(readable, wrong)
    kept = wrong[:limit]
    room = limit - len(kept)
    sample = rest if len(rest) <= room else np.sort(np.random.default_rng(seed).choice(rest, room, replace=False))
    if len(readable) <= limit:
        words = f"all {number(len(readable), 'readable picture')}, {len(wrong)} of them wrong"
    elif len(kept) < len(wrong):
        words = f"the {len(kept)} most confident of {len(wrong)} wrong ones, of {number(len(readable), 'picture')}"
    else:
        words = (
            f"{len(kept) + len(sample)} of {number(len(readable), 'readable picture')}: all {len(wrong)} wrong ones "
            f"and a random sample of {len(sample)} of the other {len(rest)} (seed {seed})"
        )
    return np.concatenate([kept, sample]), words


def gallery(run: Run, split: Split, *, limit: int = LIMIT) -> Gallery:
    """The gallery of a split; images whose files are gone get a placeholder with the reason."""
    rows, words = choose(split, limit)
    maps = _read_maps(split, rows)
    places = list(enumerate(rows.tolist()))
    with ThreadPoolExecutor(THREADS) as pool:
        cards = tuple(pool.map(lambda place: _card(run, split, place[1], place[0], maps), places))
    unreadable = tuple(
        (split.paths[row], split.flags[row].removeprefix("unreadable: ") or "no reason is given")
        for row in np.flatnonzero(split.predicted < 0).tolist()
    )
    return Gallery(split.name, cards, words, unreadable, sum(card.photo is None for card in cards))


@dataclass(frozen=True)
class _Maps:
    """Maps (n, t, h, w) by method, targets (n, t) and flags (n, m, t) of the rows shown."""

    maps: dict[str, np.ndarray]
    targets: np.ndarray
    flags: np.ndarray


def _read_maps(split: Split, rows: np.ndarray) -> _Maps | None:
    store = split.store
    if store is None or not len(rows):
        return None
    maps = Maps(store, rows, names=split.classes)
    read = {method: pictured(maps, method, store.read(method, rows)) for method in store.methods}
    return _Maps(read, store.read("targets", rows), store.read("flags", rows))


def _card(run: Run, split: Split, row: int, position: int, maps: _Maps | None) -> Card:
    photo, ratio, problem = _photo(run, split, row)
    predicted = int(split.predicted[row])
    targets = [] if maps is None else [int(target) for target in maps.targets[position] if target >= 0]
    shown = _shown_classes(split, row, targets)
    heats = [] if maps is None else _heats(split, maps, position, shown, predicted)
    mapped = {heat.target for heat in heats}
    return Card(
        split=split.name,
        path=split.paths[row],
        label=split.label_names[row],
        predicted=split.predicted_names[row],
        confidence=float(split.confidence[row]),
        wrong=bool(split.wrong[row]),
        known=bool(split.labels[row] >= 0),
        ratio=ratio,
        photo=photo,
        problem=problem,
        chances=tuple(
            Chance(split.classes[index], float(split.probabilities[row, index]), split.classes[index] in mapped)
            for index in shown
        ),
        heats=tuple(heats),
        flags=_flags(split, row, position, maps),
        order=position,
    )


def _photo(run: Run, split: Split, row: int) -> tuple[str | None, float, str]:
    """The picture as a data URI, its width / height, and why there is none."""
    size = run.preprocessing.get("size")
    crop = (int(size[0]), int(size[1])) if run.cropped and isinstance(size, list) and len(size) == 2 else None
    try:
        raw = split.picture(row)
        if raw is None:
            return None, 1.0, "where the picture lies is not known"
        if isinstance(raw, Path) and not raw.is_file():
            return None, 1.0, "the file is no longer there"
        image = pictures.open_picture(raw, longest=PHOTO_WIDTH, crop_to=crop)
    except UnreadableImage as error:
        return None, 1.0, error.reason
    return pictures.thumbnail(image, PHOTO_WIDTH), image.shape[1] / image.shape[0], ""


def _shown_classes(split: Split, row: int, targets: list[int]) -> list[int]:
    count = len(split.classes)
    if count <= CLASSES:
        return list(range(count))
    likely = np.argsort(-split.probabilities[row], kind="stable")[: CLASSES - 1].tolist()
    wanted = [*likely, int(split.labels[row]), *(targets if len(targets) <= 2 else [])]
    return [index for index in dict.fromkeys(wanted) if index >= 0]


def _heats(split: Split, maps: _Maps, position: int, shown: list[int], predicted: int) -> list[Heat]:
    """The maps of the classes shown; all maps of one method and picture share one colour scale."""
    found = []
    targets = maps.targets[position].tolist()
    here = [target for target in targets if target in shown]
    first = predicted if predicted in here else (here[0] if here else -1)
    for number_of_method, (method, values) in enumerate(maps.maps.items()):
        own = values[position]
        # One map for several targets: the class plays no part in it.
        chosen = {target: own[targets.index(target) if len(own) > 1 else 0] for target in here}
        chosen = {target: one for target, one in chosen.items() if np.isfinite(one).any()}
        low, high = render.value_range(np.stack(list(chosen.values()))) if chosen else (0.0, 0.0)
        for target, one in chosen.items():
            found.append(
                Heat(
                    method=method,
                    target=split.classes[target],
                    place=pictures.hottest_place(one),
                    image=pictures.heat(one, low=low, high=high),
                    first=number_of_method == 0 and target == first,
                )
            )
    return found


def _flags(split: Split, row: int, position: int, maps: _Maps | None) -> tuple[str, ...]:
    """What is odd about the picture's maps, each oddity once, with the maps it is true of."""
    if maps is None:
        return (split.flags[row],) if split.flags[row] else ()
    marked: dict[str, list[tuple[str, str]]] = {}
    methods, targets = list(maps.maps), maps.targets[position].tolist()
    names = [split.classes[target] if target >= 0 else "" for target in targets]
    for method, bits in zip(methods, maps.flags[position], strict=True):
        for name, value in zip(names, bits.tolist(), strict=True):
            for word in describe_flags(value):
                marked.setdefault(word, []).append((method, name))
    return tuple(word + _where(pairs, methods, names) for word, pairs in marked.items())


def _where(pairs: list[tuple[str, str]], methods: list[str], names: list[str]) -> str:
    """Of which methods and classes a flag is true, as short as it can be said."""
    of_methods, of_names = (list(dict.fromkeys(part)) for part in zip(*pairs, strict=True))
    if len(pairs) < len(of_methods) * len(of_names):
        listed = ", ".join(f"{method} for {name}" for method, name in pairs[:4])
        return f" ({listed}{', ...' if len(pairs) > 4 else ''})"
    parts = [", ".join(of_methods)] if len(of_methods) < len(methods) else []
    parts += [f"for {', '.join(of_names[:4])}"] if len(of_names) < len(names) else []
    return f" ({' '.join(parts)})" if parts else ""
