"""The judgements of maps as a table, and the compiled program that makes all of them for one map an image."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int, UInt8

from jaxcam.attribution.judging import complexity, localisation
from jaxcam.attribution.judging.faithfulness import confidence_change, deletion, insertion
from jaxcam.attribution.judging.ranking import enlarged, orderable
from jaxcam.attribution.judging.road import road
from jaxcam.attribution.judging.robustness import infidelity, squares
from jaxcam.classifier import Classifier
from jaxcam.maps.judging import Judging

Better = Literal["higher", "lower", "neither"]
Needs = Literal["network", "mask", "map", "again"]


@dataclass(frozen=True)
class Measure:
    """One column of the table."""

    name: str
    better: Better
    needs: Needs
    """the network (forwards), masks, nothing but the map, or the map made again from changed images or weights"""
    about: str
    share: bool = False
    """of single images it is 0 or 1"""


MEASURES = (
    Measure("deletion", "lower", "network", "area under the probability while the hottest pixels go (Petsiuk 2018)"),
    Measure("insertion", "higher", "network", "area while the hottest pixels come into a blurred image (Petsiuk 2018)"),
    Measure("road", "higher", "network", "(least - most relevant pixels removed) / 2 with imputation (Rong 2022)"),
    Measure("average_drop", "lower", "network", "share of the probability lost behind the map (Chattopadhay 2018)"),
    Measure("increase", "higher", "network", "share of images more probable behind the map (Chattopadhay 2018)", True),
    Measure("infidelity", "lower", "network", "share of the drops by hidden squares not foretold (Yeh 2019)"),
    Measure("energy", "higher", "mask", "share of the heat in the mask (Wang 2020; relevance mass of Arras 2022)"),
    Measure("rank", "higher", "mask", "share inside of as many top pixels as the mask has (Arras 2022)"),
    Measure("top_5_percent", "higher", "mask", "share of the hottest 5 % of the pixels in the mask (Theiner 2021)"),
    Measure("pointing", "higher", "mask", "share of images whose hottest pixel is on the mask (Zhang 2018)", True),
    Measure("gini", "neither", "map", "0 even, towards 1 one spot (Chalasani 2020)"),
    Measure("entropy", "neither", "map", "0 one spot, 1 even (Bhatt 2020)"),
    Measure("sensitivity", "lower", "again", "largest relative change under changes nobody sees (Yeh 2019)"),
    Measure("random_top", "lower", "again", "rank correlation with the map of a random last layer (Adebayo 2018)"),
    Measure("random_all", "lower", "again", "rank correlation with the map of random weights (Adebayo 2018)"),
)
BASELINES = ("random", "centre", "edges")
"""maps that know nothing of the network"""
BY_NAME = {measure.name: measure for measure in MEASURES}


def map_program(classifier: Classifier, settings: Judging) -> Callable[..., dict[str, Float32[Array, " n"]]]:
    """`program(params, images, maps, targets, colour, masks)`: everything but `again`, by measure, one number an image.

    `images` uint8 (n, h, w, 3), `maps` (n, h, w) of the images' size, `targets` (n,), `colour` RGB 0..255 that stands
    for nothing there, `masks` (n, h, w) or None. One program for every method.
    """
    size = classifier.preprocessing.size
    side = max(1, min(size) // settings.squares_across)

    def program(
        params: Any,
        images: UInt8[Array, "n h w 3"],
        maps: Float[Array, "n h w"],
        targets: Int[Array, " n"],
        colour: Float[Array, " 3"],
        masks: Bool[Array, "n h w"] | None = None,
    ) -> dict[str, Float32[Array, " n"]]:
        normalise = classifier.preprocessing.normalise
        inputs, fill = normalise(images), normalise(colour[None, None, None])[0, 0, 0]
        fn = lambda x: classifier.chain.apply(params, x).astype(jnp.float32)
        key = jax.random.key(settings.seed)
        maps = jnp.where(jnp.isfinite(maps).all((1, 2), keepdims=True), maps.astype(jnp.float32), jnp.nan)
        change = confidence_change(fn, inputs, maps, targets, fill=fill)
        found = {
            "deletion": deletion(fn, inputs, maps, targets, steps=settings.steps, fill=fill, key=key).area,
            "insertion": insertion(fn, inputs, maps, targets, steps=settings.steps, fill="blur", key=key).area,
            "road": road(fn, inputs, maps, targets, key=key, shares=settings.shares).combined,
            "average_drop": change.drop,
            "increase": change.increase,
            "infidelity": infidelity(
                fn,
                inputs,
                maps,
                targets,
                key=key,
                perturb=squares((side, side), fill),
                samples=settings.squares,
                scale="share",
                score="probability",
            ),
            "gini": complexity.gini(maps),
            "entropy": complexity.entropy(maps),
        }
        # A map that is the same everywhere foretells nothing, and no factor makes it.
        found["infidelity"] = jnp.where(orderable(maps), found["infidelity"], jnp.nan)
        if masks is not None:
            tolerance = settings.tolerance * min(size)
            found |= {
                "energy": localisation.relevance_mass(maps, masks),
                "rank": localisation.relevance_rank(maps, masks),
                "top_5_percent": localisation.top_k_intersection(maps, masks, max(1, size[0] * size[1] // 20)),
                "pointing": localisation.pointing_game(maps, masks, tolerance=tolerance),
            }
        return found

    return program


@lru_cache(maxsize=8)
def _compiled(network, preprocessing, class_names, settings: Judging) -> Any:
    names_only = Classifier(network, network.chain().abstract(network.shape), preprocessing, class_names)
    return jax.jit(map_program(names_only, settings))


def compiled_map_program(classifier: Classifier, settings: Judging) -> Any:
    """The jitted `map_program`, the same object for the same network and settings."""
    return _compiled(classifier.network, classifier.preprocessing, classifier.class_names, settings)


def baseline_maps(
    images: UInt8[Array, "n h w 3"], rows: Int[Array, " n"], seed: int
) -> dict[str, Float32[Array, "n h w"]]:
    """Maps that know nothing of the network: what a method has to beat.

    `random` is even noise on a 14 x 14 grid, another for each row of the set; `centre` a Gaussian in the middle with a
    quarter of the side; `edges` the size of the brightness' gradient (Sobel).
    """
    height, width = images.shape[1:3]
    keys = jax.vmap(lambda row: jax.random.fold_in(jax.random.key(seed), row))(rows)
    noise = jax.vmap(lambda key: jax.random.uniform(key, (14, 14)))(keys)
    down, across = (jnp.linspace(-0.5, 0.5, length) * 4 for length in (height, width))
    middle = jnp.exp(-(down[:, None] ** 2 + across**2) / 2)
    grey = jnp.pad(images.astype(jnp.float32).mean(-1), ((0, 0), (1, 1), (1, 1)), mode="edge")
    smooth_rows = grey[:, :-2] + 2 * grey[:, 1:-1] + grey[:, 2:]
    smooth_columns = grey[:, :, :-2] + 2 * grey[:, :, 1:-1] + grey[:, :, 2:]
    slopes = smooth_rows[:, :, 2:] - smooth_rows[:, :, :-2], smooth_columns[:, 2:] - smooth_columns[:, :-2]
    return {
        "random": enlarged(noise, (height, width)),
        "centre": jnp.broadcast_to(middle, images.shape[:3]),
        "edges": jnp.hypot(*slopes),
    }
