"""How fast is Grad-CAM at block5_conv3 of VGG16, beside our own forward, captum and a lean PyTorch version?

Same random weights, same images, float32, 224x224, all cores, one process, subjects in turns. Maps are compared first.
"""

import argparse

import captum.attr
import jax
import jax.numpy as jnp
import numpy as np
import torch
from harness import interleaved, record, write

from jaxcam import networks
from jaxcam.attribution import grad_cam

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def torch_vgg16(params) -> torch.nn.Sequential:
    """The same network in PyTorch, with the same weights; layer 29 is the ReLU of block5_conv3."""
    layers: list[torch.nn.Module] = []
    for block, widths in enumerate(BLOCKS, start=1):
        for i in range(1, len(widths) + 1):
            kernel = np.asarray(params[f"block{block}_conv{i}"]["kernel"])
            conv = torch.nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, padding=1)
            conv.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
            conv.bias = torch.nn.Parameter(torch.from_numpy(np.array(params[f"block{block}_conv{i}"]["bias"])))
            layers += [conv, torch.nn.ReLU()]
        layers.append(torch.nn.MaxPool2d(2))
    layers.append(torch.nn.Flatten())
    for name in ("fc1", "fc2", "predictions"):
        kernel = np.asarray(params[name]["kernel"])
        if name == "fc1":
            kernel = kernel.reshape(7, 7, 512, -1).transpose(2, 0, 1, 3).reshape(25088, -1)
        dense = torch.nn.Linear(*kernel.shape)
        dense.weight.data = torch.from_numpy(kernel.T.copy())
        dense.bias.data = torch.from_numpy(np.array(params[name]["bias"]))
        layers += [dense] if name == "predictions" else [dense, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers).eval().requires_grad_(False)


def main() -> None:
    """Measure one batch size and append the lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    chain, params = networks.build("vgg16", key=jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (options.batch, 224, 224, 3))
    targets = jnp.arange(options.batch)
    theirs = torch_vgg16(params).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = torch.from_numpy(np.array(images).transpose(0, 3, 1, 2).copy()).to(memory_format=torch.channels_last)
    chosen = torch.arange(options.batch)

    forward = jax.jit(chain.apply)

    @jax.jit
    def maps(params, images, targets):
        activations = chain.apply(params, images, stop="block5_conv3")
        return grad_cam(lambda a: chain.apply(params, a, start="block5_conv3"), activations, targets)

    def lean_torch():
        with torch.no_grad():
            activations = theirs[:30](pixels)
        activations.requires_grad_(True)
        score = theirs[30:](activations).gather(1, chosen[:, None]).sum()
        (gradient,) = torch.autograd.grad(score, activations)
        return torch.relu((activations.detach() * gradient.mean((2, 3), keepdim=True)).sum(1))

    def torch_forward():
        with torch.no_grad():
            return theirs(pixels)

    layer = captum.attr.LayerGradCam(theirs, theirs[29])
    ours, lean = np.asarray(maps(params, images, targets)), lean_torch().numpy()
    difference = float(np.abs(ours - lean).max() / np.abs(lean).max())
    print(f"largest difference between our maps and PyTorch's: {difference:.1e} of the maximum")
    seconds = interleaved(
        {
            "jaxcam forward": lambda: forward(params, images).block_until_ready(),
            "jaxcam grad_cam": lambda: maps(params, images, targets).block_until_ready(),
            "torch forward": torch_forward,
            "torch lean grad_cam": lean_torch,
            "captum LayerGradCam": lambda: layer.attribute(pixels, chosen, relu_attributions=True),
        },
        rounds=options.rounds,
    )
    facts = {"dtype": "float32", "batch": options.batch, "shape": [224, 224, 3], "map_difference": difference}
    write(
        "grad_cam",
        record("grad_cam", seconds, per_call=options.batch, unit="img/s", reference="jaxcam grad_cam", **facts),
    )


if __name__ == "__main__":
    main()
