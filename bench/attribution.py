"""How fast are class activation maps at block5_conv3 of VGG16, beside our own forward and three PyTorch programs?

Questions, each with its own lines in `results/attribution.jsonl`:

- `grad_cam`: one class an image: our forward and our Grad-CAM; pytorch-grad-cam, captum (LayerGradCam and
  `interpolate`) and a lean hand-written PyTorch Grad-CAM, in channels_last; PyTorch's forward
- `grad_cam_classes`: Grad-CAM of 1, 10 and 100 classes an image, in maps/s
- `cam_methods`: all gradient methods of the layer in one program, and Ablation-CAM

Same random weights, same images, float32, 224x224, all cores, one process, subjects in turns. Ours, captum's and the
lean version give maps of 224x224 in the ways they have; pytorch-grad-cam's are 0..1. Before anything is timed the maps
are compared. Run with `--rounds 1 --batches 1` to see whether it works.
"""

import argparse
import sys
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import interleaved, record, write
from torch_vgg16 import torch_vgg16

from jaxcam import attribution, networks

STAGE, SIZE = "block5_conv3", (224, 224)
GRADIENT_METHODS = ("grad_cam", "grad_cam_pp", "hires_cam", "xgrad_cam", "layer_cam", "eigen_grad_cam")
QUESTIONS = ("grad_cam", "grad_cam_classes", "cam_methods")


def pytorch_grad_cam() -> Any:
    """The package, with empty stand-ins for torchvision and ttach where they are missing: it only needs their names."""
    contents = {
        "torchvision": (),
        "torchvision.transforms": ("Compose", "Normalize", "ToTensor"),
        "torchvision.transforms.functional": ("resize",),
        "ttach": ("Compose", "HorizontalFlip", "Multiply"),
    }
    for name, members in contents.items():
        try:
            __import__(name)
        except ModuleNotFoundError:
            stub = types.ModuleType(name)
            for member in members:
                setattr(stub, member, type(member, (), {"__init__": lambda self, *a, **k: None}))
            sys.modules[name] = stub
    import pytorch_grad_cam

    return pytorch_grad_cam


def peers(params: Any, images: jax.Array, targets: jax.Array) -> dict[str, Callable[[], Any]]:
    """What PyTorch does, by subject."""
    import captum.attr
    import torch

    pixels = torch.from_numpy(np.array(images).transpose(0, 3, 1, 2).copy()).to(memory_format=torch.channels_last)
    chosen = torch.from_numpy(np.array(targets))
    network = torch_vgg16(params).to(memory_format=torch.channels_last)
    lean = torch_vgg16(params).to(memory_format=torch.channels_last).requires_grad_(False)
    package = pytorch_grad_cam()
    classes = [package.utils.model_targets.ClassifierOutputTarget(int(t)) for t in targets]
    gradient_cam = package.GradCAM(network, [network[29]])
    layer_cam = captum.attr.LayerGradCam(lean, lean[29])

    def lean_grad_cam():
        with torch.no_grad():
            activations = lean[:30](pixels)
        activations.requires_grad_(True)
        score = lean[30:](activations).gather(1, chosen[:, None]).sum()
        (gradient,) = torch.autograd.grad(score, activations)
        maps = torch.relu((activations.detach() * gradient.mean((2, 3), keepdim=True)).sum(1, keepdim=True))
        return torch.nn.functional.interpolate(maps, SIZE, mode="bilinear", align_corners=False)[:, 0].numpy()

    def captum_grad_cam():
        maps = layer_cam.attribute(pixels, chosen, relu_attributions=True)
        return captum.attr.LayerAttribution.interpolate(maps, SIZE, "bilinear")[:, 0].detach().numpy()

    def torch_forward():
        with torch.no_grad():
            return lean(pixels)

    return {
        "torch forward": torch_forward,
        "torch lean grad_cam": lean_grad_cam,
        "captum LayerGradCam": captum_grad_cam,
        "pytorch-grad-cam": lambda: gradient_cam(pixels, classes),
    }


def programs(chain: networks.Chain) -> dict[str, Callable[..., Any]]:
    """Ours, jitted, by subject: functions of parameters, images and targets."""

    def parts(params, images):
        features, head = attribution.at_stage(chain, params, STAGE)
        return head, features(images)

    def grad_cam(params, images, targets):
        head, activations = parts(params, images)
        maps = attribution.grad_cam(head, activations, targets)
        return attribution.resize(maps, SIZE)

    def several(params, images, targets):
        # At the layer's resolution: nobody enlarges a hundred maps of every image before choosing.
        head, activations = parts(params, images)
        return attribution.grad_cam(head, activations, targets)

    def every(params, images, targets):
        head, activations = parts(params, images)
        return {name: getattr(attribution, name)(head, activations, targets) for name in GRADIENT_METHODS}

    def ablation(params, images, targets):
        head, activations = parts(params, images)
        return attribution.ablation_cam(head, activations, targets)

    made = {"forward": lambda params, images, targets: chain.apply(params, images), "grad_cam": grad_cam}
    made |= {"several": several, "every": every, "ablation": ablation}
    return {name: jax.jit(function) for name, function in made.items()}


def compare(ours: np.ndarray, theirs: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Largest difference of maps scaled to 0..1, by subject."""
    scaled = lambda maps: (maps - maps.min((1, 2), keepdims=True)) / np.ptp(maps, (1, 2), keepdims=True)
    differences = {}
    for name, call in theirs.items():
        if name != "torch forward":
            differences[name] = float(np.abs(scaled(ours) - scaled(np.asarray(call()))).max())
            print(f"largest difference to {name}: {differences[name]:.1e} of the range")
    return differences


def main() -> None:
    """Measure and append the lines."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument(
        "--classes", type=int, nargs="+", default=[1, 10, 100], help="for the question grad_cam_classes"
    )
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--no-peers", action="store_true", help="ours only; PyTorch need not be installed")
    options = parser.parse_args()
    chain, params = networks.build("vgg16", key=jax.random.key(0))
    ours = programs(chain)
    for batch in options.batches:
        images = jax.random.normal(jax.random.key(1), (batch, *SIZE, 3))
        targets = jnp.arange(batch) % 1000
        facts: dict[str, Any] = {"dtype": "float32", "batch": batch, "shape": [*SIZE, 3], "stage": STAGE}

        def call(name, targets, images=images):
            return lambda: jax.block_until_ready(ours[name](params, images, targets))

        def lines(question, subjects, reference, facts=facts, per_call=batch, **more):
            seconds = interleaved(subjects, rounds=options.rounds, warm_up=options.warm_up)
            counted = {"per_call": per_call, "unit": "img/s", "reference": reference}
            write("attribution", record(question, seconds, **counted, **facts, **more))

        forward, one = call("forward", targets), call("grad_cam", targets)
        if "grad_cam" in options.questions:
            theirs = {} if options.no_peers else peers(params, images, targets)
            differences = compare(np.asarray(one()), theirs)
            subjects = {"jaxcam forward": forward, "jaxcam grad_cam": one, **theirs}
            lines("grad_cam", subjects, "jaxcam grad_cam", map_difference=differences)
        if "grad_cam_classes" in options.questions:
            subjects = {"jaxcam forward": forward}
            for count in options.classes:
                classes = (targets[:, None] + jnp.arange(count)) % 1000
                subjects[f"jaxcam grad_cam, {count} classes"] = call("several", classes)
            lines("grad_cam_classes", subjects, "jaxcam forward")
        if "cam_methods" in options.questions:
            subjects = {"jaxcam forward": forward, "jaxcam 6 methods": call("every", targets)}
            subjects["jaxcam ablation_cam, 512 channels"] = call("ablation", targets)
            lines("cam_methods", subjects, "jaxcam forward")


if __name__ == "__main__":
    main()
