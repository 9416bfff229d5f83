"""Which picture goes where: stratified splits, shares of classes, sets merged under other labels. Manifests only."""

import csv
import fnmatch
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Int, Int64

from jaxcam.data.folder import SPLITS
from jaxcam.data.manifest import Manifest
from jaxcam.errors import UserError


def shuffled(count: int, *seed: int) -> Int64[np.ndarray, " n"]:
    """A shuffle of 0..count-1 that depends on the seeds alone, with every version of numpy."""
    generator = np.random.PCG64(np.random.SeedSequence(list(seed)))
    return np.argsort(generator.random_raw(count), kind="stable").astype(np.int64)


def apportion(total: int, shares: Sequence[float], *, least: int = 1) -> list[int]:
    """`total` in whole parts that are as near to the shares as can be, by largest remainder; every part at least 1.

    Where `total` is too small for that, the largest shares come first. With `least` 0 a part may be empty.

    >>> apportion(10, [0.8, 0.1, 0.1]), apportion(4, [0.9, 0.05, 0.05]), apportion(2, [0.8, 0.1, 0.1])
    ([8, 1, 1], [2, 1, 1], [1, 1, 0])
    """
    exact = [total * share / sum(shares) for share in shares]
    parts = [int(value) for value in exact]
    order = sorted(range(len(shares)), key=lambda part: (parts[part] - exact[part], part))
    for part in order[: total - sum(parts)]:
        parts[part] += 1
    for part in sorted(range(len(shares)), key=lambda part: -shares[part]):
        richest = max(range(len(shares)), key=lambda other: parts[other])
        if parts[part] < least and parts[richest] > 1:
            parts[part], parts[richest] = 1, parts[richest] - 1
    return parts


def stratified(
    labels: Int[np.ndarray, " n"],
    shares: Sequence[float],
    *,
    seed: int,
    groups: Int[np.ndarray, " n"] | None = None,
) -> Int64[np.ndarray, " n"]:
    """The part (0, 1, ...) that every row falls into: each class in the given shares, each group in one part.

    Without groups the number of rows of each class in each part is `apportion`'s. Groups are dealt out first, the
    largest first, each to the part that lacks most of its classes; rows that are alone make up the rest, so that the
    shares hold as long as no group is larger than what a part may have. `groups`: rows of one number >= 0 stay
    together, -1 is alone.
    """
    found, codes = np.unique(labels, return_inverse=True)
    counts = np.bincount(codes, minlength=len(found))
    wanted = np.array([apportion(int(count), shares) for count in counts]).reshape(len(found), len(shares))
    room, parts = wanted.copy(), np.full(len(labels), -1, dtype=np.int64)
    for rows in _together(groups, seed):
        own = np.bincount(codes[rows], minlength=len(found))
        lack = (own / counts) @ (room / np.maximum(wanted, 1))
        fits = (room >= own[:, None]).all(0)
        part = int(np.argmax(np.where(fits, lack, -1.0) if fits.any() else (own / counts) @ room))
        parts[rows] = part
        room[:, part] -= own
    for label in range(len(found)):
        rows = np.flatnonzero((codes == label) & (parts < 0))
        rows = rows[shuffled(len(rows), seed, label)]
        left = np.maximum(room[label], 0)
        sizes = (
            left
            if left.sum() == len(rows)
            else np.array(apportion(len(rows), np.maximum(left, 1e-9).tolist(), least=0))
        )
        ends = np.cumsum([0, *sizes])
        for part, (first, last) in enumerate(pairwise(ends.tolist())):
            parts[rows[first:last]] = part
    return parts


def _together(groups: Int[np.ndarray, " n"] | None, seed: int) -> list[np.ndarray]:
    """Rows of each group of two or more, the largest group first, equal ones in a seeded order."""
    if groups is None or not (groups >= 0).any():
        return []
    rows = np.flatnonzero(groups >= 0)
    rows = rows[np.argsort(groups[rows], kind="stable")]
    bounds = np.flatnonzero(np.diff(groups[rows])) + 1
    several = [members for members in np.split(rows, bounds) if len(members) > 1]
    several = [several[place] for place in shuffled(len(several), seed, 2**31)]
    return sorted(several, key=len, reverse=True)


def split(manifest: Manifest, shares: Mapping[str, float], *, seed: int) -> Manifest:
    """The same rows with new splits, stratified by label, near duplicates (equal `groups`) together.

    Raises `UserError` for shares that are none or do not add up to 1.
    """
    unknown = [name for name in shares if name not in SPLITS]
    if unknown or not shares:
        raise UserError(f"--shares names {', '.join(unknown) or 'nothing'}; give shares of {', '.join(SPLITS)}")
    if not (all(0 < share <= 1 for share in shares.values()) and abs(sum(shares.values()) - 1) < 1e-6):
        given = " ".join(f"{name}={share:g}" for name, share in shares.items())
        raise UserError(f"--shares {given}: each must be above 0, and together they must make 1")
    words = {"": -1}
    groups = np.array([words.setdefault(group, len(words)) for group in manifest.groups], dtype=np.int64)
    _, labels = np.unique(np.array(manifest.labels), return_inverse=True)
    names = tuple(shares)
    parts = stratified(labels, list(shares.values()), seed=seed, groups=groups)
    return Manifest(manifest.files, manifest.labels, tuple(names[part] for part in parts), manifest.groups)


def subset(
    manifest: Manifest, keep: Mapping[str, float], *, seed: int, splits: Sequence[str] | None = ("train",)
) -> Manifest:
    """Part of each class in `keep`, of the rows of some splits (None: of all); other rows stay; the order stays.

    A value up to 1 is a share, a larger whole number a number of pictures in each of the splits. At least one picture
    of a class is kept; 0 drops it. With one seed a smaller share's pictures are among a larger one's, whatever else is
    listed. In a set without splits all rows are meant.

    Raises `UserError` for a class or a split that is not there, and for a number that is too large.
    """
    there = manifest.split_names
    if splits is not None and there and (unknown := [name for name in splits if name not in there]):
        raise UserError(f"no pictures in split {unknown[0]!r}; there are: {', '.join(there)}")
    chosen = there if splits is None else tuple(splits)
    labels, where = np.array(manifest.labels), np.array(manifest.splits)
    stays = np.ones(len(manifest), dtype=bool)
    for label, amount in keep.items():
        if label not in manifest.labels:
            raise UserError(f"--keep {label}: no such class; there are: {listed(manifest.labels)}")
        if not (0 <= amount <= 1 or (amount > 1 and float(amount).is_integer())):
            raise UserError(f"--keep {label}={amount:g}: give a share from 0 to 1, or a whole number of pictures")
        for part in chosen if there else ("",):
            rows = np.flatnonzero((labels == label) & (where == part))
            count = max(1, round(amount * len(rows))) if 0 < amount <= 1 else int(amount)
            if count > len(rows) and amount > 1:
                raise UserError(f"--keep {label}={count}: there are only {len(rows)} pictures {part and f'in {part}'}")
            # Not the class' number: that would change with the classes that are listed beside it.
            order = shuffled(len(rows), seed, *f"{part}/{label}".encode())
            stays[rows[order[count:]]] = False
    return manifest.rows(np.flatnonzero(stays))


def merge(sets: Mapping[str, Manifest], relabel: Sequence[tuple[str, str]] = ()) -> Manifest:
    """Several sets as one: rows in order, labels replaced, groups kept apart.

    `relabel` holds (old, new): the first whose old name equals a label, or matches it as a pattern with `*` and `?`,
    applies; an empty new name leaves the class out. A file that two sets name alike is taken once.

    Raises `UserError` for a rule that applies nowhere, for a file with two labels or splits, and where only some of the
    sets have splits.
    """
    divided = [name for name, one in sets.items() if one.split_names]
    whole = [name for name in sets if name not in divided]
    if divided and whole:
        raise UserError(
            f"{divided[0]} has splits and {whole[0]} has none; make some first with `jaxcam data split {whole[0]}`"
        )
    names = renamed(sorted({label for one in sets.values() for label in one.labels}), relabel)
    taken: dict[str, tuple[str, str, str]] = {}
    for number, (name, one) in enumerate(sets.items()):
        for file, label, part, group in zip(one.files, one.labels, one.splits, one.groups, strict=True):
            if label and not names[label]:
                continue
            row = (names[label], part, f"{number}/{group}" if group else "")
            if taken.setdefault(file, row)[:2] != row[:2]:
                other = " ".join(taken[file][:2]).strip()
                raise UserError(f"{file} is {' '.join(row[:2]).strip()} in {name} but {other} in a set before it")
    if not taken:
        raise UserError("nothing is left of the sets: every class is left out")
    return Manifest(tuple(taken), *(tuple(column) for column in zip(*taken.values(), strict=True)))


def renamed(labels: Sequence[str], relabel: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The new name of every label; see `merge`."""
    names, used = {label: label for label in labels}, set()
    for label in labels:
        for number, (old, new) in enumerate(relabel):
            if label == old or fnmatch.fnmatchcase(label, old):
                names[label] = new
                used.add(number)
                break
    if unused := [rule for number, rule in enumerate(relabel) if number not in used]:
        raise UserError(f"--map {unused[0][0]}={unused[0][1]} applies to no class; there are: {listed(labels)}")
    return names


def listed(labels: Sequence[str], limit: int = 12) -> str:
    """The classes as words, of many the first ones."""
    names = sorted(set(labels) - {""})
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def with_groups(manifest: Manifest, table: str | os.PathLike, folder: str | os.PathLike) -> Manifest:
    """The manifest with the groups of a CSV file with the columns `path` and `group`, such as `scan.csv`.

    Paths are absolute, or relative to `folder` (the set), or to the table's own folder. Pictures that the table does
    not name are alone. Raises `UserError` where it is no such table, or names none of the pictures.
    """
    rows = {file: row for row, file in enumerate(manifest.files)}
    beside = os.path.abspath(folder if os.path.isdir(folder) else os.path.dirname(os.path.abspath(folder)))
    bases, groups, named = (beside, os.path.dirname(os.path.abspath(table))), list(manifest.groups), 0
    for path, group in _pairs(table, "path", "group"):
        row = next((rows[name] for base in bases if (name := os.path.normpath(os.path.join(base, path))) in rows), None)
        if row is not None:
            named += 1
            groups[row] = group or groups[row]
    if not named:
        raise UserError(f"{table} names none of the {len(rows)} pictures of {folder}")
    return Manifest(manifest.files, manifest.labels, manifest.splits, tuple(groups))


def read_rules(table: str | os.PathLike) -> list[tuple[str, str]]:
    """Rules for `merge` from a CSV file with the columns `old` and `new`."""
    return _pairs(table, "old", "new")


def _pairs(table: str | os.PathLike, first: str, second: str) -> list[tuple[str, str]]:
    """Two columns of a CSV file."""
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, strict=True)
            header = [name.strip().lower() for name in next(lines, [])]
            if first not in header or second not in header:
                raise UserError(f"{table} has no columns {first!r} and {second!r}")
            one, other = header.index(first), header.index(second)
            return [(line[one], line[other]) for line in lines if len(line) == len(header)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table} is no CSV file: {error}") from error
    except OSError as error:
        raise UserError(f"{table} cannot be read: {error.strerror}") from error
