"""ResNet50 and InceptionV3 as torchvision has them: its layers, its names of parameters, any width.

Written from the layout of torchvision/models/resnet.py and inception.py; `width` scales the channels as
`jaxcam.networks` does.
"""

import torch
from torch import nn
from torch.nn import functional as F


def scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, features: int, stride: int, project: bool):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, features, 1, bias=False), nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(features)
        self.conv3, self.bn3 = nn.Conv2d(features, 4 * features, 1, bias=False), nn.BatchNorm2d(4 * features)
        self.downsample = None
        if project:
            shortcut = nn.Conv2d(inputs, 4 * features, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(4 * features))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet50(nn.Module):
    def __init__(self, classes: int, width: float = 1.0):
        super().__init__()
        inputs = scaled(64, width)
        self.conv1, self.bn1 = nn.Conv2d(3, inputs, 7, 2, 3, bias=False), nn.BatchNorm2d(inputs)
        for level, (count, channels, stride) in enumerate(((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)), start=1):
            blocks, features = [], scaled(channels, width)
            for block in range(count):
                blocks.append(Bottleneck(inputs, features, 1 if block else stride, block == 0))
                inputs = 4 * features
            setattr(self, f"layer{level}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, classes)

    def stages(self, x):
        """Outputs by jaxcam's names."""
        out = {"conv1_relu": F.relu(self.bn1(self.conv1(x)))}
        x = out["pool1_pool"] = F.max_pool2d(out["conv1_relu"], 3, 2, 1)
        for level in range(1, 5):
            for number, block in enumerate(getattr(self, f"layer{level}"), start=1):
                x = out[f"conv{level + 1}_block{number}_out"] = block(x)
        return {**out, "predictions": self.fc(x.mean((2, 3)))}


class BasicConv2d(nn.Module):
    def __init__(self, inputs: int, outputs: int, size, **options):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(inputs, outputs, size, bias=False, **options), nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """Named convolutions; `paths` says which of them follow each other, a list at the end which stand side by side."""

    def __init__(self, inputs: int, convolutions: dict, paths: list, pool: str, width: float):
        super().__init__()
        channels = {}
        for path in paths:
            before = inputs
            for name in path:
                for each in name if isinstance(name, tuple) else (name,):
                    outputs, size, options = convolutions[each]
                    channels[each] = scaled(outputs, width)
                    setattr(self, each, BasicConv2d(before, channels[each], size, **options))
                before = channels[each]
        self.paths, self.pool, self.outputs = paths, pool, 0
        for path in paths:
            last = path[-1] if isinstance(path[-1], tuple) else (path[-1],)
            self.outputs += sum(channels[name] for name in last)
        self.outputs += inputs if pool == "max" else 0

    def forward(self, x):
        out = []
        for path in self.paths:
            y = F.avg_pool2d(x, 3, 1, 1) if path == ["branch_pool"] else x
            for name in path:
                if isinstance(name, tuple):
                    out += [getattr(self, each)(y) for each in name]
                    break
                y = getattr(self, name)(y)
            else:
                out.append(y)
        if self.pool == "max":
            out.append(F.max_pool2d(x, 3, 2))
        return torch.cat(out, 1)


ROW, COLUMN = ((1, 7), {"padding": (0, 3)}), ((7, 1), {"padding": (3, 0)})
HALVING, SAME = (3, {"stride": 2}), (3, {"padding": 1})


def block_a(pool: int) -> tuple:
    convolutions = {
        "branch1x1": (64, 1, {}),
        "branch5x5_1": (48, 1, {}),
        "branch5x5_2": (64, 5, {"padding": 2}),
        "branch3x3dbl_1": (64, 1, {}),
        "branch3x3dbl_2": (96, *SAME),
        "branch3x3dbl_3": (96, *SAME),
        "branch_pool": (pool, 1, {}),
    }
    triple = ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"]
    return convolutions, [["branch1x1"], ["branch5x5_1", "branch5x5_2"], triple, ["branch_pool"]], "mean"


def block_b() -> tuple:
    triple = {"branch3x3dbl_1": (64, 1, {}), "branch3x3dbl_2": (96, *SAME), "branch3x3dbl_3": (96, *HALVING)}
    return {"branch3x3": (384, *HALVING), **triple}, [["branch3x3"], list(triple)], "max"


def block_c(inner: int) -> tuple:
    three = {"branch7x7_1": (inner, 1, {}), "branch7x7_2": (inner, *ROW), "branch7x7_3": (192, *COLUMN)}
    five = {"branch7x7dbl_1": (inner, 1, {}), "branch7x7dbl_2": (inner, *COLUMN), "branch7x7dbl_3": (inner, *ROW)}
    five |= {"branch7x7dbl_4": (inner, *COLUMN), "branch7x7dbl_5": (192, *ROW)}
    ends = {"branch1x1": (192, 1, {}), "branch_pool": (192, 1, {})}
    return {**ends, **three, **five}, [["branch1x1"], list(three), list(five), ["branch_pool"]], "mean"


def block_d() -> tuple:
    two = {"branch3x3_1": (192, 1, {}), "branch3x3_2": (320, *HALVING)}
    four = {"branch7x7x3_1": (192, 1, {}), "branch7x7x3_2": (192, *ROW), "branch7x7x3_3": (192, *COLUMN)}
    four |= {"branch7x7x3_4": (192, *HALVING)}
    return {**two, **four}, [list(two), list(four)], "max"


def block_e() -> tuple:
    row, column = (384, (1, 3), {"padding": (0, 1)}), (384, (3, 1), {"padding": (1, 0)})
    convolutions = {"branch1x1": (320, 1, {}), "branch3x3_1": (384, 1, {}), "branch3x3_2a": row, "branch3x3_2b": column}
    convolutions |= {"branch3x3dbl_1": (448, 1, {}), "branch3x3dbl_2": (384, *SAME)}
    convolutions |= {"branch3x3dbl_3a": row, "branch3x3dbl_3b": column, "branch_pool": (192, 1, {})}
    double = ["branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")]
    single = ["branch3x3_1", ("branch3x3_2a", "branch3x3_2b")]
    return convolutions, [["branch1x1"], single, double, ["branch_pool"]], "mean"


BLOCKS = {
    "Mixed_5b": block_a(32),
    "Mixed_5c": block_a(64),
    "Mixed_5d": block_a(64),
    "Mixed_6a": block_b(),
    "Mixed_6b": block_c(128),
    "Mixed_6c": block_c(160),
    "Mixed_6d": block_c(160),
    "Mixed_6e": block_c(192),
    "Mixed_7a": block_d(),
    "Mixed_7b": block_e(),
    "Mixed_7c": block_e(),
}


class InceptionV3(nn.Module):
    def __init__(self, classes: int, width: float = 1.0):
        super().__init__()
        stem = {
            "Conv2d_1a_3x3": (32, *HALVING),
            "Conv2d_2a_3x3": (32, 3, {}),
            "Conv2d_2b_3x3": (64, *SAME),
            "Conv2d_3b_1x1": (80, 1, {}),
            "Conv2d_4a_3x3": (192, 3, {}),
        }
        inputs = 3
        for name, (outputs, size, options) in stem.items():
            setattr(self, name, BasicConv2d(inputs, scaled(outputs, width), size, **options))
            inputs = scaled(outputs, width)
        for name, block in BLOCKS.items():
            setattr(self, name, Block(inputs, *block, width))
            inputs = getattr(self, name).outputs
            if name == "Mixed_6e":  # what only training uses
                self.AuxLogits = nn.Module()
                self.AuxLogits.conv0 = BasicConv2d(inputs, scaled(128, width), 1)
                self.AuxLogits.fc = nn.Linear(scaled(768, width), classes)
        self.fc = nn.Linear(inputs, classes)

    def stages(self, x):
        """Outputs by jaxcam's names."""
        out = {}
        x = out["conv2d"] = self.Conv2d_1a_3x3(x)
        x = out["conv2d_1"] = self.Conv2d_2a_3x3(x)
        x = out["conv2d_2"] = self.Conv2d_2b_3x3(x)
        x = out["max_pooling2d"] = F.max_pool2d(x, 3, 2)
        x = out["conv2d_3"] = self.Conv2d_3b_1x1(x)
        x = out["conv2d_4"] = self.Conv2d_4a_3x3(x)
        x = out["max_pooling2d_1"] = F.max_pool2d(x, 3, 2)
        for number, name in enumerate(BLOCKS):
            x = out[f"mixed{number}"] = getattr(self, name)(x)
        return {**out, "predictions": self.fc(x.mean((2, 3)))}


MODELS = {"resnet50_torchvision": ResNet50, "inception_v3_torchvision": InceptionV3}
