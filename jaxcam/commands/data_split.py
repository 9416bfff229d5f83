"""`jaxcam data split`, `subset` and `merge`: manifests from sets; no file is moved or copied."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxcam.errors import UserError


def split(
    source: Annotated[str, tyro.conf.Positional],
    *,
    out: Path,
    shares: tuple[str, ...] = ("train=0.8", "valid=0.1", "test=0.1"),
    seed: int = 0,
    groups: Path | None = None,
    anew: bool = False,
) -> None:
    """Divide a set into train, valid and test, each class alike, near duplicates together; written as a manifest.

    Example: jaxcam data split pictures --out set.csv --shares train=.8 valid=.1 test=.1 --groups scan.csv

    Args:
        source: folder with one sub-folder a class, or a manifest (.csv)
        out: the manifest to write
        shares: SPLIT=SHARE for each split; together 1
        seed: the same seed gives the same splits
        groups: CSV file with the columns path and group, such as scan.csv: rows of a group stay together
        anew: throw the splits that the set has together and divide anew
    """
    from jaxcam.data import sets, splits
    from jaxcam.data.manifest import write_manifest

    _seed(seed)
    manifest, skipped = sets.listed(source)
    if manifest.split_names and not anew:
        raise UserError(
            f"{source} is divided into {', '.join(manifest.split_names)} already; give --anew to do it again"
        )
    if groups is not None:
        manifest = splits.with_groups(manifest, groups, source)
    manifest = splits.split(manifest, dict(_numbers(shares, "shares")), seed=seed)
    write_manifest(out, manifest)
    together = sum(count > 1 for group, count in Counter(manifest.groups).items() if group)
    _tell(out, manifest, skipped, f", {together} groups of near duplicates kept together" if together else "")


def subset(
    source: Annotated[str, tyro.conf.Positional],
    *,
    keep: tuple[str, ...],
    out: Path,
    seed: int = 0,
    splits: tuple[str, ...] = ("train",),
) -> None:
    """Keep part of some classes, of the training pictures only unless told otherwise; written as a manifest.

    Example: jaxcam data subset set.csv --keep cats=1.0 dogs=0.2 birds=0.1 --out imbalanced.csv

    Args:
        source: folder with one sub-folder a class, or a manifest (.csv)
        keep: CLASS=SHARE, or CLASS=NUMBER above 1 for so many in each split; classes that are not named stay whole
        out: the manifest to write
        seed: the same seed keeps the same pictures; a smaller share's are among a larger one's
        splits: splits that are cut down: train, valid, test, or all
    """
    from jaxcam.data import sets
    from jaxcam.data import splits as rules
    from jaxcam.data.folder import split_of
    from jaxcam.data.manifest import write_manifest

    _seed(seed)
    if not keep:
        raise UserError("nothing to keep: give --keep CLASS=SHARE for the classes to be cut down")
    manifest, skipped = sets.listed(source)
    chosen = None if splits == ("all",) else tuple(split_of(name) or name for name in splits)
    manifest = rules.subset(manifest, dict(_numbers(keep, "keep")), seed=seed, splits=chosen)
    write_manifest(out, manifest)
    _tell(out, manifest, skipped)


def merge(
    sources: Annotated[tuple[str, ...], tyro.conf.Positional],
    *,
    out: Path,
    relabel: Annotated[tuple[str, ...], tyro.conf.arg(name="map")] = (),
    map_file: Path | None = None,
) -> None:
    """Several sets as one, with classes renamed or joined; written as a manifest.

    Example: jaxcam data merge pets CUB_200_2011/images --map '[0-9]*=birds' --out all.csv

    Args:
        sources: folders with one sub-folder a class, or manifests (.csv)
        out: the manifest to write
        relabel: OLD=NEW: class OLD, or each class that the pattern OLD (* and ?) fits, becomes NEW; OLD= leaves it out
        map_file: CSV file with the columns old and new, applied after --map
    """
    from jaxcam.data import sets, splits
    from jaxcam.data.manifest import write_manifest

    if not sources:
        raise UserError("no sets: give folders or manifests to merge")
    rules = [_pair(text, "map") for text in relabel]
    if map_file is not None:
        rules += splits.read_rules(map_file)
    found = {source: sets.listed(source) for source in sources}
    manifest = splits.merge({source: one for source, (one, _) in found.items()}, rules)
    write_manifest(out, manifest)
    _tell(out, manifest, [item for _, skipped in found.values() for item in skipped])


def _tell(out: Path, manifest, skipped: Sequence[tuple[str, str]], more: str = "") -> None:
    """What was written: a row a class, a column a split."""
    labels, columns = sorted(set(manifest.labels)), manifest.split_names or ("",)
    counts = Counter(zip(manifest.labels, manifest.splits, strict=True))
    print(f"{out}: {len(manifest)} pictures of {len(labels)} classes{more}")
    shown = labels[:20]
    width = max(map(len, shown))
    if manifest.split_names:
        print(f"  {'':{width}}" + "".join(f"{name:>9}" for name in columns))
    for label in shown:
        print(f"  {label:{width}}" + "".join(f"{counts[label, name]:9}" for name in columns))
    if len(labels) > len(shown):
        print(f"  and {len(labels) - len(shown)} more classes")
    if empty := [(label, name) for label in labels for name in columns if not counts[label, name]]:
        first = ", ".join(f"{label} in {name}" for label, name in empty[:3])
        print(f"  {len(empty)} without a picture: {first}{', ...' if len(empty) > 3 else ''}")
    if skipped:
        print(f"  left out {len(skipped)} files that are no images, the first is {skipped[0][0]}: {skipped[0][1]}")


def _pair(text: str, option: str) -> tuple[str, str]:
    name, sign, value = text.rpartition("=")
    if not (sign and name):
        raise UserError(f"--{option} {text!r} is no pair; write NAME=VALUE")
    return name, value


def _numbers(texts: Sequence[str], option: str) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for text in texts:
        name, value = _pair(text, option)
        try:
            found.append((name, float(value)))
        except ValueError:
            raise UserError(f"--{option} {text!r}: {value!r} is no number") from None
    names = [name for name, _ in found]
    if len(set(names)) < len(names):
        raise UserError(f"--{option} names {next(n for n in names if names.count(n) > 1)!r} twice")
    return found


def _seed(seed: int) -> None:
    if seed < 0:
        raise UserError(f"--seed is {seed}; it must be at least 0")
