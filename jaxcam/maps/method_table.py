"""The table of methods: one entry each, in the order of the help.

Costs are in forward passes of one image, beyond the one that all methods share; a backward pass down to the input costs
about one forward, one down to a late stage next to nothing.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxcam import attribution
from jaxcam.attribution.perturbation.occlusion import window_drops
from jaxcam.attribution.perturbation.segments import grid_segments
from jaxcam.attribution.perturbation.windows import window_grid
from jaxcam.attribution.targets import score_directions
from jaxcam.maps.methods import Facts, Method, Scene, reduced
from jaxcam.maps.options import METHODS
from jaxcam.maps.stages import cam_stage, cam_weights

HEAD = 0.01
"""forwards for one backward pass of the head"""
NOISE = ("noise", "noise_samples", "seed")


def layer(
    name: str,
    about: str,
    *,
    forwards: Callable[[Facts], float] | None = None,
    classes_only: bool = False,
) -> Method:
    """A class-activation method of `jaxcam.attribution`: (head, activations, targets) at a stage."""

    def compute(scene: Scene, stage: str) -> Array:
        function = getattr(attribution, name)
        return function(scene.head(stage), scene.activations(stage), scene.targets, relu=False)

    return Method(
        name=name,
        family="layer",
        about=about,
        compute=compute,
        forwards=forwards or (lambda facts: HEAD * facts.targets),
        grid="stage",
        relu=True,
        signed=False,
        at_stage=True,
        classes_only=classes_only,
    )


def compute_cam(scene: Scene, stage: str) -> Array:
    """CAM; of a difference of classes the difference of their maps, for CAM is linear in the class."""
    classifier = scene.classifier
    maps = scene.activations(cam_stage(classifier))
    weights = cam_weights(classifier, scene.params)
    if not callable(scene.targets):
        return attribution.cam(maps, weights, scene.targets)
    _, directions = score_directions(scene.fn(scene.inputs).astype(jnp.float32), scene.targets)
    return jnp.einsum("nhwc,ck,tnk->nthw", maps.astype(jnp.float32), weights.astype(jnp.float32), directions)


def source(
    name: str,
    about: str,
    compute: Callable[[Scene], Any],
    *,
    reduce: Literal["sum", "max"] = "max",
    forwards: Callable[[Facts], float],
    adds_up: bool = False,
    options: tuple[str, ...] = (),
) -> Method:
    """A method that gives a value to every channel of every input pixel; its maps have one a pixel.

    `adds_up`: the values should add up to a number that is known, and come with what they miss.
    """

    def maps(scene: Scene, stage: str) -> Any:
        found = compute(scene)
        if not adds_up:
            return reduced(reduce, scene, found)
        return reduced(reduce, scene, found.attributions), {"error": found.error}

    return Method(
        name=name,
        family="input",
        about=about,
        compute=maps,
        forwards=forwards,
        grid="input",
        signed=reduce == "sum",
        numbers=("error",) if adds_up else (),
        reduce=reduce,
        options=("reduce", *options),
    )


def plain(name: str, **options: Any) -> Callable[[Scene], Any]:
    """A method of `jaxcam.attribution` that takes the function, the images and the targets."""
    return lambda scene: getattr(attribution, name)(scene.fn, scene.inputs, scene.targets, **options)


def noisy(kind: Literal["mean", "squared", "variance"]) -> Callable[[Scene], Any]:
    """SmoothGrad of one kind."""
    return lambda scene: attribution.smooth_grad(
        scene.fn,
        scene.inputs,
        scene.targets,
        key=scene.key,
        samples=scene.options.noise_samples,
        noise=scene.options.noise,
        kind=kind,
    )


def integrated(scene: Scene) -> Any:
    """Integrated gradients from what stands for nothing there."""
    return attribution.integrated_gradients(
        scene.fn, scene.inputs, scene.targets, baselines=scene.fill, steps=scene.options.steps
    )


def expected(scene: Scene) -> Any:
    """Expected gradients from pictures of the set."""
    references = scene.images if scene.references is None else scene.references
    return attribution.expected_gradients(
        scene.fn,
        scene.inputs,
        scene.targets,
        key=scene.key,
        references=scene.classifier.preprocessing.normalise(references),
        samples=scene.options.steps,
    )


def occlusion(scene: Scene, stage: str) -> Array:
    """The targets' drops on the window grid."""
    return window_drops(*scene.occluded, scene.targets)


def rise(scene: Scene, stage: str) -> Array:
    """RISE; of logits the form that takes their mean away, for they have no zero of their own."""
    normalise = "keep" if scene.score == "probability" else "covariance"
    return attribution.rise(
        scene.fn,
        scene.inputs,
        scene.targets,
        key=scene.key,
        masks=scene.options.rise_masks,
        fill=scene.fill,
        normalise=normalise,
    )


def score_cam(scene: Scene, stage: str) -> Array:
    """Score-CAM at a stage."""
    return attribution.score_cam(
        scene.fn, scene.inputs, scene.activations(stage), scene.targets, relu=False, fill=scene.fill
    )


def surrogate(name: str, samples: Callable[[Any], int]) -> Callable[[Scene, str], Any]:
    """LIME or KernelSHAP on a grid of parts: a map has one value a part."""

    def compute(scene: Scene, stage: str) -> Any:
        size = (scene.images.shape[1], scene.images.shape[2])
        parts = grid_segments(size, scene.options.segments)
        found = getattr(attribution, name)(
            scene.fn,
            scene.inputs,
            scene.targets,
            key=scene.key,
            segments=parts,
            samples=samples(scene.options),
            fill=scene.fill,
        )
        grid = tuple(len(np.unique(line)) for line in (parts[:, 0], parts[0]))
        maps = found.coefficients.reshape(*found.coefficients.shape[:2], *grid)
        return maps, {"fit": found.fit, "stability": found.stability}

    return compute


def compute_guided(scene: Scene, stage: str) -> Array:
    """Guided Grad-CAM at a stage."""
    features = lambda inputs: scene.classifier.chain.apply(scene.params, inputs, stop=stage)
    values = attribution.guided_grad_cam(features, scene.head(stage), scene.inputs, scene.targets)
    return reduced("sum", scene, values)


def windows(facts: Facts) -> float:
    """Forwards of an occlusion map: one for each window."""
    return float(window_grid(facts.size, facts.options.window, facts.options.stride).count)


ENTRIES = (
    Method(
        name="cam",
        family="layer",
        about="the maps before global average pooling, weighted by the layer behind it (Zhou 2016); signed",
        compute=compute_cam,
        forwards=lambda facts: 0.0,
        grid="pool",
    ),
    layer("grad_cam", "channels weighted by the mean gradient (Selvaraju 2017)"),
    layer("grad_cam_pp", "Grad-CAM with second-order weights for several objects (Chattopadhyay 2018)"),
    layer("hires_cam", "gradient times activation, place by place (Draelos 2020)"),
    layer("xgrad_cam", "weights by each channel's share of gradient times activation (Fu 2020)"),
    layer("layer_cam", "positive gradients times activations, sharp also in early stages (Jiang 2021)"),
    Method(
        name="eigen_cam",
        family="layer",
        about="first principal component of the activations, for no class (Muhammad 2020)",
        compute=lambda scene, stage: attribution.eigen_cam(scene.activations(stage), relu=False),
        forwards=lambda facts: HEAD,
        grid="stage",
        relu=True,
        signed=False,
        at_stage=True,
        per_class=False,
    ),
    layer("eigen_grad_cam", "first principal component of gradient times activation"),
    layer(
        "ablation_cam",
        "channels weighted by the drop of the score without them (Ramaswamy and Desai 2020)",
        forwards=lambda facts: 1.0,
    ),
    layer("finer_cam", "Grad-CAM of what tells the class from those like it (Zhang 2025)", classes_only=True),
    Method(
        name="score_cam",
        family="perturbation",
        about="channels weighted by the score of the image seen through them (Wang 2020)",
        compute=score_cam,
        forwards=lambda facts: float(facts.channels),
        grid="stage",
        relu=True,
        signed=False,
        at_stage=True,
        options=("fill",),
    ),
    source(
        "saliency",
        "gradient of the score by the input (Simonyan 2014)",
        plain("saliency"),
        forwards=lambda facts: facts.targets,
    ),
    source(
        "input_x_gradient",
        "input times gradient (Shrikumar 2016); signed",
        plain("input_x_gradient"),
        reduce="sum",
        forwards=lambda facts: facts.targets,
    ),
    source(
        "guided_backprop",
        "gradient through positive paths of active units (Springenberg 2015); hardly depends on the class",
        plain("guided_backprop"),
        forwards=lambda facts: 1.0 + facts.targets,
    ),
    source(
        "deconvnet",
        "gradient through positive paths (Zeiler 2014); hardly depends on the class",
        plain("deconvnet"),
        forwards=lambda facts: 1.0 + facts.targets,
    ),
    source(
        "smooth_grad",
        "gradient averaged over noisy copies (Smilkov 2017)",
        noisy("mean"),
        forwards=lambda facts: facts.options.noise_samples * (1 + facts.targets),
        options=NOISE,
    ),
    source(
        "smooth_grad_squared",
        "squared gradient averaged over noisy copies (Hooker 2019)",
        noisy("squared"),
        forwards=lambda facts: facts.options.noise_samples * (1 + facts.targets),
        options=NOISE,
    ),
    source(
        "var_grad",
        "variance of the gradient over noisy copies (Adebayo 2018)",
        noisy("variance"),
        forwards=lambda facts: facts.options.noise_samples * (1 + facts.targets),
        options=NOISE,
    ),
    source(
        "integrated_gradients",
        "gradients on the way from the fill to the image; adds up to the score's difference (Sundararajan 2017)",
        integrated,
        reduce="sum",
        forwards=lambda facts: 1 + facts.options.steps * (1 + facts.targets),
        adds_up=True,
        options=("fill", "steps"),
    ),
    source(
        "expected_gradients",
        "integrated gradients from pictures of the set (Erion 2021)",
        expected,
        reduce="sum",
        forwards=lambda facts: 1 + facts.options.steps * (1 + facts.targets),
        adds_up=True,
        options=("steps", "references", "seed"),
    ),
    source(
        "relevance",
        "layer-wise relevance propagation, epsilon and z+ (Bach 2015, Montavon 2019); adds up to the score",
        plain("relevance"),
        reduce="sum",
        forwards=lambda facts: 1 + 2 * facts.targets,
        adds_up=True,
    ),
    source(
        "deep_lift",
        "differences to the fill carried back (Shrikumar 2017); adds up to the score's difference",
        lambda scene: attribution.deep_lift(scene.fn, scene.inputs, scene.targets, baselines=scene.fill),
        reduce="sum",
        forwards=lambda facts: 1 + 2 * facts.targets,
        adds_up=True,
        options=("fill",),
    ),
    Method(
        name="guided_grad_cam",
        family="input",
        about="guided backpropagation times enlarged Grad-CAM (Selvaraju 2017); signed",
        compute=compute_guided,
        forwards=lambda facts: 1.0 + facts.targets,
        grid="input",
        at_stage=True,
        reduce="sum",
        options=("reduce",),
    ),
    Method(
        name="occlusion",
        family="perturbation",
        about="drop of the score with each window hidden (Zeiler 2014); exact; with it what hiding costs the whole set",
        compute=occlusion,
        forwards=windows,
        grid="other",
        options=("window", "stride", "fill"),
    ),
    Method(
        name="rise",
        family="perturbation",
        about="random masks weighted by the score behind them (Petsiuk 2018); the paper has --score probability",
        compute=rise,
        forwards=lambda facts: float(facts.options.rise_masks),
        grid="input",
        options=("rise_masks", "fill", "seed"),
    ),
    Method(
        name="lime",
        family="perturbation",
        about="linear model of the score over parts of the image (Ribeiro 2016); with its fit and stability",
        compute=surrogate("lime", lambda options: options.lime_samples),
        forwards=lambda facts: float(facts.options.lime_samples),
        grid="other",
        numbers=("fit", "stability"),
        options=("lime_samples", "segments", "fill", "seed"),
    ),
    Method(
        name="kernel_shap",
        family="perturbation",
        about="Shapley values of parts of the image by regression (Lundberg 2017); with fit and stability",
        compute=surrogate("kernel_shap", lambda options: options.lime_samples),
        forwards=lambda facts: float(facts.options.lime_samples),
        grid="other",
        numbers=("fit", "stability"),
        options=("lime_samples", "segments", "fill", "seed"),
    ),
)
TABLE = {name: entry for name in METHODS for entry in ENTRIES if entry.name == name}
