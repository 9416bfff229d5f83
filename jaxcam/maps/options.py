"""What can be asked of the map methods: their names and their settings. Imports nothing heavy: the help needs it."""

import re
from dataclasses import dataclass
from typing import Literal

from jaxcam.errors import UserError

METHODS = (
    "cam",
    "grad_cam",
    "grad_cam_pp",
    "hires_cam",
    "xgrad_cam",
    "layer_cam",
    "eigen_cam",
    "eigen_grad_cam",
    "ablation_cam",
    "finer_cam",
    "score_cam",
    "guided_grad_cam",
    "saliency",
    "input_x_gradient",
    "guided_backprop",
    "deconvnet",
    "smooth_grad",
    "smooth_grad_squared",
    "var_grad",
    "integrated_gradients",
    "expected_gradients",
    "relevance",
    "deep_lift",
    "occlusion",
    "rise",
    "lime",
    "kernel_shap",
)
"""names of the methods, in the order of the help; `jaxcam.maps.methods` holds what belongs to each"""
FILLS = ("mean", "black", "grey", "white", "blur")


@dataclass(frozen=True, kw_only=True)
class MethodOptions:
    """Settings of single methods; the others take no notice of them."""

    window: tuple[int, int] = (32, 32)
    """occlusion: height and width of the window, in pixels of the network's input"""
    stride: tuple[int, int] = (16, 16)
    """occlusion: steps of the window"""
    fill: str = "mean"
    """occlusion, lime, kernel_shap, score_cam, rise, integrated_gradients, deep_lift: what stands for nothing there:
    mean (the set's mean colour), black, grey, white, blur (the image itself, blurred), or a colour R,G,B in 0..255"""
    noise: float = 0.15
    """smooth_grad, smooth_grad_squared, var_grad: standard deviation, as a share of each image's range"""
    noise_samples: int = 50
    """smooth_grad, smooth_grad_squared, var_grad: noisy copies of each image"""
    steps: int = 50
    """integrated_gradients: points of the path"""
    references: int = 16
    """expected_gradients: pictures of the set that stand for nothing there"""
    rise_masks: int = 2000
    """rise: random masks"""
    lime_samples: int = 1000
    """lime, kernel_shap: switched copies of each image"""
    segments: int = 49
    """lime, kernel_shap: parts that an image is cut into (a grid of about square ones)"""
    reduce: Literal["auto", "sum", "max"] = "auto"
    """methods that give a value to every input channel: sum over the channels, largest size of a channel, or what the
    method's paper does"""
    seed: int = 0
    """methods with chance in them: the same seed gives the same maps"""

    def __post_init__(self) -> None:
        least = ("noise_samples", "steps", "references", "rise_masks", "lime_samples", "segments")
        for name in least:
            if getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1")
        for name in ("window", "stride"):
            if min(getattr(self, name)) < 1:
                raise UserError(f"--{name} is {getattr(self, name)}; both numbers must be at least 1")
        if not 0 < self.noise < float("inf"):
            raise UserError(f"--noise is {self.noise}; it must be above 0")
        if self.seed < 0:
            raise UserError(f"--seed is {self.seed}; it must be at least 0")
        fill_colour(self.fill)


def fill_colour(fill: str) -> tuple[int, int, int] | None:
    """The colour 0..255 that a fill names; None for `mean` and `blur`, which depend on the images.

    >>> fill_colour("255,0,16")
    (255, 0, 16)
    """
    known = {"black": 0, "grey": 127, "white": 255}
    if fill in known:
        return (known[fill],) * 3
    if fill in FILLS:
        return None
    parts = re.fullmatch(r"(\d{1,3}),(\d{1,3}),(\d{1,3})", fill)
    if parts is None or max(map(int, parts.groups())) > 255:
        raise UserError(f"unknown fill {fill!r}; give one of {', '.join(FILLS)}, or a colour such as 255,0,0")
    red, green, blue = map(int, parts.groups())
    return red, green, blue
