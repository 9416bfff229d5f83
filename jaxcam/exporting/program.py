"""Write a classifier and its attribution methods as one `jax.export` program for any batch size and platform."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, UInt8

from jaxcam import __version__
from jaxcam.classifier import Classifier
from jaxcam.errors import UserError
from jaxcam.files import replace_file, write_json
from jaxcam.maps.memory import requested
from jaxcam.maps.program import explain_program
from jaxcam.maps.request import Request

PLATFORMS = ("cpu", "cuda", "tpu")
PROGRAM, PARAMS, ABOUT, LOADER = "program.bin", "params.safetensors", "program.json", "load.py"
SIDE = ("occlusion_predicted", "occlusion_probability", "occlusion_logit", "against")
"""what a stored set needs of the program and a caller does not"""
FLATBUFFERS = ("__init__", "_version", "builder", "compat", "encode", "number_types", "packer", "table", "util")
"""modules that `jax.export` reads a program with; they go with it, so that jax and numpy suffice"""


def export(
    classifier: Classifier,
    folder: str | Path,
    *,
    methods: str | Sequence[str] = ("grad_cam",),
    targets: str = "predicted",
    stage: str | Sequence[str] | None = None,
    platforms: Sequence[str] = PLATFORMS,
    **options: Any,
) -> Path:
    """Write `program.bin`, `params.safetensors`, `program.json`, `load.py` and what it needs; returns the folder.

    The program takes `uint8` RGB images (n, h, w, 3) of the classifier's size, any n, and gives `probabilities` and
    `logits` (n, k), and for each method float32 maps: (n, h, w), or (n, t, h, w) where `targets` asks for several a
    picture, with `targets`, `scores` and `flags`. `methods`, `targets`, `stage` and `options` are those of
    `Classifier.explain`, but the fill `mean` is grey here; `methods=()` leaves the maps out. `load.py` runs it with jax
    and numpy alone. `program.json` is written last and names the sha256 of the others: a folder without it is not
    whole.

    Raises `UserError` for unknown platforms, methods and targets, for what needs labels or pictures of the set, and
    for a folder that holds something else.
    """
    folder = Path(folder)
    unknown = sorted(set(platforms) - {*PLATFORMS, "rocm"})
    if unknown or not platforms:
        raise UserError(f"got platforms {', '.join(platforms) or 'none'}; give some of {', '.join(PLATFORMS)}, rocm")
    request = checked(classifier, (methods,) if isinstance(methods, str) else tuple(methods), targets, stage, options)
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / ABOUT).exists())):
        raise UserError(f"{folder} is there and holds no exported program; give another folder")
    exported = exported_program(classifier, request, platforms)
    flat = {name: np.asarray(value) for name, value in flatten_dict(classifier.params, sep="/").items()}
    files = {PROGRAM: bytes(exported.serialize()), PARAMS: safetensors(flat)}
    files |= {LOADER: Path(__file__).with_name("standalone.py").read_bytes(), **reader()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABOUT).unlink(missing_ok=True)
    for name, content in files.items():
        replace_file(folder / name, content)
    outputs = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    about = {
        "jaxcam": __version__,
        "jax": jax.__version__,
        "platforms": list(exported.platforms),
        "calling_convention": exported.calling_convention_version,
        "class_names": list(classifier.class_names),
        "size": list(classifier.preprocessing.size),
        "resize": classifier.preprocessing.resize,
        "fit": classifier.preprocessing.fit,
        "maps": None if request is None else request.described(),
        "outputs": {name: described(leaf) for name, leaf in outputs.items()},
        "classifier": classifier.fingerprint,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    write_json(folder / ABOUT, about)
    return folder


def checked(
    classifier: Classifier, methods: tuple[str, ...], targets: str, stage: Any, options: Mapping[str, Any]
) -> Request | None:
    """The maps that the program makes; None: no maps."""
    if not methods:
        return None
    if not isinstance(targets, str):
        raise UserError(f"an exported program decides its targets itself; give words such as predicted, got {targets}")
    # The mean colour of a set is known to no single picture.
    settings = {"dtype": "float32", **options, "fill": known_fill(options.get("fill", "mean"))}
    request, _ = requested(classifier, 1, methods, targets, stage, settings)
    if "expected_gradients" in methods:
        raise UserError("expected_gradients needs pictures of a set, which a program has not; leave it out")
    return request.checked(classifier)


def known_fill(fill: str) -> str:
    """The fill that a program can know: grey for the mean colour of a set."""
    return "grey" if fill == "mean" else fill


def exported_program(classifier: Classifier, request: Request | None, platforms: Sequence[str]) -> jax.export.Exported:
    """`program(params, images)` with a symbolic number of images; `params` is a flat dict by "stage/name"."""
    # How much a method computes at once depends on the number of images, which is not known here: so the program is
    # that of one image, for all images together where this costs no memory, else for one after the other.
    together = request is None or all(spec.method.family == "layer" for spec in request.specs())

    def one(params: Mapping[str, Any], image: UInt8[Array, "h w 3"]) -> dict[str, Array]:
        nested = unflatten_dict(dict(params), sep="/")
        if request is None:
            out = {"logits": classifier.apply(nested, image[None]).astype(jnp.float32)}
        else:
            labels = jnp.full((1,), -1, jnp.int32)
            found = explain_program(classifier, request)(nested, image[None], labels)
            out = {name: value for name, value in found.items() if name not in SIDE}
        return {name: value[0] for name, value in (out | {"probabilities": jax.nn.softmax(out["logits"])}).items()}

    def program(params: Mapping[str, Any], images: UInt8[Array, "n h w 3"]) -> dict[str, Array]:
        if together:
            return jax.vmap(lambda image: one(params, image))(images)
        return jax.lax.map(lambda image: one(params, image), images)

    (count,) = jax.export.symbolic_shape("n")
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), flatten_dict(classifier.params, sep="/"))
    images = jax.ShapeDtypeStruct((count, *classifier.preprocessing.size, 3), jnp.uint8)
    return jax.export.export(jax.jit(program), platforms=tuple(platforms))(shapes, images)


def described(leaf: Any) -> dict[str, Any]:
    """Shape and type of an output as JSON values; "n" is the number of images."""
    return {"shape": [side if isinstance(side, int) else str(side) for side in leaf.shape], "dtype": leaf.dtype.name}


def safetensors(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The parameters in the safetensors format, sorted by name."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)})


def reader() -> dict[str, bytes]:
    """The modules of `flatbuffers` (Apache-2.0) by the path that they get beside the program."""
    spec = find_spec("flatbuffers")
    if spec is None or spec.origin is None:
        raise UserError("jax.export needs the package flatbuffers; pip install flatbuffers")
    home = Path(spec.origin).parent
    return {f"vendor/flatbuffers/{name}.py": (home / f"{name}.py").read_bytes() for name in FLATBUFFERS}
