"""One training step of VGG16 in PyTorch, from jaxcam's weights: what a peer runs."""

from typing import Any

import numpy as np
import torch
from torch_vgg16 import torch_convolutions


class torch_step:
    """PyTorch, channels_last; calling it gives the loss."""

    def __init__(
        self, params: Any, moving: set[str], pixels: np.ndarray, labels: np.ndarray, *, rate: float, dtype: str
    ):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.named = torch_convolutions(params)
        rows = np.asarray(params["dense_1"]["kernel"])
        side = [length // 32 for length in pixels.shape[1:3]]
        self.shape, self.side = rows.shape, side
        columns = rows.reshape(*side, 512, -1).transpose(2, 0, 1, 3).reshape(rows.shape)
        layers = [*self.named.values(), torch.nn.Flatten()]
        for name, kernel in (("dense_1", columns), ("predictions", np.asarray(params["predictions"]["kernel"]))):
            dense = torch.nn.Linear(*kernel.shape)
            dense.weight.data = torch.from_numpy(kernel.T.copy())
            dense.bias.data = torch.from_numpy(np.array(params[name]["bias"]))
            self.named[name] = dense
            layers += [dense, torch.nn.ReLU()] if name == "dense_1" else [dense]
        for name, module in self.named.items():
            module.requires_grad_(name in moving)
        network: Any = torch.nn.Sequential(*layers)
        self.network = network.to(device, memory_format=torch.channels_last).train()
        self.optimiser = torch.optim.SGD((p for p in self.network.parameters() if p.requires_grad), rate, momentum=0.9)
        moved = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
        self.pixels = moved.to(device, memory_format=torch.channels_last)
        self.labels = torch.from_numpy(labels.astype(np.int64)).to(device)
        self.autocast = torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16")

    def __call__(self) -> Any:
        self.optimiser.zero_grad(set_to_none=True)
        with self.autocast:
            loss = torch.nn.functional.cross_entropy(self.network(self.pixels).float(), self.labels)
        loss.backward()
        self.optimiser.step()
        if self.pixels.is_cuda:
            torch.cuda.synchronize()
        return loss.detach()

    def gradient(self, stage: str) -> np.ndarray:
        """Of a stage's kernel, after the first step, in our order: what the momentum then holds."""
        weight = self.named[stage].weight
        found = self.optimiser.state[weight]["momentum_buffer"].float().cpu().numpy()  # type: ignore[index]
        if found.ndim == 4:
            return found.transpose(2, 3, 1, 0)
        if stage != "dense_1":
            return found.T
        return found.T.reshape(512, *self.side, -1).transpose(1, 2, 0, 3).reshape(self.shape)
