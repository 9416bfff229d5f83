"""Keras' own functions for its networks, made to build narrow ones."""

import contextlib
import importlib
from types import SimpleNamespace

import keras
from golden import CLASSES, SIZES, WIDTH, drawn

BUILDERS = {
    "vgg19": ("vgg19", "VGG19"),
    "resnet50": ("resnet", "ResNet50"),
    "mobilenet": ("mobilenet", "MobileNet"),
    "inception_v3": ("inception_v3", "InceptionV3"),
    "xception": ("xception", "Xception"),
}


def module(name: str):
    """The module of keras.applications with the network's function and `preprocess_input`."""
    return importlib.import_module(f"keras.src.applications.{BUILDERS[name][0]}")


@contextlib.contextmanager
def narrow(name: str):
    """Within it the network's layers get `WIDTH` times the channels that its code asks for."""
    code, real = module(name), keras.layers

    def thinner(layer):
        return lambda units, *args, **options: layer(
            units if units == CLASSES else max(1, round(units * WIDTH)), *args, **options
        )

    changed = {each: thinner(getattr(real, each)) for each in ("Conv2D", "SeparableConv2D", "Dense")}
    code.layers = SimpleNamespace(**{**vars(real), **changed})
    try:
        yield
    finally:
        code.layers = keras.src.layers


def narrow_model(name: str, *, top: bool = True):
    """Keras' network, narrow, with weights drawn from the names of its tensors, and logits instead of shares."""
    keras.utils.clear_session()
    options = {"classifier_activation": None, "classes": CLASSES} if top else {}
    with narrow(name):
        model = getattr(module(name), BUILDERS[name][1])(
            weights=None, include_top=top, input_shape=(*SIZES[name], 3), **options
        )
    for layer in model.layers:
        layer.set_weights([drawn(f"{layer.name}/{one.name}", one.shape) for one in layer.weights])
    return model
