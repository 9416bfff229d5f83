"""Runs the program in this folder; needs jax and numpy, and nothing of jaxcam.

from load import Program
program = Program()
out = program(images)            # uint8 RGB (n, h, w, 3) of program.size -> {"probabilities": (n, k), ...}

python load.py images.npy [out.npz]      an array of images
python load.py cat.jpg dog.png           image files, where Pillow is installed
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}


def read_safetensors(path):
    """Arrays of a safetensors file by name."""
    content = Path(path).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, start = json.loads(content[8 : 8 + length]), 8 + length
    arrays = {}
    for name, about in header.items():
        if name != "__metadata__":
            first, last = about["data_offsets"]
            values = np.frombuffer(content[start + first : start + last], DTYPES[about["dtype"]])
            arrays[name] = values.reshape(about["shape"])
    return arrays


class Program:
    """`program(images)` gives probabilities, logits and maps; compiled once for each number of images."""

    def __init__(self, folder=HERE):
        folder = Path(folder)
        self.about = json.loads((folder / "program.json").read_text())
        for name in ("program.bin", "params.safetensors"):
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != self.about["sha256"][name]:
                raise ValueError(f"{folder / name} is not the file that was exported; export again")
        try:
            import flatbuffers  # noqa: F401
        except ImportError:
            sys.path.append(str(folder / "vendor"))
        import jax
        import jax.export

        self.size, self.class_names = tuple(self.about["size"]), tuple(self.about["class_names"])
        self.params = jax.device_put(read_safetensors(folder / "params.safetensors"))
        self._call = jax.jit(jax.export.deserialize(bytearray((folder / "program.bin").read_bytes())).call)

    def __call__(self, images):
        """NumPy arrays by name for `uint8` RGB images (n, h, w, 3)."""
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (*self.size, 3) or not len(images):
            height, width = self.size
            raise ValueError(f"got {images.dtype} {images.shape}; give uint8 RGB images (n, {height}, {width}, 3)")
        return {name: np.asarray(value) for name, value in self._call(self.params, images).items()}


def read_image(path, about):
    """A picture as the classifier sees it (Pillow's resize of the whole picture)."""
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    filters = {name: getattr(Image.Resampling, name.upper()) for name in ("bilinear", "nearest", "bicubic")}
    (height, width), chosen = about["size"], filters[about["resize"]]
    if about["fit"] == "crop":
        return np.asarray(ImageOps.fit(picture, (width, height), chosen))
    return np.asarray(picture.resize((width, height), chosen))


def main(arguments):
    """Print class and probability of each image, and write everything where a second file is named."""
    if not arguments or arguments[0] in ("-h", "--help"):
        return print(__doc__)
    program = Program()
    if arguments[0].endswith(".npy"):
        names, images = None, np.load(arguments[0], allow_pickle=False)
    else:
        names, images = arguments, np.stack([read_image(path, program.about) for path in arguments])
    out = program(images)
    for row, shares in enumerate(out["probabilities"]):
        best = int(shares.argmax())
        print(f"{names[row] if names else row}: {program.class_names[best]} {shares[best]:.4f}")
    if names is None and len(arguments) > 1:
        np.savez(arguments[1], **out)


if __name__ == "__main__":
    main(sys.argv[1:])
