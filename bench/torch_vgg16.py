"""VGG16 in plain PyTorch, with the weights of one of jaxcam's: what the peers run."""

from typing import Any

import jax
import numpy as np
import torch

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
LAYOUTS = {"default layout": torch.contiguous_format, "channels last": torch.channels_last}


def torch_device() -> str:
    """Where PyTorch computes: on the GPU when JAX does, as far as this build of PyTorch can."""
    return "cuda" if jax.default_backend() != "cpu" and torch.cuda.is_available() else "cpu"


def torch_pixels(images: Any, layout: torch.memory_format = torch.channels_last) -> torch.Tensor:
    """Images (n, h, w, c) of JAX or numpy as PyTorch has them, (n, c, h, w) in float32."""
    moved = torch.from_numpy(np.array(images, np.float32).transpose(0, 3, 1, 2).copy())
    return moved.to(torch_device(), memory_format=layout)


def finished(result: Any) -> Any:
    """What PyTorch computed, when it is there."""
    if torch_device() == "cuda":
        torch.cuda.synchronize()
    return result


def torch_convolutions(params: Any) -> dict[str, torch.nn.Module]:
    """Convolutions, ReLUs and pools with the same weights, in order; the convolutions under their own names."""
    layers: dict[str, torch.nn.Module] = {}
    for block, widths in enumerate(BLOCKS, start=1):
        for i in range(1, len(widths) + 1):
            name = f"block{block}_conv{i}"
            kernel = np.asarray(params[name]["kernel"])
            conv = torch.nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, padding=1)
            conv.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
            conv.bias = torch.nn.Parameter(torch.from_numpy(np.array(params[name]["bias"])))
            layers |= {name: conv, f"{name}_relu": torch.nn.ReLU()}
        layers[f"block{block}_pool"] = torch.nn.MaxPool2d(2)
    return layers


def torch_vgg16(
    params: Any, layout: torch.memory_format = torch.channels_last, dtype: torch.dtype = torch.float32
) -> Any:
    """The same network in PyTorch, with the same weights; module 29 is the ReLU of block5_conv3."""
    layers = [*torch_convolutions(params).values(), torch.nn.Flatten()]
    for name in ("fc1", "fc2", "predictions"):
        kernel = np.asarray(params[name]["kernel"])
        if name == "fc1":
            channels = np.asarray(params["block5_conv3"]["kernel"]).shape[3]
            side = round((kernel.shape[0] // channels) ** 0.5)  # images are square here
            kernel = kernel.reshape(side, side, channels, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
        dense = torch.nn.Linear(*kernel.shape)
        dense.weight.data = torch.from_numpy(kernel.T.copy())
        dense.bias.data = torch.from_numpy(np.array(params[name]["bias"]))
        layers += [dense] if name == "predictions" else [dense, torch.nn.ReLU()]
    network: Any = torch.nn.Sequential(*layers).eval()
    return network.to(torch_device(), dtype, memory_format=layout)
