"""How many pictures a second come in, beside plain Pillow, OpenCV and torch.utils.data with the same result?

JPEG files of 500x375 and 1600x1200 (made here, quality 90) become uint8 batches of 224x224: decoding in one thread, by
jaxcam's loader and by PyTorch's, both with one worker a core; and batches of the same pictures from a prepared set. One
process, subjects in turns, seconds for 1000 pictures. `per_core` is pictures for each second of processor time, workers
included, so that it means something on a busy machine too; `of_plain` is a subject's rate over plain Pillow's times the
number of cores.
"""

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from harness import arguments, interleaved, record, write
from PIL import Image

from jaxcam.data.decode import decode
from jaxcam.data.folder import load_folder
from jaxcam.data.images import ImageSet
from jaxcam.data.loader import batches, cores, epoch_order
from jaxcam.data.preparing import prepare
from jaxcam.data.sets import load_set
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress

SIZE = (224, 224)
PIXELS = Preprocessing(size=SIZE)
SMALL = (375, 500)
QUALITY = 90
DRAFT = 4


def photo(size: tuple[int, int], seed: int) -> Image.Image:
    """A picture with about as much detail as a photograph: shapes of all sizes and some grain."""
    rng, (height, width) = np.random.default_rng(seed), size
    values: Any = np.zeros((height, width, 3), np.float32)
    for level in range(1, 7):
        grid = rng.normal(size=(2**level + 1, 2**level + 1, 3)).astype(np.float32)
        for channel in range(3):
            layer = Image.fromarray(grid[..., channel]).resize((width, height), Image.Resampling.BICUBIC)
            values[..., channel] += np.asarray(layer) * 0.75**level
    values = values * 45 + 128 + rng.normal(scale=4.0, size=(height, width, 1))
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def make(folder: Path, size: tuple[int, int], count: int, copies: int = 1) -> ImageSet:
    """`count` JPEG files in two classes; with `copies` each under several names."""
    for number in range(count):
        path = folder / "ab"[number % 2] / f"{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(size, number).save(path, quality=QUALITY)
        for copy in range(1, copies):
            os.link(path, path.with_name(f"{path.stem}-{copy}.jpg"))
    return load_folder(folder)


def pillow(path: Path) -> np.ndarray:
    """Nothing but Pillow: decode whole, resize."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize(SIZE[::-1], Image.Resampling.BILINEAR))


def pillow_draft(path: Path) -> np.ndarray:
    """Pillow with its reduced decoding, as jaxcam has it: down to twice the wanted size."""
    with Image.open(path) as image:
        image.draft("RGB", (2 * SIZE[1], 2 * SIZE[0]))
        return np.asarray(image.convert("RGB").resize(SIZE[::-1], Image.Resampling.BILINEAR))


def opencv(path: Path) -> np.ndarray:
    """OpenCV with the filter that shrinks without aliasing."""
    import cv2

    image: Any = cv2.imread(str(path), cv2.IMREAD_COLOR)
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), SIZE[::-1], interpolation=cv2.INTER_AREA)


class TorchSet:
    """The same pictures for torch.utils.data."""

    def __init__(self, paths: list[Path]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        import torch

        return torch.from_numpy(pillow(self.paths[index]).copy())


def torch_loader(paths: list[Path], batch: int) -> Callable[[], None]:
    """PyTorch's loader with one process a core that lives through all rounds."""
    import torch

    loader: Any = torch.utils.data.DataLoader(
        TorchSet(paths),  # type: ignore[arg-type]
        batch_size=batch,
        num_workers=cores(),
        persistent_workers=True,
        multiprocessing_context="spawn",
    )

    def once() -> None:
        for _ in loader:
            pass

    return once


def processor_seconds() -> float:
    """Of this process and its workers."""
    own = psutil.Process()
    times = [process.cpu_times() for process in [own, *own.children(recursive=True)]]
    return sum(one.user + one.system for one in times)


def measured(
    subjects: dict[str, Callable[[], Any]], counts: dict[str, int], rounds: int, question: str, **facts: Any
) -> list[dict[str, Any]]:
    """One line a subject, in seconds for 1000 pictures; a call may read any number of them."""
    spent: dict[str, list[float]] = {name: [] for name in subjects}

    def timed(name: str) -> Callable[[], None]:
        def call() -> None:
            before = processor_seconds()
            subjects[name]()
            spent[name].append(processor_seconds() - before)

        return call

    seconds = interleaved({name: timed(name) for name in subjects}, rounds=rounds, warm_up=1)
    for name, own in seconds.items():
        own[:] = [value * 1000 / counts[name] for value in own]
        own.cpu = [value * 1000 / counts[name] for value in spent[name][1:]]  # the first call warmed up
    plain = "plain Pillow, 1 thread"
    lines = record(question, seconds, per_call=1000, unit="img/s", reference=plain, **facts)
    for line, (name, own) in zip(lines, seconds.items(), strict=True):
        line |= {"pictures": counts[name], "per_core": round(1000 / median(own.cpu), 1)}
        line |= {"of_plain": round(line["rate"] * median(seconds[plain]) / 1000 / cores(), 3)}
    return lines


def question(size: tuple[int, int], folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One size of JPEG files."""
    count = options.count if size == SMALL else max(options.batch, options.count // DRAFT)
    images = make(folder / f"{size[1]}", size, count)
    files = [images.file(row) for row in range(len(images))]
    order = epoch_order(len(images), seed=0, epoch=0)
    subjects: dict[str, Callable[[], Any]] = {
        "plain Pillow, 1 thread": lambda: [pillow(path) for path in files],
        "Pillow with draft, 1 thread": lambda: [pillow_draft(path) for path in files],
        "jaxcam decode, 1 thread": lambda: [decode(path, PIXELS) for path in files],
        "jaxcam loader": lambda: [None for _ in batches(images, PIXELS, batch_size=options.batch, order=order)],
    }
    try:
        import cv2

        cv2.setNumThreads(1)
        subjects["OpenCV, 1 thread"] = lambda: [opencv(path) for path in files]
    except ImportError:
        print("no OpenCV here")
    try:
        subjects["torch DataLoader"] = torch_loader(files, options.batch)
    except ImportError:
        print("no PyTorch here")
    counts = dict.fromkeys(subjects, count)
    if size == SMALL:
        ready = many_prepared(images, folder)
        counts["jaxcam loader, prepared"] = len(ready) * 4
        rows = np.concatenate([epoch_order(len(ready), seed=0, epoch=epoch) for epoch in range(4)])
        subjects["jaxcam loader, prepared"] = lambda: [
            None for _ in batches(ready, PIXELS, batch_size=options.batch, order=rows)
        ]
    bytes_each = sum(path.stat().st_size for path in files) // len(files)
    facts = {"dtype": "uint8", "batch": options.batch, "shape": [*SIZE, 3], "jpeg": [*size], "jpeg_bytes": bytes_each}
    return measured(subjects, counts, options.rounds, f"loading {size[1]}x{size[0]}", workers=cores(), **facts)


def many_prepared(images: ImageSet, folder: Path) -> ImageSet:
    """The pictures prepared, 2048 or more rows: more than a processor's caches hold."""
    for copy in range(1, -(-2048 // len(images))):
        for path in [images.file(row) for row in range(len(images))]:
            os.link(path, path.with_name(f"{path.stem}-{copy}.jpg"))
    many = load_folder(images.root)
    prepare({"": many}, str(images.root), "folder", folder / "prepared", PIXELS, progress=Progress(quiet=True))
    return load_set(folder / "prepared")


def main() -> None:
    """Measure both sizes and append the lines."""
    parser = arguments(__doc__, rounds=7)
    parser.add_argument("--count", type=int, default=256, help="files of 500x375; a quarter as many of 1600x1200")
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    if options.quick:
        options.count, options.batch, options.rounds = 8, 4, min(options.rounds, 3)
    warnings.filterwarnings("ignore", message=".*fork.*")
    started = time.monotonic()
    for size in (SMALL, (1200, 1600)):
        with tempfile.TemporaryDirectory() as folder:
            lines = question(size, Path(folder), options)
            write("loading", lines, options)
            for line in lines:
                rate, share = line["per_core"], line["of_plain"]
                print(f"  {line['subject']:28} {rate:10.1f} img/s of processor time, {share} of plain x cores")
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
