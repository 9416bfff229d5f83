"""Maps exactly as other tools give them: when the ReLU comes, how a map is enlarged and how it is brought to 0..1.

The same raw Grad-CAM differs by up to half of its range between these tools. Numbers can be compared with a published
figure only under the figure's own convention.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
from jaxtyping import Array, Float, Float32

from jaxcam.attribution.activation.cam import grad_cam
from jaxcam.attribution.activation.pullback import Head
from jaxcam.attribution.fusion import Rescaling, rescaled
from jaxcam.attribution.resize import Rule, resize
from jaxcam.attribution.targets import Targets, probability
from jaxcam.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Convention:
    """What a tool does with a signed map at the layer's resolution, in this order."""

    relu: bool
    before: Rescaling = "none"
    rule: Rule = "bilinear"
    after: Rescaling = "none"
    eps: float = 0.0
    score: Literal["logit", "probability"] = "logit"
    """what the map explains"""


CONVENTIONS = {
    "raw": Convention(relu=False),
    "pytorch-grad-cam": Convention(relu=True, before="min-max", after="min-max", eps=1e-7),
    "captum": Convention(relu=False, rule="nearest"),
    "keras-book": Convention(relu=True, before="max"),
    "matlab": Convention(relu=True, rule="imresize", score="probability"),
}


def named(name: str) -> Convention:
    """The convention of that name; `UserError` lists the names there are."""
    if name not in CONVENTIONS:
        raise UserError(f"unknown convention {name!r}; there are: {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]


def convention(
    maps: Float[Array, "*batch h w"], name: str, size: tuple[int, int] | None = None
) -> Float32[Array, "..."]:
    """Signed maps (`relu=False`) at the layer's resolution as the named tool would give them at `size` (h, w).

    - `raw`: unchanged; enlarged half-pixel bilinear where a size is given
    - `pytorch-grad-cam` (1.5): ReLU, min-max, half-pixel bilinear, min-max again; 1e-7 in both denominators
    - `captum` (0.9): signed, nearest pixel; no rescaling
    - `keras-book` (Chollet, Deep Learning with Python, 5.4): ReLU, divided by the maximum, half-pixel bilinear. A map
      without a positive value is 0, where the book's code gives NaN
    - `matlab` (gradCAM, Deep Learning Toolbox, from its documentation): ReLU, `imresize`'s bicubic, which goes below 0;
      no rescaling. Its score is the probability: see `by_convention`

    `size=None` keeps the resolution. Works for (n, h, w) and (n, t, h, w). Cost: none to speak of.
    """
    rules = named(name)
    maps = jax.nn.relu(maps) if rules.relu else maps
    maps = rescaled(maps, rules.before, eps=rules.eps)
    maps = maps if size is None else resize(maps, size, rules.rule)
    return rescaled(maps, rules.after, eps=rules.eps)


def score_of(name: str, targets: Targets) -> Targets:
    """The targets as the named tool scores them: the classes' probabilities for `matlab`, else as they are."""
    if named(name).score == "logit" or callable(targets):
        return targets
    return probability(targets)


def by_convention(
    name: str,
    head: Head,
    activations: Float[Array, "n h w c"],
    targets: Targets,
    *,
    size: tuple[int, int] | None = None,
    method: Callable[..., Float32[Array, "n ..."]] = grad_cam,
) -> Float32[Array, "n ..."]:
    """Grad-CAM, or another `method` of its signature, as the named tool has it.

    The score, the ReLU, the enlarging and the rescaling are the tool's; see `convention`. Cost: the method's.
    """
    return convention(method(head, activations, score_of(name, targets), relu=False), name, size)
