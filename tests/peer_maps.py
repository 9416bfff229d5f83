"""The same small network in PyTorch and in JAX, and maps of it as captum, pytorch-grad-cam and Keras' book make them.

Used by `make_peer_fixtures.py`, which writes them down, and by the tests that run the peers (extra `peers`).
"""

import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

SIZE = (16, 24)
TARGETS = [0, 3, 4]
DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def weights(seed=7):
    """Kernels in JAX's layout: two convolutions, and two dense layers on NHWC-flattened maps of 4x6x12."""
    rng = np.random.default_rng(seed)
    shapes = {"conv1": (3, 3, 3, 8), "conv2": (3, 3, 8, 12), "fc1": (4 * 6 * 12, 16), "fc2": (16, 5)}
    values = {}
    for name, shape in shapes.items():
        values[name] = (rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1]) / 2)).astype(np.float32)
        values[f"{name}_bias"] = (0.1 * rng.normal(size=shape[-1])).astype(np.float32)
    return values


def images(count=3, seed=11):
    return np.random.default_rng(seed).normal(size=(count, *SIZE, 3)).astype(np.float32)


def convolution(x, values, name):
    out = lax.conv_general_dilated(x, values[name], (1, 1), "SAME", dimension_numbers=DIMENSIONS)
    return jax.nn.relu(out + values[f"{name}_bias"])


def pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def early(values, x):
    return convolution(x, values, "conv1")


def late(values, early_maps):
    return convolution(pool(early_maps), values, "conv2")


def top(values, late_maps):
    x = pool(late_maps).reshape(late_maps.shape[0], -1)
    return jax.nn.relu(x @ values["fc1"] + values["fc1_bias"]) @ values["fc2"] + values["fc2_bias"]


def torch_network(values):
    """The network as `torch.nn.Sequential`; modules 1 and 4 are the ReLUs whose outputs are `early` and `late`."""
    import torch

    def layer(kind, kernel, bias, **options):
        made = kind(kernel.shape[1], kernel.shape[0], **options)
        made.weight.data = torch.from_numpy(kernel.copy())
        made.bias.data = torch.from_numpy(bias.copy())
        return made

    # PyTorch flattens channels first.
    fc1 = values["fc1"].reshape(4, 6, 12, -1).transpose(2, 0, 1, 3).reshape(4 * 6 * 12, -1)
    return torch.nn.Sequential(
        layer(torch.nn.Conv2d, values["conv1"].transpose(3, 2, 0, 1), values["conv1_bias"], kernel_size=3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        layer(torch.nn.Conv2d, values["conv2"].transpose(3, 2, 0, 1), values["conv2_bias"], kernel_size=3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        layer(torch.nn.Linear, fc1.T, values["fc1_bias"]),
        torch.nn.ReLU(),
        layer(torch.nn.Linear, values["fc2"].T, values["fc2_bias"]),
    ).eval()


def torch_images(x):
    import torch

    return torch.from_numpy(x.transpose(0, 3, 1, 2).copy())


def pytorch_grad_cam():
    """The package; where torchvision and ttach are not installed empty ones, of which it only needs names."""
    for name, contents in {
        "torchvision": (),
        "torchvision.transforms": ("Compose", "Normalize", "ToTensor"),
        "torchvision.transforms.functional": ("resize",),
        "ttach": ("Compose", "HorizontalFlip", "Multiply"),
    }.items():
        try:
            __import__(name)
        except ModuleNotFoundError:
            stub = types.ModuleType(name)
            for content in contents:
                setattr(stub, content, type(content, (), {"__init__": lambda self, *a, **k: None}))
            sys.modules[name] = stub
    import pytorch_grad_cam

    return pytorch_grad_cam


PYTORCH_GRAD_CAM = {
    "grad_cam": "GradCAM",
    "grad_cam_pp": "GradCAMPlusPlus",
    "hires_cam": "HiResCAM",
    "xgrad_cam": "XGradCAM",
    "layer_cam": "LayerCAM",
    "ablation_cam": "AblationCAM",
    "eigen_cam": "EigenCAM",
    "eigen_grad_cam": "EigenGradCAM",
    "finer_cam": "FinerCAM",
}


def by_pytorch_grad_cam(method, network, layers, x, targets):
    """pytorch-grad-cam's map (n, H, W) after all its own processing; `layers` are module numbers."""
    package = pytorch_grad_cam()
    from pytorch_grad_cam.utils import svd_on_activations
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    # The sign is LAPACK's choice; the package's own corrected projection makes it a definition.
    chosen_projection = svd_on_activations.get_2d_projection_with_sign_correction
    package.eigen_cam.get_2d_projection = package.eigen_grad_cam.get_2d_projection = chosen_projection
    package.ablation_cam.tqdm.tqdm = lambda values, **_: values
    chosen = [network[i] for i in layers]
    if method == "finer_cam":
        one, pixels = package.FinerCAM(network, chosen), torch_images(x)
        return np.concatenate([one(pixels[i : i + 1], None, target_idx=t) for i, t in enumerate(targets)])
    made = getattr(package, PYTORCH_GRAD_CAM[method])(network, chosen)
    return made(torch_images(x), [ClassifierOutputTarget(t) for t in targets])


def by_captum(network, layer, x, targets, size=None):
    """captum's LayerGradCam, (n, h, w), enlarged by its own `interpolate` where a size is given."""
    import captum.attr
    import torch

    made = captum.attr.LayerGradCam(network, network[layer])
    maps = made.attribute(torch_images(x), torch.tensor(targets)).detach()
    return (maps if size is None else captum.attr.LayerAttribution.interpolate(maps, size))[:, 0].numpy()


def guided_by_captum(network, layer, x, targets):
    """captum's GuidedGradCam, (n, H, W, c)."""
    import captum.attr
    import torch

    made = captum.attr.GuidedGradCam(network, network[layer])
    return (
        made.attribute(torch_images(x).requires_grad_(), torch.tensor(targets)).detach().numpy().transpose(0, 2, 3, 1)
    )


def by_keras_book(values, x, target):
    """Deep Learning with Python, section 5.4, for one image: the model in Keras, its steps in numpy and OpenCV."""
    import cv2
    import keras

    inputs = keras.Input((*SIZE, 3))
    first = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="conv1")(inputs)
    second = keras.layers.Conv2D(12, 3, padding="same", activation="relu", name="conv2")(
        keras.layers.MaxPooling2D()(first)
    )
    between = keras.Input((8, 12, 12))
    hidden = keras.layers.Dense(16, activation="relu", name="fc1")(
        keras.layers.Flatten()(keras.layers.MaxPooling2D()(between))
    )
    base, head = keras.Model(inputs, second), keras.Model(between, keras.layers.Dense(5, name="fc2")(hidden))
    for model in (base, head):
        for layer in model.layers:
            if layer.name in values:
                layer.set_weights([values[layer.name], values[f"{layer.name}_bias"]])
    last = np.asarray(base(x[None]))
    if keras.backend.backend() == "jax":
        gradients = np.asarray(jax.grad(lambda maps: head(maps)[0, target])(jnp.asarray(last)))
    else:
        import torch

        maps = torch.from_numpy(last.copy()).requires_grad_()
        gradients = torch.autograd.grad(head(maps)[0, target], maps)[0].numpy()
    pooled = gradients.mean(axis=(0, 1, 2))
    heatmap = np.maximum(np.mean(last[0] * pooled, axis=-1), 0)
    heatmap /= np.max(heatmap)
    return cv2.resize(heatmap, (SIZE[1], SIZE[0]))
