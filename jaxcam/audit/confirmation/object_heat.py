"""C1: how much of the heat lies on the object. Good maps do not clear a model; bad ones are one more sign."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float32

from jaxcam.attribution import heat_in_mask, pointing_game
from jaxcam.audit.confirmation.evidence import SHOWN, Evidence, Objects, parts
from jaxcam.audit.confirmation.shares import percent
from jaxcam.audit.signals import Figure, Signal, not_applicable
from jaxcam.audit.thresholds import THRESHOLDS
from jaxcam.classifier import Classifier
from jaxcam.errors import UserError
from jaxcam.maps.memory import explain_images
from jaxcam.maps.stages import cam_stage
from jaxcam.progress import Progress

NAME = "heat on the object"
TOLERANCE = 15 / 224
"""of the shorter side, that a map's peak may lie beside the object (pointing game, Zhang et al. 2018)"""
MOST = 256
"""maps that are looked at; each costs a forward pass, and a backward one where the head is no CAM head"""


def heat_on_object(evidence: Evidence, objects: Objects | str, *, progress: Progress) -> Signal:
    """Share of the heat inside of the masks over the masks' share of the picture: 1 is what an even map has."""
    if isinstance(objects, str):
        return not_applicable("C1", NAME, "confirm", objects)
    options, classifier = evidence.subject.options, evidence.subject.classifier
    places = np.flatnonzero(objects.known)
    # An even share of the classes and of the set: the sample is in the set's order, by class.
    places = places[np.linspace(0, len(places) - 1, min(MOST, len(places))).round().astype(int)]
    progress.say(f"audit: maps of {len(places)} pictures with a mask")
    method = method_for(classifier, options.method)
    found = explain_images(
        classifier,
        evidence.sample.pixels[places],
        methods=(method,),
        stage=options.stage,
        batch_size=options.batch_size,
    )
    heat = np.maximum(next(iter(found.values())).reshape(len(places), *next(iter(found.values())).shape[-2:]), 0)
    masks = objects.masks[places]
    shares, hits = measured(heat, masks, options.batch_size)
    areas = masks.mean((1, 2))
    usable = np.isfinite(shares) & (areas > 0)
    if not usable.any():
        return not_applicable("C1", NAME, "confirm", "no map has any heat")
    lifts = shares[usable] / areas[usable]
    lift, ends = float(lifts.mean()), interval_of_mean(lifts, options.seed)
    hit = float(np.nanmean(hits)) if np.isfinite(hits).any() else None
    status, threshold = THRESHOLDS["C1"].judge(lift)
    cold = np.flatnonzero(usable)[np.argsort(lifts)[:SHOWN]]
    sentence = (
        f"{percent(float(shares[usable].mean()))} of the heat lies on the object, which covers "
        f"{percent(float(areas[usable].mean()))} of the picture: {lift:.2f} times what an even map has there."
    )
    labels = tuple(evidence.sample.paths[places[place]] for place in cold)
    return Signal(
        id="C1",
        name=NAME,
        layer="confirm",
        value=lift,
        interval=ends,
        count=int(usable.sum()),
        status=status,
        threshold=threshold,
        sentence=sentence,
        images=labels,
        details={
            "share": float(shares[usable].mean()),
            "area": float(areas[usable].mean()),
            "pointing_game": hit,
            "without_heat": int((~np.isfinite(shares)).sum()),
            "method": method,
            "objects": objects.source,
            "derived": objects.derived,
        },
        figures={
            "heat": Figure(heat[cold].astype(np.float32), "heat", labels),
            "objects": Figure(outlined(evidence.sample.pixels[places[cold]], masks[cold]), "picture", labels),
        },
    )


def method_for(classifier: Classifier, method: str) -> str:
    """The method of the maps; `auto` is CAM where the head is a CAM head, else Grad-CAM."""
    if method != "auto":
        return method
    try:
        cam_stage(classifier)
    except UserError:
        return "grad_cam"
    return "cam"


def measured(
    heat: Float[np.ndarray, "n gh gw"], masks: Bool[np.ndarray, "n h w"], batch_size: int
) -> tuple[Float32[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
    """Share of the heat in each mask, and whether the peak hits it; NaN for maps without heat."""
    tolerance = TOLERANCE * min(masks.shape[1:])
    shares, hits = [], []
    for values, mask in zip(parts(heat, batch_size), parts(masks, batch_size), strict=True):
        shares.append(np.asarray(heat_in_mask(jnp.asarray(values), jnp.asarray(mask))))
        hits.append(np.asarray(pointing_game(jnp.asarray(values), jnp.asarray(mask), tolerance=tolerance)))
    return np.concatenate(shares), np.concatenate(hits)


def interval_of_mean(values: np.ndarray, seed: int, resamples: int = 1000) -> tuple[float, float]:
    """95 % bootstrap interval of a mean."""
    generator = np.random.default_rng([seed, 0xC1])
    means = values[generator.integers(0, len(values), (resamples, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def outlined(pixels: np.ndarray, masks: Bool[np.ndarray, "n h w"]) -> np.ndarray:
    """The pictures with what is not the object at a third of its brightness."""
    return np.where(masks[..., None], pixels, pixels // 3).astype(np.uint8)
