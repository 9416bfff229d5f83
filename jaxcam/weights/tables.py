"""The porting tables of all networks."""

from jaxcam.weights import keras_normalised, rules

VGG16 = rules.vgg((2, 2, 3, 3, 3))
NETWORKS: dict[str, rules.Network] = {
    "vgg16": VGG16,
    "vgg16_mini": VGG16,
    "vgg19": rules.vgg((2, 2, 4, 4, 4)),
    "resnet50": keras_normalised.resnet50(),
    "mobilenet": keras_normalised.mobilenet(),
    "inception_v3": keras_normalised.inception_v3(),
    "xception": keras_normalised.xception(),
}
