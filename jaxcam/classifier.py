"""A classifier carries its preprocessing: network, parameters, preprocessing and class names, saved as one thing."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Float32, PRNGKeyArray, UInt8

from jaxcam.data.colour_order import ColourOrder
from jaxcam.errors import UserError
from jaxcam.files import read_json, replace_file, write_json
from jaxcam.networks import Chain, Head, NetworkSpec
from jaxcam.preprocessing import Preprocessing

DESCRIPTION, PARAMS, TEMPERATURE = "classifier.json", "params.safetensors", "temperature.json"


@dataclass(frozen=True)
class Classifier:
    """`uint8` RGB images in, float32 logits out; training, `predict`, `explain` and export share this object."""

    network: NetworkSpec
    params: Mapping[str, Any]
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    folder: Path | None = field(default=None, compare=False, repr=False)
    """where it was read from; what was learnt about it later (temperature, usual colours) lies there too"""

    @cached_property
    def chain(self) -> Chain:
        """The network's stages."""
        return self.network.chain()

    def apply(
        self,
        params: Mapping[str, Any],
        images: UInt8[Array, "n h w 3"],
        stop: str | None = None,
        *,
        train: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> jax.Array:
        """Normalise and run up to `stop`; a pure function of `params`, for use inside `jit`."""
        return self.chain.apply(params, self.preprocessing.normalise(images), stop=stop, train=train, key=key)

    @cached_property
    def compiled(self) -> Any:
        """The jitted function `(params, uint8 images) -> float32 logits`."""
        return jax.jit(lambda params, images: self.apply(params, images).astype(jnp.float32))

    def logits(self, images: UInt8[Array | np.ndarray, "n h w 3"]) -> Float32[Array, "n k"]:
        """Logits of images that already have the classifier's size."""
        size = tuple(images.shape[1:3])
        if images.dtype != jnp.uint8 or size != tuple(self.preprocessing.size):
            wanted = f"uint8 images of {self.preprocessing.size}"
            raise UserError(f"got {images.dtype} images of {size}; this classifier takes {wanted}")
        return self.compiled(self.params, images)

    def predict(
        self, images: Any, *, batch_size: int = 32, value_range: tuple[float, float] | None = None
    ) -> "Predictions":
        """Probabilities for image files, PIL images or arrays (n, h, w, 3) or (h, w, 3), of any size.

        One, or a list of them. Arrays are RGB `uint8`, or numbers that can only mean 0..255; `value_range` = (black,
        white) says what those of others mean, such as (0, 1). The classifier normalises itself. What is odd about a
        picture stands in `Predictions.warnings`.

        Raises `UserError` for unreadable files, and for arrays that look normalised, divided by 255, or channels first,
        or hold NaN (see `jaxcam.data.arrays`).
        """
        from jaxcam.data.doubts import doubts

        pixels = self.prepare(images, value_range=value_range)
        rows = [np.asarray(self.logits(pixels[i : i + batch_size])) for i in range(0, len(pixels), batch_size)]
        logits = np.concatenate([np.zeros((0, len(self.class_names)), np.float32), *rows])
        warnings = doubts(pixels, self.colour_order, logits)
        return Predictions(logits, self.class_names, self.temperature, warnings, pixels)

    def explain(
        self,
        images: Any,
        *,
        methods: str | Sequence[str] = ("grad_cam",),
        targets: Any = "predicted",
        stage: str | Sequence[str] | None = None,
        batch_size: int = 32,
        value_range: tuple[float, float] | None = None,
        **options: Any,
    ) -> Mapping[str, np.ndarray]:
        """Raw maps by method, float32, (n, h, w), or (n, t, h, w) where the targets ask for several maps an image.

        `images` and `value_range` as for `predict`. `methods` are names of `jaxcam.maps.options.METHODS`. `targets`:
        `"predicted"`, `"second"`, `"all"`, `"top3"`, a class name, `"a-b"` (what speaks for a rather than b), several
        of these, or class numbers (n,) or (n, t). `stage` names the stage or stages of the layer methods. `options` are
        `score` (`"logit"` or `"probability"`), `fuse` and the settings of single methods (`window`, `steps`, `seed`,
        ...; see `jaxcam.maps.options.MethodOptions`). All methods run in one program a batch. The result also holds
        `logits`, `targets`, `scores` and `flags`, shows itself in notebooks, and has `.show()`: see
        `jaxcam.maps.memory.Explanation`. Raises `UserError` for what the classifier cannot give.
        """
        from jaxcam.maps.memory import explain_images

        names = (methods,) if isinstance(methods, str) else tuple(methods)
        pixels = self.prepare(images, value_range=value_range)
        return explain_images(
            self, pixels, methods=names, targets=targets, stage=stage, batch_size=batch_size, **options
        )

    def audit(
        self,
        data: str | Path | None = None,
        *,
        only: Sequence[str] = (),
        progress: Any = None,
        **options: Any,
    ) -> Any:
        """Does the model cheat? `jaxcam audit` for the run that this classifier was loaded from.

        `data` is the set to audit on, by default the run's validation pictures; `only` names layers (`data`, `model`,
        `confirm`); `options` are the fields of `jaxcam.audit.subject.AuditOptions`, such as `counter` (folders of
        counter-examples), `masks`, `samples`. Writes `audit.json` and `audit/` into the run's folder. The result is an
        `Audit`: `print` gives the text of the command, a notebook shows tables. Raises `UserError` for a classifier
        that lies in no run, and for what `audit_run` refuses.
        """
        from jaxcam.audit.shown import audit_of

        return audit_of(self, data, only=only, progress=progress, options=options)

    def prepare(self, images: Any, *, value_range: tuple[float, float] | None = None) -> UInt8[np.ndarray, "n h w 3"]:
        """Host-side part of the preprocessing: `uint8` RGB of the classifier's size; `images` as for `predict`."""
        from jaxcam.data.decode import to_pixels

        return to_pixels(images, self.preprocessing, value_range=value_range)

    @cached_property
    def temperature(self) -> float | None:
        """What `jaxcam evaluate --temperature` found for these very parameters; None where there is nothing.

        Raises `UserError` where the file is broken.
        """
        file = None if self.folder is None else self.folder / TEMPERATURE
        if file is None or not file.is_file():
            return None
        try:
            about = read_json(file)
            value = float(about["temperature"])
            if not 0 < value < float("inf"):
                raise ValueError(f"the temperature is {value}")
            return value if about["classifier"] == self.fingerprint else None
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{file} cannot be read ({error}); run `jaxcam evaluate --temperature` again") from error

    @cached_property
    def colour_order(self) -> ColourOrder | None:
        """What tells exchanged colours; None where the training pictures did not teach it, or are not known."""
        return None if self.folder is None else ColourOrder.read(self.folder)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the description and every parameter; equal only for classifiers that compute the same."""
        digest = hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode())
        for name, value in sorted(flatten_dict(self.params, sep="/").items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """Everything but the parameters, as JSON values."""
        return {
            "network": asdict(self.network),
            "preprocessing": asdict(self.preprocessing),
            "class_names": list(self.class_names),
        }

    def save(self, folder: str | Path) -> None:
        """Write `params.safetensors` and `classifier.json`, each atomically, the description last."""
        from safetensors.numpy import save

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        flat = {k: np.ascontiguousarray(v) for k, v in sorted(flatten_dict(self.params, sep="/").items())}
        replace_file(folder / PARAMS, save(flat))
        write_json(folder / DESCRIPTION, self.describe())

    @classmethod
    def load(cls, folder: str | Path) -> "Classifier":
        """Read what `save` wrote; parameters that do not fit the described network are a `UserError`."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        if not (folder / DESCRIPTION).is_file():
            raise UserError(f"no classifier in {str(folder)!r} ({DESCRIPTION} is missing); finish `jaxcam train` first")
        try:
            text = json.loads((folder / DESCRIPTION).read_text())
            network = NetworkSpec(**{**tupled(text["network"]), "head": head_from(text["network"]["head"])})
            preprocessing = Preprocessing(**tupled(text["preprocessing"]))
            class_names = tuple(text["class_names"])
            params = unflatten_dict(load_file(folder / PARAMS), sep="/")
        except (ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
            raise UserError(f"the classifier in {str(folder)!r} cannot be read ({error}); train it again") from error
        expected = network.chain().abstract(network.shape)
        if jax.tree.map(lambda x: x.shape, params) != jax.tree.map(lambda x: x.shape, expected):
            raise UserError(f"the parameters in {str(folder)!r} are not those of its network {network.name!r}")
        return cls(network, jax.tree.map(jnp.asarray, params), preprocessing, class_names, folder)


@dataclass(frozen=True, repr=False)
class Predictions:
    """Logits of a number of images, and what follows from them; `print` tells them, a notebook shows the pictures."""

    logits: Float32[np.ndarray, "n k"]
    class_names: tuple[str, ...]
    temperature: float | None = None
    """what `calibrated` divides the logits by; None where it is not known"""
    warnings: tuple[tuple[str, ...], ...] = ()
    """what is odd about each image, in plain sentences; empty where nobody looked"""
    images: UInt8[np.ndarray, "n h w 3"] | None = field(default=None, compare=False)
    """the images as the network sees them; None where nobody kept them"""

    def __len__(self) -> int:
        return len(self.logits)

    def __str__(self) -> str:
        from jaxcam.maps.answers import answer_lines

        return answer_lines(self)

    def __repr__(self) -> str:
        return f"<Predictions of {len(self)} images, {len(self.class_names)} classes>"

    def show(self, truth: Sequence[str] = (), **options: Any) -> Any:
        """The images with their answers as a PIL image, which notebooks display; elsewhere `.show()` or `.save(...)`.

        `truth` are the right classes, where they are known; `options` those of `jaxcam.maps.answers.answers_panel`
        (`columns`, `width`, `limit`, `classes`). Raises `UserError` where the images were not kept.
        """
        from PIL import Image

        from jaxcam.maps.answers import answers_panel

        return Image.fromarray(answers_panel(self, truth=truth, **options))

    def _repr_png_(self) -> bytes | None:
        from jaxcam.maps.answers import answers_panel
        from jaxcam.maps.render import encode

        return None if self.images is None or not len(self.images) else encode(answers_panel(self), "png")

    @cached_property
    def probabilities(self) -> Float32[np.ndarray, "n k"]:
        """Softmax of the logits."""
        shifted = np.exp(self.logits - self.logits.max(1, keepdims=True))
        return shifted / shifted.sum(1, keepdims=True)

    @cached_property
    def calibrated(self) -> Float32[np.ndarray, "n k"] | None:
        """Softmax of the logits divided by the temperature (the same classes win); None without a temperature."""
        if self.temperature is None:
            return None
        return Predictions(self.logits / np.float32(self.temperature), self.class_names).probabilities

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Name of the most probable class of each image."""
        return tuple(self.class_names[i] for i in self.logits.argmax(1))


def load(run: str | Path) -> Classifier:
    """The classifier of a run folder (or of a `classifier/` folder itself)."""
    folder = Path(run)
    return Classifier.load(folder / "classifier" if (folder / "classifier").is_dir() else folder)


def tupled(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's lists as tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def head_from(value: Any) -> Any:
    """A head as `describe` wrote it."""
    return Head(**tupled(value)) if isinstance(value, dict) else value
