"""Maps of images in memory: what `Classifier.explain` gives."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, Num, UInt8

from jaxcam import devices
from jaxcam.classifier import Classifier
from jaxcam.errors import UserError
from jaxcam.maps.options import MethodOptions
from jaxcam.maps.program import compiled_program, surroundings
from jaxcam.maps.request import Request
from jaxcam.maps.sample import COLOUR_SAMPLE, mean_colour, spread


@dataclass(frozen=True, eq=False)
class Explanation(Mapping[str, np.ndarray]):
    """Maps by method, float32 (n, h, w) or (n, t, h, w), with the images they are of.

    A mapping: `explanation["grad_cam"]`. In a notebook it shows itself, `show()` does so with other colours, and
    `picture()` gives the same as pixels.
    """

    maps: Mapping[str, Num[np.ndarray, "n ..."]]
    images: UInt8[np.ndarray, "n h w 3"]
    """as the network sees them"""
    class_names: tuple[str, ...]
    logits: Float32[np.ndarray, "n k"]
    targets: Int[np.ndarray, "n t"]
    """class of each map"""
    scores: Float32[np.ndarray, "n t"]
    flags: Mapping[str, UInt8[np.ndarray, "n t"]]
    """by method; see `jaxcam.maps.layout.FLAG_WORDS`"""
    request: Request
    """what was asked for"""
    numbers: Mapping[str, Float32[np.ndarray, "n t"]]
    """what some methods tell beside their maps: `integrated_gradients_error`, `lime_stability`, ..."""

    def __getitem__(self, name: str) -> np.ndarray:
        return self.maps[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.maps)

    def __len__(self) -> int:
        return len(self.maps)

    def picture(self, **options: Any) -> UInt8[np.ndarray, "h w 3"]:
        """All maps over their images, a row an image; options as in `jaxcam.maps.panels.panel`."""
        from jaxcam.maps.panels import explanation_panel
        from jaxcam.maps.shown import as_places

        settings, size = asdict(self.request.options), self.images.shape[1:3]
        drawn = {s.name: as_places(self.maps[s.name], s.method.name, size, settings) for s in self.request.specs()}
        return explanation_panel(replace(self, maps=drawn), **options)

    def show(self, **options: Any) -> Any:
        """The picture as a PIL image, which notebooks display; elsewhere call its `.show()` or `.save(...)`."""
        from PIL import Image

        return Image.fromarray(self.picture(**options))

    def _repr_png_(self) -> bytes:
        from jaxcam.maps.render import encode

        return encode(self.picture(), "png")


def explain_images(
    classifier: Classifier,
    pixels: UInt8[np.ndarray, "n h w 3"],
    *,
    methods: tuple[str, ...],
    targets: Any = "predicted",
    stage: str | Sequence[str] | None = None,
    batch_size: int = 32,
    **options: Any,
) -> Explanation:
    """Maps of images that already have the classifier's size.

    `targets`: the words of `jaxcam.maps.targets` (a string or several), or class numbers (n,) or (n, t). `options` are
    the fields of `Request` (`score`, `fuse`) and of `MethodOptions` (`window`, `steps`, ...). Raises `UserError` for
    what the classifier cannot give.
    """
    # In memory nothing is gained by half precision.
    request, labels = requested(classifier, len(pixels), methods, targets, stage, {"dtype": "float32", **options})
    request = request.checked(classifier)
    specs, classes = request.specs(), len(classifier.class_names)
    sample = pixels[spread(len(pixels), COLOUR_SAMPLE)]
    chosen = spread(len(pixels), request.options.references)
    around = surroundings(
        request,
        mean=mean_colour(sample) if len(sample) else None,
        references=pixels[chosen] if "expected_gradients" in methods else None,
    )
    mesh = devices.own_mesh()
    program = compiled_program(classifier, request)
    size = devices.padded(min(batch_size, max(1, len(pixels))), on=mesh)
    params, around = devices.replicate((classifier.params, around), on=mesh)
    found: dict[str, list[np.ndarray]] = {}
    for first in range(0, max(1, len(pixels)), size):
        part = (pixels[first : first + size], labels[first : first + size])
        padded = devices.shard(tuple(devices.pad_rows(array, size) for array in part), on=mesh)
        for name, values in program(params, *padded, around).items():
            found.setdefault(name, []).append(np.asarray(values)[: len(part[0])])
    arrays = {name: np.concatenate(values) for name, values in found.items()}
    return Explanation(
        maps={spec.name: arrays[spec.name].astype(np.float32) for spec in specs},
        images=pixels,
        class_names=classifier.class_names,
        logits=arrays["logits"].reshape(-1, classes),
        targets=arrays["targets"],
        scores=arrays["scores"],
        flags={spec.name: arrays["flags"][:, number] for number, spec in enumerate(specs)},
        request=request,
        numbers={f"{s.name}_{number}": arrays[f"{s.name}_{number}"] for s in specs for number in s.method.numbers},
    )


def requested(
    classifier: Classifier,
    count: int,
    methods: tuple[str, ...],
    targets: Any,
    stage: str | Sequence[str] | None,
    options: Mapping[str, Any],
    *,
    labelled: bool = False,
) -> tuple[Request, Int[np.ndarray, "n ..."]]:
    """The request that the arguments make, and the class numbers that come with the images.

    `labelled`: images come with labels, so that `true` is a target.
    """
    own = {field.name for field in fields(MethodOptions)}
    more = {"score", "fuse", "dtype"}
    unknown = set(options) - own - more
    if unknown:
        raise UserError(f"unknown option {min(unknown)!r}; there are: {', '.join(sorted(own | more))}")
    request = Request(
        methods=methods,
        stage=stage if stage is None or isinstance(stage, str) else tuple(stage),
        options=MethodOptions(**{name: value for name, value in options.items() if name in own}),
        **{name: value for name, value in options.items() if name in more},
    )
    nothing = np.full(count, -1, np.int32)
    if isinstance(targets, str) or (isinstance(targets, Sequence) and targets and isinstance(targets[0], str)):
        words = targets if isinstance(targets, str) else ",".join(targets)
        chosen = replace(request, targets=words)
        if not labelled and chosen.plan(classifier.class_names).needs_labels:
            raise UserError(f"targets {words!r} needs labels; pass the class numbers as targets")
        return chosen, nothing
    numbers, classes = np.asarray(targets), len(classifier.class_names)
    good = (
        numbers.dtype.kind in "iu" and numbers.ndim in (1, 2) and len(numbers) == count and 0 not in numbers.shape[1:]
    )
    if not good or not ((numbers >= 0) & (numbers < classes)).all():
        raise UserError(
            f"targets must be {count} class numbers in 0..{classes - 1}, or {count} rows of such, got {targets}"
        )
    given = numbers.shape[1] if numbers.ndim == 2 else 0
    return replace(request, given=given), numbers.astype(np.int32)
