"""The model layer as one program a batch: maps, maps of random heads, and the answers to every changed copy.

The network stands in the program twice: for the maps, and inside a loop over the arms (the kinds of changed copies), so
that it compiles in a bounded time and one batch of copies is in memory at a time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from flax.linen import relu
from jaxtyping import Array, Float32, Int32, UInt8

from jaxcam.audit.model import variants
from jaxcam.classifier import Classifier
from jaxcam.maps.methods import Scene
from jaxcam.maps.program import Surroundings, explain_program, raw_maps
from jaxcam.maps.request import Request
from jaxcam.maps.stages import cam_stage
from jaxcam.networks import NetworkSpec
from jaxcam.preprocessing import Preprocessing

GRID = 32
"""largest side of the maps that the tests work with; finer ones are averaged"""
HEADS = 10
"""random heads"""
HEAD_PARAMETERS = 4_000_000
"""of a larger head only the last layer is drawn anew"""
DRAWS = 3
"""moved masks a picture"""
PARTNERS = 2
"""pictures of its own class, and of other classes, whose border a picture gets"""
IMAGENET = (123.68, 116.779, 103.939)
ASIDE = (
    "middle",
    *(f"moved_{i}" for i in range(DRAWS)),
    "coldest",
    "shuffled",
    "over_255",
    "times_255",
    "bgr",
    "mean_subtracted",
)
"""asked of a part of a large sample: shown beside a value, or looking for a difference so large that a part shows it"""
ARMS = (
    "ring",
    *(f"same_{i}" for i in range(PARTNERS)),
    *(f"other_{i}" for i in range(PARTNERS)),
    "hottest",
    *ASIDE,
)
"""those asked of every picture come first"""
STATIC_ARMS = ("scene_own", "scene_other")
"""the picture's new part before its own class' median picture, and before another class'"""


@dataclass(frozen=True)
class Settings:
    """What decides the program besides the network."""

    request: Request
    """one method, for the predicted class; checked"""
    heads: tuple[str, ...] = ()
    """stages that random heads draw anew; empty: no random heads"""
    start: str = ""
    """the stage below them, whose values they act on"""
    arms: tuple[str, ...] = ARMS
    seed: int = 0

    @property
    def everywhere(self) -> int:
        """How many arms, the first ones, every picture is asked."""
        return sum(arm not in ASIDE for arm in self.arms)


def settings_for(
    classifier: Classifier, method: str, stage: str | None, seed: int, arms: tuple[str, ...] = ARMS
) -> Settings:
    """The settings of a classifier's audit; `method` auto is CAM where it is defined, else Grad-CAM."""
    if method == "auto":
        method = "cam" if has_cam(classifier) else "grad_cam"
    request = Request(methods=(method,), stage=stage, targets="predicted", dtype="float32").checked(classifier)
    spec = request.specs()[0]
    if spec.method.family != "layer" or not spec.method.per_class:
        return Settings(request, arms=arms, seed=seed)
    start = classifier.network.base_names()[-1] if method == "cam" else spec.stages[0]
    names = classifier.chain.names
    after = [name for name in names[names.index(start) + 1 :] if name in classifier.params]
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(classifier.params[name])) for name in after]
    if sum(sizes) > HEAD_PARAMETERS:
        after = after[-1:]
    return Settings(request, tuple(after), start, arms, seed)


def has_cam(classifier: Classifier) -> bool:
    """Whether the network ends as CAM needs it."""
    from jaxcam.errors import UserError

    try:
        cam_stage(classifier)
    except UserError:
        return False
    return True


@dataclass(frozen=True)
class FromFeatures(Scene):
    """A batch whose values at one stage are known already."""

    start: str = ""
    features: Any = None

    def activations(self, stage: str) -> Array:
        """What a stage after `start` gives."""
        if stage == self.start:
            return self.features
        return self.classifier.chain.apply(self.params, self.features, start=self.start, stop=stage)


def random_heads(classifier: Classifier, settings: Settings) -> Mapping[str, Any] | None:
    """Fresh parameters of the head's stages, with an axis of `HEADS` in front; None without random heads."""
    if not settings.heads:
        return None
    chain, shapes = classifier.chain, classifier.chain.shapes(classifier.network.shape)
    names, stages = chain.names, dict(chain.stages)

    def draw(key):
        found = {}
        for name in settings.heads:
            place = names.index(name)
            own = jnp.zeros(shapes[names[place - 1]], jnp.float32)
            found[name] = dict(stages[name].init(jax.random.fold_in(key, place), own)["params"])
        return found

    keys = jax.random.split(jax.random.key(settings.seed), HEADS)
    return jax.jit(lambda keys: jax.lax.map(draw, keys))(keys)


def audit_program(classifier: Classifier, settings: Settings) -> Callable[..., dict[str, Array]]:
    """`program(params, heads, images, labels, rows, same, other, scenes, colour, arms)` for a batch.

    images uint8 (n, h, w, 3), labels and rows (n,), same and other uint8 (n, PARTNERS, h, w, 3), scenes uint8
    (n, 2, h, w, 3) or None, colour (3,). Gives `logits` (n, k), `maps` (n, gh, gw) from 0 up, `head_maps`
    (n, HEADS, gh, gw), and for every arm `predicted` (n, arms) and `probability` (n, arms) of the label and `kept`
    (n, arms) of the class predicted at first. `arms` () is how many of the arms are asked, by default all; the answers
    to the others are -1 and NaN.
    """
    explain = explain_program(classifier, settings.request)
    spec = settings.request.specs()[0]
    size = classifier.preprocessing.size

    def program(params, heads, images, labels, rows, same, other, scenes, colour, arms=None):
        colour = jnp.asarray(colour, jnp.float32)
        explained = explain(params, images, labels, Surroundings(colour))
        logits = explained["logits"]
        best = logits.argmax(-1).astype(jnp.int32)
        maps = as_heat(explained[spec.name])
        pictures = images.astype(jnp.float32)
        answers = arm_answers(params, pictures, maps, rows, same, other, scenes, colour, labels, best, arms)
        found = {"logits": logits, "maps": maps, **answers}
        return found | ({"head_maps": maps_of_heads(params, heads, images, best)} if heads is not None else {})

    def arm_answers(params, pictures, maps, rows, same, other, scenes, colour, labels, best, arms):
        builders = arm_builders(settings, size, pictures, maps, rows, same, other, scenes, colour)
        label = jnp.clip(labels, 0, None)[:, None]

        def one(arm):
            changed = jax.lax.switch(arm, builders)
            logits = classifier.chain.apply(params, classifier.preprocessing.normalise(changed)).astype(jnp.float32)
            shares = jax.nn.softmax(logits)
            return {
                "predicted": logits.argmax(-1).astype(jnp.int32),
                "probability": jnp.take_along_axis(shares, label, 1)[:, 0],
                "kept": jnp.take_along_axis(shares, best[:, None], 1)[:, 0],
            }

        unasked = jnp.full((len(builders), len(labels)), jnp.nan, jnp.float32)
        answers = {"predicted": jnp.full(unasked.shape, -1, jnp.int32), "probability": unasked, "kept": unasked}
        add = lambda arm, found: {name: found[name].at[arm].set(value) for name, value in one(arm).items()}
        # Not a map over all arms: one program serves pictures that are asked all of them and those asked some.
        last = jnp.asarray(len(builders) if arms is None else arms, jnp.int32)
        answers = jax.lax.fori_loop(jnp.int32(0), last, add, answers)
        return {name: values.T for name, values in answers.items()}

    def maps_of_heads(params, heads, images, best):
        inputs = classifier.preprocessing.normalise(images)
        features = classifier.chain.apply(params, inputs, stop=settings.start)

        def one(head):
            scene = FromFeatures(
                classifier=classifier,
                params={**params, **head},
                images=images,
                targets=best[:, None],
                options=settings.request.options,
                key=jax.random.key(settings.seed),
                colour=jnp.zeros(3),
                start=settings.start,
                features=features,
            )
            return as_heat(raw_maps(spec, scene, settings.request)[0][:, 0])

        return jnp.moveaxis(jax.lax.map(one, heads), 0, 1)

    return program


def as_heat(maps: Float32[Array, "n h w"]) -> Float32[Array, "n gh gw"]:
    """A method's maps as heat: from 0 up, on a grid that is not too fine; what is not a number counts as none."""
    maps = jnp.nan_to_num(maps.astype(jnp.float32), nan=0.0, posinf=0.0, neginf=0.0)
    return variants.pooled(relu(maps), GRID)


def arm_builders(
    settings: Settings,
    size: tuple[int, int],
    pictures: Float32[Array, "n h w 3"],
    maps: Float32[Array, "n gh gw"],
    rows: Int32[Array, " n"],
    same: UInt8[Array, "n p h w 3"],
    other: UInt8[Array, "n p h w 3"],
    scenes: UInt8[Array, "n q h w 3"] | None,
    colour: Float32[Array, " 3"],
) -> list[Callable[[], Array]]:
    """For each arm a function that makes the batch of changed copies."""
    box = jnp.asarray(variants.middle(size))
    keys = lambda use: variants.keys_of(rows, settings.seed, use)
    ties = jax.random.key(settings.seed)
    hot = variants.hottest(maps, ties)

    def hide(cells: Array) -> Array:
        return variants.mixed(pictures, colour, variants.as_mask(cells, size))

    def hide_moved(draw: int) -> Array:
        return hide(variants.moved(hot, keys(2 + draw)))

    def with_border(lenders: Array, draw: int) -> Array:
        return variants.mixed(lenders[:, draw].astype(jnp.float32), pictures, box)

    def before_scene(place: int) -> Array:
        if scenes is None:
            raise ValueError("arms before other scenes need the scenes")
        own, scene = (scenes[:, at].astype(jnp.float32) for at in (0, place))
        return variants.before_scene(pictures, own, scene)

    table: dict[str, Callable[[], Array]] = {
        "ring": lambda: variants.mixed(pictures, colour, box),
        "middle": lambda: variants.mixed(pictures, colour, 1 - box),
        "hottest": lambda: hide(hot),
        "coldest": lambda: hide(variants.hottest(-maps, ties)),
        "shuffled": lambda: variants.shuffled_tiles(pictures, keys(1)),
        "over_255": lambda: pictures / 255,
        "times_255": lambda: pictures * 255,
        "bgr": lambda: pictures[..., ::-1],
        "mean_subtracted": lambda: pictures - jnp.asarray(IMAGENET, jnp.float32),
    }
    table |= {f"same_{i}": partial(with_border, same, i) for i in range(PARTNERS)}
    table |= {f"other_{i}": partial(with_border, other, i) for i in range(PARTNERS)}
    table |= {f"moved_{i}": partial(hide_moved, i) for i in range(DRAWS)}
    table |= {name: partial(before_scene, place) for place, name in enumerate(STATIC_ARMS)}
    return [table[name] for name in settings.arms]


def compiled_program(classifier: Classifier, settings: Settings) -> Any:
    """The jitted program, the same object for the same network and settings."""
    return _compiled(classifier.network, classifier.preprocessing, classifier.class_names, settings)


@lru_cache(maxsize=16)
def _compiled(network: NetworkSpec, preprocessing: Preprocessing, class_names: tuple[str, ...], settings: Settings):
    names_only = Classifier(network, network.chain().abstract(network.shape), preprocessing, class_names)
    return jax.jit(audit_program(names_only, settings))


def with_scenes(settings: Settings) -> Settings:
    """The settings with the arms that need class medians."""
    return replace(settings, arms=(*STATIC_ARMS, *settings.arms))


def compiled_show(classifier: Classifier, settings: Settings) -> Any:
    """The jitted `(arm, images, maps, rows, same, other, scenes, colour) -> uint8 pictures` of one arm."""
    return _show(classifier.preprocessing.size, settings)


@lru_cache(maxsize=16)
def _show(size: tuple[int, int], settings: Settings) -> Any:
    def show(arm, images, maps, rows, same, other, scenes, colour):
        pictures = images.astype(jnp.float32)
        builders = arm_builders(settings, size, pictures, maps, rows, same, other, scenes, colour)
        return jnp.clip(jnp.round(jax.lax.switch(arm, builders)), 0, 255).astype(jnp.uint8)

    return jax.jit(show)
