"""The pictures behind a finding: original, map, what the test made of it, and the prediction."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote
from zipfile import BadZipFile

import numpy as np

from jaxcam.data.decode import UnreadableImage
from jaxcam.report import pictures
from jaxcam.report.audited import Audit, Drawn, Finding
from jaxcam.report.cards import THREADS, Card, cards
from jaxcam.report.figures import Drawing, draw, draw_maps
from jaxcam.report.gallery import UNKNOWN, state
from jaxcam.report.gather import Run, Split, inside
from jaxcam.report.means import input_size, mean_photo

WIDTH = 256
SHOTS = 12
"""pictures shown of a finding"""
WORST = 8
TRAIN = "train:"
"""what an audit writes before the paths of training pictures"""


@dataclass(frozen=True)
class Extra:
    """What a test made of a picture."""

    caption: str
    image: str
    ratio: float
    photo: str | None = None
    """what a map is laid over"""


@dataclass(frozen=True)
class Shot:
    """A picture with its map and its prediction."""

    path: str
    split: str
    """empty where no table of predictions knows the picture"""
    label: str = ""
    predicted: str = ""
    confidence: float = float("nan")
    loss: float = float("nan")
    state: int = UNKNOWN
    photo: str | None = None
    ratio: float = 1.0
    problem: str = ""
    strip: str | None = None
    tiles: int = 1
    tile: int = 0
    """which tile of the strip is the one to show"""
    map_of: str = ""
    map_words: str = ""
    extras: tuple[Extra, ...] = ()

    @property
    def address(self) -> str:
        """Opens the picture in the page's gallery."""
        return f"#pictures?picture={quote(f'{self.split}/{self.path}', safe='')}"


@dataclass(frozen=True)
class Evidence:
    """A finding with everything that is shown of it."""

    finding: Finding
    shots: tuple[Shot, ...] = ()
    drawings: tuple[Drawing, ...] = ()


class Pictures:
    """Finds pictures by their paths, in the tables of predictions or in the folders that these start from."""

    def __init__(self, run: Run, audit: Audit | None = None) -> None:
        self.run, self.audit = run, audit
        self._backdrops: dict[str, tuple[str, float] | None] = {}

    @cached_property
    def places(self) -> dict[str, tuple[Split, int]]:
        """Where each path stands; of several splits the audited one, or the one that is shown first."""
        found: dict[str, tuple[Split, int]] = {}
        audited = self.audit.name if self.audit else ""
        for split in sorted(self.run.splits, key=lambda split: split.name != audited):
            for row, path in enumerate(split.paths):
                found.setdefault(path, (split, row))
                found.setdefault(f"{split.name}:{path}", (split, row))  # as the audit names training pictures
        return found

    def shots(self, paths: Sequence[str]) -> list[Shot]:
        """The pictures with these paths, in order."""
        known = [(place, *self.places[path]) for place, path in enumerate(paths) if path in self.places]
        made = {place: self._unlisted(path) for place, path in enumerate(paths) if path not in self.places}
        with ThreadPoolExecutor(THREADS) as pool:
            for split in {split.name: split for _, split, _ in known}.values():
                own = [(place, row) for place, of, row in known if of is split]
                found = cards(self.run, split, [row for _, row in own], width=WIDTH, pool=pool)
                made |= {place: shot(split, card) for (place, _), card in zip(own, found, strict=True)}
        return [made[place] for place in range(len(paths))]

    def worst(self, split: Split) -> list[Shot]:
        """The readable pictures with the highest loss."""
        known = np.flatnonzero(np.isfinite(split.loss))
        rows = known[np.argsort(-split.loss[known], kind="stable")][:WORST]
        with ThreadPoolExecutor(THREADS) as pool:
            return [shot(split, card) for card in cards(self.run, split, rows, width=WIDTH, pool=pool)]

    def backdrop(self, name: str) -> tuple[str, float] | None:
        """The mean picture of a class of the first split."""
        if name not in self._backdrops:
            split = self.run.splits[0] if self.run.splits else None
            if split is None or name not in split.classes:
                return None
            rows = np.flatnonzero((split.labels == split.classes.index(name)) & (split.predicted >= 0))
            size = input_size(self.run, split.store)
            photo = mean_photo(self.run, split, rows, size) if size and len(rows) else None
            self._backdrops[name] = (photo, size[1] / size[0]) if photo and size else None
        return self._backdrops[name]

    def _unlisted(self, path: str) -> Shot:
        """A picture that no table knows, from the audited folder or one that a table starts from."""
        roots = [split.root for split in self.run.splits if split.root is not None and split.reader is None]
        if self.audit is not None:
            roots = [*(root for root in (self.audit.root,) if root is not None), *roots]
            if path.startswith(TRAIN) and self.audit.train is not None:
                path, roots = path.removeprefix(TRAIN), [self.audit.train]
        for file in (inside(root, path) for root in roots):
            if file is not None and file.is_file():
                try:
                    image = pictures.open_picture(file, longest=WIDTH)
                except UnreadableImage as error:
                    return Shot(path, "", problem=error.reason)
                return Shot(path, "", photo=pictures.thumbnail(image, WIDTH), ratio=image.shape[1] / image.shape[0])
        return Shot(path, "", problem="where the picture lies is not known")


def shot(split: Split, card: Card) -> Shot:
    """A card with its pictures inside the page."""
    row = card.row
    best = [place for place, tile in enumerate(card.tiles) if tile.target == split.predicted[row]] or [0]
    words = target = ""
    if card.tiles and split.store is not None:
        tile = card.tiles[best[0]]
        method = split.store.methods[tile.method]
        target = split.classes[tile.target]
        words = f"{method} map for {target}, hottest at the {tile.place}"
    return Shot(
        path=split.paths[row],
        split=split.name,
        label=split.label_names[row],
        predicted=split.predicted_names[row],
        confidence=float(split.confidence[row]),
        loss=float(split.loss[row]),
        state=state(split, row),
        photo=pictures.data_uri(card.photo) if card.photo else None,
        ratio=card.ratio,
        problem=card.problem,
        strip=pictures.data_uri(card.strip) if card.strip else None,
        tiles=max(1, len(card.tiles)),
        tile=best[0],
        map_of=target,
        map_words=words,
    )


def occlusion(found: Pictures, split: Split) -> Drawing | None:
    """What hiding each place costs, as `jaxcam explain` added it up over a split; None where it did not."""
    path = found.run.folder / "maps" / f"{split.name}.occlusion.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            every, each = arrays["accuracy_lost"], arrays["accuracy_lost_by_class"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None  # there is none, or it is half written: `jaxcam explain` makes it anew
    if each.shape != (len(split.classes), *every.shape) or every.ndim != 2:
        return None
    known = np.isfinite(each).all((1, 2))
    labels = ("all classes", *(name for name, there in zip(split.classes, known, strict=True) if there))
    figure = Drawn(f"{split.name}: accuracy lost", path, "signed", labels)
    size = input_size(found.run, split.store)
    return draw_maps(figure, np.concatenate([every[None], each[known]]), size=size, backdrop=found.backdrop)


def evidence(audit: Audit, found: Pictures) -> list[Evidence]:
    """Every test that was made with its figures, the findings also with their pictures."""
    size = input_size(found.run, found.run.splits[0].store if found.run.splits else None)
    classes = {name for split in found.run.splits for name in split.classes}
    made = []
    for one in audit.all:
        drawings = {figure.name: draw(figure, size=size, backdrop=found.backdrop) for figure in one.figures}
        shots: list[Shot] = []
        if one in audit.findings:
            paths = list(dict.fromkeys([*one.images, *_labelled(one.figures, found)]))[:SHOTS]
            for path, plain in zip(paths, found.shots(paths), strict=True):
                extras = tuple(_extras(path, plain, one, drawings, classes))
                shots.append(Shot(**{**vars(plain), "extras": extras}))
            used = {
                figure.name
                for figure in one.figures
                if figure.labels and drawings[figure.name].items and not drawings[figure.name].left_out
                and (_in_order(one, figure, classes) or all(_of(label, paths) for label in figure.labels))
            }  # fmt: skip
            drawings = {name: value for name, value in drawings.items() if name not in used}
        made.append(Evidence(one, tuple(shots), tuple(drawings.values())))
    return made


def _labelled(figures: Iterable[Drawn], found: Pictures) -> list[str]:
    """Paths of pictures that captions of figures name."""
    return [label for figure in figures for label in figure.labels if label in found.places]


def _of(label: str, paths: Iterable[str]) -> bool:
    """Whether a caption is that of one of these pictures: its path, or its path and more words."""
    return any(label == path or (label.startswith(path) and label[len(path)] in " :,|\n") for path in paths)


def _in_order(one: Finding, figure: Drawn, classes: Iterable[str]) -> bool:
    """Whether a figure's entries are those of the finding's pictures in their order, told by neither path nor class."""
    labels = figure.labels
    return len(labels) == len(one.images) > 0 and not any(
        label in classes or _of(label, one.images) for label in labels
    )


def _extras(path: str, plain: Shot, one: Finding, drawings: dict[str, Drawing], classes: set[str]) -> Iterable[Extra]:
    """What the figures hold of a picture: other pictures as they are, maps over the picture itself."""
    for figure in one.figures:
        drawn, ordered = drawings[figure.name], _in_order(one, figure, classes)
        if ordered and figure.name == "original":
            continue  # it stands there already
        over = bool(drawn.colormap) and plain.photo is not None
        for place, (label, item) in enumerate(zip(figure.labels, drawn.items, strict=False)):
            if ordered and one.images[place] == path:
                words = f"{drawn.title}{'' if over else ', ' + label.rpartition(': ')[2]}"
            elif not ordered and _of(label, [path]):
                words = label[len(path) :].strip(" :,|\n") or drawn.title
            else:
                continue
            yield Extra(words, item.image, plain.ratio if over else item.ratio, plain.photo if over else None)
