"""A run's folder as training and explaining leave it, with real small pictures."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from jaxcam.maps.store import MapStore

GRID = (4, 6)
SIZE = (24, 36)


@dataclass
class FakeRun:
    """Where a fake run lies and what was put into it."""

    folder: Path
    pictures: Path
    classes: tuple[str, ...]
    labels: np.ndarray
    logits: np.ndarray
    paths: list[str]
    maps: dict[str, np.ndarray]
    flags: np.ndarray
    unreadable: int | None

    @property
    def predicted(self):
        return self.logits.argmax(1)

    @property
    def probabilities(self):
        shares = np.exp(self.logits - self.logits.max(1, keepdims=True))
        return shares / shares.sum(1, keepdims=True)

    @property
    def losses(self):
        return -np.log(self.probabilities[np.arange(len(self.labels)), self.labels])

    @property
    def readable(self):
        return np.array([row for row in range(len(self.paths)) if row != self.unreadable])


def make_run(folder, *, split="valid", classes=("cat", "dog"), each=6, targets="all", methods=("grad_cam", "cam"),
             unreadable=None, seed=0, names=None):  # fmt: skip
    """Write one split with history, predictions and maps; two of each class are wrong."""
    rng = np.random.default_rng(seed)
    pictures = folder.parent / f"{folder.name} pictures {split}"
    k, n = len(classes), each * len(classes)
    labels = np.repeat(np.arange(k), each)
    logits = rng.normal(size=(n, k))
    for row in range(n):
        winner = (labels[row] + (row % each < 2)) % k
        logits[row, winner] = logits[row].max() + 0.5 + rng.random()
    paths = []
    for row in range(n):
        name = (names or "picture {row}.png").format(row=row)
        path = pictures / classes[labels[row]] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((*SIZE, 3), (40 + 150 * (labels[row] % 2), 90, 200 - 12 * row % 150), np.uint8)
        pixels[:12, :12] = rng.integers(0, 255, (12, 12, 3))
        if row == unreadable:
            path.write_bytes(b"\x89PNG\r\n\x1a\n broken")
        else:
            Image.fromarray(pixels).save(path, format="PNG")
        paths.append(path.relative_to(pictures).as_posix())
    t = k if targets == "all" else 1
    maps = {m: np.abs(rng.normal(size=(n, t, *GRID))) - (0.8 if m == "cam" else 0) for m in methods}
    maps = {m: (values if targets == "all" else values[:, 0]).astype(np.float16) for m, values in maps.items()}
    flags = np.zeros((n, len(methods), t), np.uint8)
    if unreadable is not None:
        flags[unreadable] = 128
        for values in maps.values():
            values[unreadable] = np.nan
    run = FakeRun(folder, pictures, tuple(classes), labels, logits, paths, maps, flags, unreadable)
    write_texts(run)
    write_table(run, split)
    if methods:
        write_maps(run, split, targets)
    return run


def write_texts(run):
    run.folder.mkdir(parents=True, exist_ok=True)
    phases = [
        {"trainable": "head", "epochs": 3, "optimiser": "adam", "learning_rate": 0.001},
        {"trainable": "block5_conv1", "epochs": 2, "optimiser": "adam", "learning_rate": 0.0001},
    ]
    network = {"name": "vgg16_mini", "weights": "mini"}
    config = {"jaxcam": "0.0.9", "data": {"folder": ""}, "network": network, "phases": phases, "seed": 7}
    (run.folder / "config.json").write_text(json.dumps(config))
    (run.folder / "classifier").mkdir(exist_ok=True)
    about = {"network": network, "class_names": run.classes, "preprocessing": {"size": SIZE, "fit": "stretch"}}
    (run.folder / "classifier" / "classifier.json").write_text(json.dumps(about))
    with open(run.folder / "history.jsonl", "w") as file:
        for epoch in range(5):
            record = {"phase": int(epoch >= 3), "epoch": epoch % 3 + 1, "step": epoch, "train_loss": 0.9 / (epoch + 1)}
            record |= {"train_accuracy": 0.7 + 0.05 * epoch, "valid_loss": 1 / (epoch + 1), "valid_accuracy": 0.75}
            file.write(json.dumps(record) + "\n")


def write_table(run, split):
    table = run.folder / "predictions" / f"{split}.csv"
    table.parent.mkdir(exist_ok=True)
    with open(table, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", "predicted", *(f"p_{name}" for name in run.classes), "loss", "flags"])
        for row, path in enumerate(run.paths):
            label = path.split("/")[0]
            if row == run.unreadable:
                writer.writerow([path, label, "", *("" for _ in run.classes), "", "unreadable: <truncated> PNG"])
            else:
                shares = [f"{share:.6f}" for share in run.probabilities[row]]
                writer.writerow([path, label, run.classes[run.predicted[row]], *shares, f"{run.losses[row]:.6g}", ""])


def write_maps(run, split, targets):
    n, k = run.logits.shape
    t = k if targets == "all" else 1
    logits = run.logits.copy()
    of = np.tile(np.arange(k), (n, 1)) if targets == "all" else run.predicted[:, None]
    if run.unreadable is not None:
        logits[run.unreadable], of[run.unreadable] = np.nan, -1
    manifest = {
        "jaxcam": "0.0.9", "methods": list(run.maps), "stage": "block5_conv3", "targets": targets,
        "classes": list(run.classes), "classifier": "a" * 64, "images": "b" * 64, "count": n,
        "input_size": list(SIZE), "root": str(run.pictures),
    }  # fmt: skip
    shapes = {method: values.shape[1:] for method, values in run.maps.items()}
    store = MapStore.create(
        run.folder / "maps" / f"{split}.zarr", manifest, count=n, batch=5, methods=shapes, classes=k, targets=t
    )
    arrays = {**run.maps, "logits": logits, "targets": of, "flags": run.flags}
    arrays["scores"] = np.take_along_axis(logits, np.maximum(of, 0), 1)
    for index in store.missing:
        store.write(index, {name: values[store.rows(index)] for name, values in arrays.items()})
    store.finish()


def signal(id, name, layer, status, value=None, **more):
    """A signal as `Signal.to_json` writes it."""
    plain = {"id": id, "name": name, "layer": layer, "value": value, "interval": None, "n": 0, "status": status}
    plain |= {"threshold": None, "sentence": "", "reason": "", "images": [], "details": {}, "figures": {}}
    return plain | more


def figure(run, id, name, kind, values, labels=()):
    """Save an array as the audit does, and give its entry."""
    (run.folder / "audit").mkdir(exist_ok=True)
    np.save(run.folder / "audit" / f"{id}_{name}.npy", values, allow_pickle=False)
    return {name: {"file": f"{id}_{name}.npy", "kind": kind, "labels": list(labels)}}


def make_audit(run, *, verdict="LIKELY SHORTCUT", extra=()):
    """Write an audit as `jaxcam audit` does: findings with pictures and figures, tests that did not apply, advice."""
    rng, shown = np.random.default_rng(7), [run.paths[row] for row in run.readable[:6]]
    masked = rng.integers(0, 255, (len(shown), *SIZE, 3), dtype=np.uint8)
    masked[:, 4:20, 6:30] = 128
    labels = [f"{path}: now says {run.classes[0]} 97 %" for path in shown]
    means = np.abs(rng.normal(size=(len(run.classes), 4, 4)))
    signals = [
        signal("D1", "property AUC", "data", "amber", 0.91, interval=[0.82, 0.97], n=40, threshold=0.85,
               sentence="Brightness alone tells the classes apart (AUC 0.91).",
               details={"by property": {"brightness": 0.91, "contrast": 0.6}, "classes": ["a", "b"]},
               figures=figure(run, "D1", "auc", "values", np.array([0.91, 0.6]), ["brightness", "contrast"])),
        signal("M1", "border-only retention", "model", "red", 0.98, interval=[0.9, 1.0], n=40, threshold=0.6,
               sentence="With the middle of every picture erased the model is still right 98 % of the time.",
               images=shown, figures=figure(run, "M1", "middle_erased", "picture", masked, labels)),
        signal("D3", "AUC by place", "data", "green", 0.71, n=40, threshold=0.85, sentence="No place alone tells.",
               figures=figure(run, "D3", "cells", "auc", rng.uniform(0.5, 0.8, (16, 16)))),
        signal("M4", "peak share", "model", "green", 0.2, n=40, threshold=0.3, images=shown[:2],
               figures=figure(run, "M4", "mean_maps", "heat", means, run.classes)),
        signal("M5", "agreement of maps", "model", "red", 3.2, interval=[2.4, 4.1], n=40, threshold=2.0,
               sentence="The maps of a class agree 3.2 standard deviations more than those of random heads."),
        signal("M15", "global occlusion", "model", "info", figures=figure(
            run, "M15", "accuracy_lost", "signed", rng.normal(size=(len(run.classes), 5, 7)), run.classes)),
        signal("M13", "clusters of maps", "model", "info", sentence="Shown, not judged.", figures=figure(
            run, "M13", "clusters", "heat", np.abs(rng.normal(size=(3, 8, 8))), ["cluster 1", "cluster 2", "rest"])),
        signal("C2", "background only", "confirm", "not_applicable", reason="no folder of backgrounds was given"),
        *extra,
    ]  # fmt: skip
    audit = {
        "verdict": verdict, "sentence": "The model answers without the middle of the picture.",
        "findings": ["M1", "M5", "D1"], "signals": signals, "not_run": [{"id": "C1", "reason": "there are no masks"}],
        "thresholds": {"M1": {"red": 0.6, "amber": 0.35, "rising": True, "provenance": "16 pairs"}},
        "options": {"method": "cam", "samples": 2000, "counter": []},
        "advice": [
            {"finding": "M1", "text": "Train with swapped backgrounds.", "command": "jaxcam train c.py --augment cut"},
            {"finding": "", "text": "Confirm it with counter-examples.", "command": "jaxcam audit run --counter DIR"},
        ],
        "jaxcam": "0.0.9",
    }  # fmt: skip
    (run.folder / "audit.json").write_text(json.dumps(audit))
    return audit
