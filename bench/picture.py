"""Write the README's picture from a finished demo: a row an experiment, maps on validation and on swapped pictures."""

import argparse
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jaxcam.attribution import contrast
from jaxcam.data.composites import read_picture
from jaxcam.files import read_json
from jaxcam.maps import render
from jaxcam.maps.store import MapStore

TILE, GAP, TEXT = (216, 130), 6, 22


def tiles(run: Path, name: str, per_class: int = 1) -> list[tuple[np.ndarray, str, bool]]:
    """Picture with map, answer, and whether it is right, for the first pictures of each class."""
    store = MapStore.open(run / "maps" / f"{name}.zarr")
    lines = (run / "predictions" / f"{name}.csv").read_text().splitlines()[1:]
    rows: list[int] = []
    seen: dict[str, int] = {}
    for row, line in enumerate(lines):
        label = line.split(",")[1]
        seen[label] = seen.get(label, 0) + 1
        if seen[label] <= per_class and not label.startswith("Z"):
            rows.append(row)
    answers = store.read("logits", rows).argmax(1)
    maps = np.maximum(np.asarray(contrast(jnp.asarray(store.read("cam", rows)), jnp.asarray(answers))), 0)
    out = []
    for values, answer, row in zip(maps, answers.tolist(), rows, strict=True):
        path, label = lines[row].split(",")[:2]
        name_of = store.manifest["classes"][answer]
        picture = read_picture(Path(store.manifest["root"]) / path)
        out.append((render.overlay(picture, values, vmin=0.0, vmax=float(maps.max())), name_of, name_of == label))
    return out


def main() -> None:
    """Draw the rows and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, nargs="?", default=Path("runs/demo"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "demo.jpg")
    options = parser.parse_args()
    results = read_json(options.demo / "summary.json")
    width, height = 4 * (TILE[0] + GAP) + GAP, len(results) * (TILE[1] + TEXT + GAP + 4) + TEXT + GAP
    canvas = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=13)
    pen.text((GAP, 4), "validation pictures", "#555", font)
    pen.text((2 * (TILE[0] + GAP) + GAP, 4), "the same figures before another background", "#555", font)
    for number, result in enumerate(results):
        top = TEXT + number * (TILE[1] + TEXT + GAP + 4)
        shown = tiles(Path(result["run"]), "valid") + tiles(Path(result["run"]), "swapped")
        valid, swapped = f"{result['validation_accuracy']:.0%}", f"{result['swapped_accuracy']:.0%}"
        pen.text((GAP, top), f"{result['title']}: {valid} right, {swapped} with swapped backgrounds", "#111", font)
        for place, (picture, answer, right) in enumerate(shown):
            left = GAP + place * (TILE[0] + GAP)
            canvas.paste(Image.fromarray(picture).resize(TILE, Image.Resampling.LANCZOS), (left, top + TEXT))
            text = f"says {answer}" + ("" if right else ", wrong")
            box = pen.textbbox((left + 5, top + TEXT + TILE[1] - 19), text, font)
            pen.rectangle((box[0] - 4, box[1] - 2, box[2] + 4, box[3] + 2), "#1d2126" if right else "#b3410e")
            pen.text((left + 5, top + TEXT + TILE[1] - 19), text, "white", font)
    render.save_jpeg(options.out, np.asarray(canvas), quality=88)
    print(options.out)


if __name__ == "__main__":
    main()
