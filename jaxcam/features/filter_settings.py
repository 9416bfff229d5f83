"""How filter patterns are made; without JAX, for the command's help."""

import math
from dataclasses import dataclass
from typing import Literal

from jaxcam.errors import UserError


@dataclass(frozen=True, kw_only=True)
class FilterSettings:
    """How patterns are made."""

    recipe: Literal["fourier", "book"] = "fourier"
    """fourier: Fourier images seen in changing views (Olah et al., 2017); book: plain ascent (Chollet, 2017)"""
    size: tuple[int, int] | None = None
    """height and width of a pattern; None: 128x128 (fourier: down to 32x32, drawn larger, for the first stages), or the
    network's own where it takes no other"""
    steps: int | None = None
    """None: 128, and 40 for the book's"""
    seed: int = 0
    """of the noise and of the views"""
    learning_rate: float = 0.05
    """fourier: Adam's"""
    step_size: float = 1.0
    """book: of the normalised gradient"""
    shift: float | None = None
    """fourier: pixels that the views are shifted by, at most; None: up to 8, see `views`"""
    scale: float | None = None
    """fourier: share that the views are scaled by, at most; None: up to 0.1, see `views`"""
    degrees: float | None = None
    """fourier: angle that the views are turned by, at most; None: up to 10, see `views`"""
    smooth: float | None = None
    """fourier: weight of total variation; None: 0.1"""
    input: Literal["auto", "raw", "pixels"] = "auto"
    """book: give 128..148 to the network raw, or as a picture's pixels; auto: raw where pixels are not scaled"""
    at_once: int | None = None
    """patterns that are worked on together; None: by memory"""

    def __post_init__(self) -> None:
        for name, low in (("steps", 1), ("at_once", 1)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise UserError(f"--{name.replace('_', '-')} is {value}; it must be at least {low}")
        if self.size is not None and min(self.size) < 1:
            raise UserError(f"--size is {self.size}; both sides must be at least 1")
        if not 0 <= (self.scale or 0) < 1 or not 0 <= (self.degrees or 0) < 90:
            raise UserError(f"--scale is {self.scale}, --degrees {self.degrees}; they lie in 0..1 and 0..90")

    def views(self, shrunk: float) -> dict[str, float]:
        """`shift`, `scale`, `degrees` and `smooth` for a stage whose maps are `shrunk` times smaller than the image.

        Edges of one or two pixels, which the first stages look for, do not survive being shifted, turned and scaled.
        """
        strength = min(1.0, max(0.0, (math.log2(max(1.0, shrunk)) - 1) / 2))
        usual = {"shift": 8.0, "scale": 0.1, "degrees": 10.0, "smooth": 0.1}
        return {
            name: (value if name == "smooth" else strength * value)
            if getattr(self, name) is None
            else getattr(self, name)
            for name, value in usual.items()
        }
