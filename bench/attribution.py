"""How fast are class activation maps at block5_conv3 of VGG16, beside our own forward and three PyTorch programs?

Questions, each with its own lines in `results/attribution.jsonl`:

- `grad_cam`: one class an image: our forward and our Grad-CAM; pytorch-grad-cam, captum (LayerGradCam and
  `interpolate`) and a lean hand-written PyTorch Grad-CAM, in channels_last; PyTorch's forward
- `grad_cam_classes`: Grad-CAM of 1, 10, 100 and 1000 classes an image, in images/s
- `cam_methods`: 1, 2, 4 and 6 gradient methods of the layer in one program, and Ablation-CAM

Same random weights, same images, 224x224, all cores, one process, subjects in turns. Ours, captum's and the
lean version give maps of 224x224 in the ways they have; pytorch-grad-cam's are 0..1. Before anything is timed the maps
are compared. In bfloat16 the peers run under PyTorch's autocast.
"""

import argparse
import sys
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import arguments, interleaved, missing, record, write
from programs import Program, program

from jaxcam import attribution, networks

STAGE = "block5_conv3"
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


def peers(params: Any, images: jax.Array, targets: jax.Array, dtype: str) -> dict[str, Callable[[], Any]]:
    """What PyTorch does, by subject."""
    import captum.attr
    import torch
    from torch_vgg16 import finished, torch_device, torch_pixels, torch_vgg16

    size = tuple(images.shape[1:3])
    pixels, chosen = torch_pixels(images), torch.from_numpy(np.array(targets)).to(torch_device())
    network, lean = torch_vgg16(params), torch_vgg16(params).requires_grad_(False)
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
        return torch.nn.functional.interpolate(maps, size, mode="bilinear", align_corners=False)[:, 0].cpu()

    def captum_grad_cam():
        maps = layer_cam.attribute(pixels, chosen, relu_attributions=True)
        return captum.attr.LayerAttribution.interpolate(maps, size, "bilinear")[:, 0].detach().cpu()

    def torch_forward():
        with torch.no_grad():
            return lean(pixels)

    def cast(function):
        def call():
            with torch.autocast(torch_device(), torch.bfloat16, enabled=dtype == "bfloat16"):
                return finished(function())

        return call

    subjects = {
        "torch forward": torch_forward,
        "torch lean grad_cam": lean_grad_cam,
        "captum LayerGradCam": captum_grad_cam,
        "pytorch-grad-cam": lambda: gradient_cam(pixels, classes),
    }
    return {name: cast(function) for name, function in subjects.items()}


def functions(chain: networks.Chain, size: tuple[int, int]) -> dict[str, Callable[..., Any]]:
    """Ours, by subject: functions of parameters, images and targets."""

    def parts(params, images):
        features, head = attribution.at_stage(chain, params, STAGE)
        return head, features(images)

    def grad_cam(params, images, targets):
        head, activations = parts(params, images)
        maps = attribution.grad_cam(head, activations, targets)
        return attribution.resize(maps, size)

    def several(params, images, targets):
        # At the layer's resolution: nobody enlarges a hundred maps of every image before choosing.
        head, activations = parts(params, images)
        return attribution.grad_cam(head, activations, targets)

    def first(count):
        def methods(params, images, targets):
            head, activations = parts(params, images)
            return {name: getattr(attribution, name)(head, activations, targets) for name in GRADIENT_METHODS[:count]}

        return methods

    def ablation(params, images, targets):
        head, activations = parts(params, images)
        return attribution.ablation_cam(head, activations, targets)

    made = {"forward": lambda params, images, targets: chain.apply(params, images), "grad_cam": grad_cam}
    made |= {"several": several, "ablation": ablation}
    return made | {f"{count} methods": first(count) for count in range(1, 1 + len(GRADIENT_METHODS))}


def compare(ours: np.ndarray, theirs: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Largest difference of maps scaled to 0..1, by subject."""
    scaled = lambda maps: (maps - maps.min((1, 2), keepdims=True)) / np.ptp(maps, (1, 2), keepdims=True)
    differences = {}
    for name, call in theirs.items():
        if name != "torch forward":
            theirs_now = np.asarray(call(), np.float32)
            differences[name] = float(np.abs(scaled(ours) - scaled(theirs_now)).max())
            print(f"largest difference to {name}: {differences[name]:.1e} of the range")
    return differences


def measure(options: argparse.Namespace, dtype: str, batch: int) -> None:
    """All questions at one batch size."""
    size = (options.size, options.size)
    chain, params = networks.build("vgg16", key=jax.random.key(0), input_size=size, dtype=dtype)  # type: ignore[arg-type]
    ours = functions(chain, size)
    images = jax.random.normal(jax.random.key(1), (batch, *size, 3))
    targets = jnp.arange(batch) % 1000
    absent = missing("torch", "captum", "pytorch_grad_cam")
    facts: dict[str, Any] = {"dtype": dtype, "batch": batch, "shape": [*size, 3], "stage": STAGE}
    facts |= {"peers_missing": absent}

    def compiled(name: str, targets: Any = targets) -> Program:
        return program(ours[name], params, images, targets)

    def lines(question: str, subjects: dict[str, Any], reference: str, **more: Any) -> None:
        seconds = interleaved(subjects, rounds=options.rounds, warm_up=options.warm_up)
        each = {name: subject.facts for name, subject in subjects.items() if isinstance(subject, Program)}
        counted: Any = {"per_call": batch, "unit": "img/s", "reference": reference}
        write("attribution", record(question, seconds, each=each, **counted, **facts, **more), options)

    forward, one = compiled("forward"), compiled("grad_cam")
    if "grad_cam" in options.questions:
        theirs = {} if options.no_peers or absent else peers(params, images, targets, dtype)
        differences = compare(np.asarray(one(), np.float32), theirs)
        subjects = {"jaxcam forward": forward, "jaxcam grad_cam": one, **theirs}
        lines("grad_cam", subjects, "jaxcam grad_cam", map_difference=differences)
    if "grad_cam_classes" in options.questions:
        subjects = {"jaxcam forward": forward}
        for count in options.classes:
            classes = (targets[:, None] + jnp.arange(count)) % 1000
            subjects[f"jaxcam grad_cam, {count} classes"] = compiled("several", classes)
        lines("grad_cam_classes", subjects, "jaxcam forward")
    if "cam_methods" in options.questions:
        subjects = {"jaxcam forward": forward}
        subjects |= {f"jaxcam {count} methods": compiled(f"{count} methods") for count in options.methods}
        subjects["jaxcam ablation_cam, 512 channels"] = compiled("ablation")
        lines("cam_methods", subjects, "jaxcam forward")


def main() -> None:
    """Measure and append the lines."""
    parser = arguments(__doc__, rounds=5)
    gpu = jax.default_backend() != "cpu"
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32, 128] if gpu else [8])
    parser.add_argument("--dtypes", nargs="+", choices=("float32", "bfloat16"), default=["float32"])
    parser.add_argument("--classes", type=int, nargs="+", default=[1, 10, 100], help="for grad_cam_classes")
    parser.add_argument("--methods", type=int, nargs="+", default=[1, 2, 4, 6], help="for cam_methods, up to 6")
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--no-peers", action="store_true", help="ours only; PyTorch need not be installed")
    options = parser.parse_args()
    if options.quick:
        options.batches, options.size, options.classes, options.methods = [2], 32, [1, 3], [1, 6]
        options.rounds = min(options.rounds, 3)
    for dtype in options.dtypes:
        for batch in options.batches:
            measure(options, dtype, batch)


if __name__ == "__main__":
    main()
