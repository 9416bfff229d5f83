"""What can be asked of the judgement of maps. Imports nothing heavy: the help needs it."""

from dataclasses import dataclass

from jaxcam.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Judging:
    """How maps are judged."""

    images: int = 64
    """images that are judged, evenly spread over the set; the cost is about 90 forwards for each map"""
    steps: int = 20
    """parts in which pixels are removed (deletion) and shown (insertion)"""
    shares: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    """shares of the pixels that ROAD removes"""
    squares: int = 32
    """hidden squares of the infidelity"""
    squares_across: int = 5
    """so many of them fit side by side into the shorter side"""
    tolerance: float = 15 / 224
    """pointing game: pixels beside the mask that count, as a share of the shorter side"""
    again: int = 16
    """images whose maps are made again, from changed images and random weights; 0: none"""
    samples: int = 6
    """changed copies of each image"""
    levels: float = 5.0
    """largest change of a pixel's value in them, of 255"""
    costly: float = 60.0
    """methods above so many forwards an image are not made again"""
    resamples: int = 2000
    """of the bootstrap for the intervals"""
    batch_size: int = 16
    """images a step"""
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"images": 1, "steps": 1, "squares": 1, "squares_across": 1, "again": 0, "samples": 1}
        for name, low in (least | {"resamples": 1, "batch_size": 1, "seed": 0}).items():
            if getattr(self, name) < low:
                raise UserError(f"--judging.{name.replace('_', '-')} is {getattr(self, name)}; at least {low}")
        if not self.shares or not all(0 < share < 1 for share in self.shares):
            raise UserError(f"--judging.shares are {self.shares}; each must lie between 0 and 1")
        if not (0 <= self.tolerance < 1 and 0.5 <= self.levels <= 255):
            raise UserError(
                f"got --judging.tolerance {self.tolerance} and --judging.levels {self.levels}; "
                "they must lie in 0..1 and in 0.5..255"
            )
