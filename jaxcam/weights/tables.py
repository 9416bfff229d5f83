"""The porting tables of all networks."""

import re

from jaxcam.weights import keras_normalised, rules, torch_normalised

VGG16 = rules.vgg((2, 2, 3, 3, 3))
NETWORKS: dict[str, rules.Network] = {
    "vgg16": VGG16,
    "vgg16_mini": VGG16,
    "vgg19": rules.vgg((2, 2, 4, 4, 4)),
    "resnet50": keras_normalised.resnet50(),
    "resnet50_torchvision": torch_normalised.resnet50(),
    "mobilenet": keras_normalised.mobilenet(),
    "inception_v3": keras_normalised.inception_v3(),
    "inception_v3_torchvision": torch_normalised.inception_v3(),
    "xception": keras_normalised.xception(),
}


def own_network(file: str) -> rules.Network:
    """The table of a network that the user's file defines: files with jaxcam's own names."""
    from jaxcam.networks import Chain
    from jaxcam.networks.catalog import NetworkSpec, architecture
    from jaxcam.weights.safetensors_files import flatten

    spec, entry = NetworkSpec(name=file), architecture(file)
    targets = tuple(flatten(spec.chain().abstract(spec.shape)))
    own = [rules.Rule(re.escape(target), target) for target in targets]
    own.append(rules.Rule(rf"(?:{rules.HEAD_STAGES})/(?:kernel|bias)", r"\g<0>"))
    return rules.Network(targets, Chain(entry.top(2)).names, {"jaxcam": (*own, *rules.NOT_PARAMETERS)})
