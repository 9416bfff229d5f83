"""Writes `fixtures/peer_maps.npz`: a small network, its images, and the maps that other tools make of them.

Run it as `PYTHONPATH=tests python tests/attribution/make_peer_fixtures.py` with the extra `peers` installed. Everything
is drawn from fixed seeds. Names are `tool/method/layer`; layers are 1 (`early`) and 4 (`late`). What the tools' numbers
were made with stands under `versions`.
"""

import os
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import numpy as np
import peer_maps

PATH = Path(__file__).parent / "fixtures" / "peer_maps.npz"


def main():
    values, x = peer_maps.weights(), peer_maps.images()
    network, targets = peer_maps.torch_network(values), peer_maps.TARGETS
    arrays = {f"weights/{name}": value for name, value in values.items()} | {"images": x, "targets": np.array(targets)}
    for layer in (1, 4):
        for method in peer_maps.PYTORCH_GRAD_CAM:
            maps = peer_maps.by_pytorch_grad_cam(method, peer_maps.torch_network(values), [layer], x, targets)
            arrays[f"pytorch-grad-cam/{method}/{layer}"] = maps
        arrays[f"captum/grad_cam/{layer}"] = peer_maps.by_captum(network, layer, x, targets, peer_maps.SIZE)
        arrays[f"captum/raw/{layer}"] = peer_maps.by_captum(network, layer, x, targets)
    fused = peer_maps.by_pytorch_grad_cam("grad_cam", peer_maps.torch_network(values), [1, 4], x, targets)
    arrays["pytorch-grad-cam/grad_cam/1+4"] = fused
    arrays["captum/guided_grad_cam/4"] = peer_maps.guided_by_captum(network, 4, x, targets)
    book = [peer_maps.by_keras_book(values, image, target) for image, target in zip(x, targets, strict=True)]
    arrays["keras-book/grad_cam/4"] = np.stack(book)
    packages = ("torch", "captum", "grad-cam", "keras", "opencv-python-headless")
    arrays["versions"] = np.array([f"{package} {version(package)}" for package in packages])
    PATH.parent.mkdir(exist_ok=True)
    np.savez_compressed(PATH, **arrays)
    print(f"{PATH.name}: {len(arrays)} arrays, {PATH.stat().st_size} bytes")


if __name__ == "__main__":
    main()
