"""Does `jaxcam data scan` find planted copies, and only them, and how long does it take?

A folder is made of drawn pictures (111 classes, those of one class look alike), drawn scenes (two figures before four
backgrounds: the same background in very many pictures) and, where folders are given, real pictures. A tenth of the
files are copies of others, in the other split: recompressed (JPEG quality 30 to 90), resized (by 0.5 to 2), cropped by
2 % (of the width and height on all sides, on one side, or 1 % on each), or mirrored; on request also several of these
at once, and turned. The whole command's work is timed: decoding, checksums, hashes, search, comparison, properties.

    python bench/scan.py --pictures 10000 --real ../shared/cats-dogs-small ../shared/bart-vs-homer/SeveralBackgrounds
"""

import argparse
import io
import os
import resource
import tempfile
import time
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from harness import machine, write
from PIL import Image

from jaxcam.data import drawn, scenes
from jaxcam.data.image_files import UnreadableImage, opened, upright_rgb
from jaxcam.data.scan.run import Scan, scan
from jaxcam.progress import Progress

KINDS = ("recompressed", "resized", "cropped", "mirrored")
MORE = ("turned", "all at once")


def plant(image: Image.Image, kind: str, rng: np.random.Generator) -> Image.Image:
    """A copy of an RGB picture."""
    width, height = image.size
    if kind == "recompressed":
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(30, 91)))
        return Image.open(buffer).convert("RGB")
    if kind == "resized":
        factor = 2 ** rng.uniform(-1, 1)
        way = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)[rng.integers(3)]
        return image.resize((max(8, round(width * factor)), max(8, round(height * factor))), way)
    if kind == "cropped":
        share = (0.02, 0.02, 0.98, 0.98), (0.01, 0.01, 0.99, 0.99), (0.02, 0.0, 1.0, 0.98)
        left, top, right, bottom = share[rng.integers(len(share))]
        return image.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))
    if kind == "mirrored":
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if kind == "turned":
        return image.transpose(Image.Transpose.ROTATE_90)
    for one in ("cropped", "resized", "mirrored", "recompressed"):
        image = plant(image, one, rng)
    return image


def write_set(folder: Path, count: int, pairs: int, real: list[Path], kinds: tuple[str, ...], seed: int) -> list[str]:
    """`count` files of which `pairs` are copies of others; returns the kind of every copy."""
    rng = np.random.default_rng(seed)
    files = [path for root in real for path in sorted(root.rglob("*")) if path.is_file()]
    originals = count - pairs
    copied = set(rng.permutation(originals)[:pairs].tolist())
    planted: list[str] = []
    for number in range(originals):
        image, source = _original(number, originals, files, rng)
        _save(image, folder / "Train" / source / f"{number:06d}", rng)
        if number in copied:
            kind = kinds[len(planted) % len(kinds)]
            planted.append(kind)
            _save(plant(image, kind, rng), folder / "Valid" / source / f"{number:06d}-copy-{kind}", rng)
    return planted


def _original(number: int, count: int, files: list[Path], rng: np.random.Generator) -> tuple[Image.Image, str]:
    if number < len(files):
        try:
            with opened(files[number]) as image:
                image.load()
                return upright_rgb(image), "real"
        except UnreadableImage:
            pass  # a text that says where the pictures are from
    if number % 5 == 0:
        pixels, _ = scenes.render(number // 5 % 2, number // 10 % 4, rng, size=(144, 240))
        return Image.fromarray(pixels), "scene"
    size = (64, 96, 160)[number % 3]
    return Image.fromarray(drawn.draw(int(rng.integers(len(drawn.CLASS_NAMES))), rng, size=size)), "drawn"


def _save(image: Image.Image, stem: Path, rng: np.random.Generator) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    if rng.random() < 0.5:
        image.save(f"{stem}.png", compress_level=1)
    else:
        image.save(f"{stem}.jpg", quality=95)


def judged(found: Scan, planted: list[str]) -> dict[str, Any]:
    """Recall of every kind, precision, and what was taken for a copy without being one."""
    hits: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for group in found.groups:
        for pair in combinations([found.entries[row].path for row in group.rows], 2):
            first, second = (Path(path).stem.partition("-copy-") for path in pair)
            if first[0] == second[0]:
                hits[first[2] or second[2]] += 1
            else:
                wrong[" and ".join(sorted({Path(path).parts[1] for path in pair}))] += 1
    wanted = Counter(planted)
    return {
        "pairs": len(planted),
        "recall": {kind: round(hits[kind] / wanted[kind], 4) for kind in sorted(wanted)},
        "recall_all": round(sum(hits.values()) / len(planted), 4),
        "precision": round(sum(hits.values()) / max(1, sum(hits.values()) + sum(wrong.values())), 4),
        "wrong": dict(wrong),
        "look_alikes": found.scenes.pictures,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, help="default: a tenth")
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="folders of real pictures without copies")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS + MORE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--no-record", action="store_true")
    parser.add_argument("--quick", action="store_true", help="few pictures: does it work? Keeps no line")
    parser.add_argument("--results", type=Path, help="folder for the line (default: bench/results)")
    options = parser.parse_args()
    options.pictures = 60 if options.quick else options.pictures
    pairs = options.pairs or options.pictures // 10
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "set"
        planted = write_set(folder, options.pictures, pairs, options.real, tuple(options.kinds), options.seed)
        started = time.perf_counter()
        found = scan(folder, cache=Path(scratch) / "cache", workers=options.workers, progress=Progress())
        wall = time.perf_counter() - started
        own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        again = time.perf_counter()
        scan(folder, cache=Path(scratch) / "cache", workers=options.workers)
        again = time.perf_counter() - again
    line = {
        "question": "scan", "subject": "jaxcam data scan", "dtype": "uint8", "batch": 1, **judged(found, planted),
        "pictures": len(found.entries), "real": len(options.real),
        "median_s": round(wall, 3), "again_s": round(again, 3),
        "rate": round(len(found.entries) / wall, 2), "unit": "files/s", "workers": options.workers or os.cpu_count(),
        "cpu_s": round(own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime, 2),
        "peak_mib": [round(own.ru_maxrss / 1024), round(others.ru_maxrss / 1024)],
    }  # fmt: skip
    print({key: value for key, value in line.items() if key not in ("dtype", "batch")})
    if not options.no_record:
        write("scan", [line | machine()], options)


if __name__ == "__main__":
    main()
