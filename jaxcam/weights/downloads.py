"""The weight files that others publish.

Addresses and md5 sums of Keras' files are those in keras/src/applications/*.py; torchvision's file names end in the
first digits of the sha256 (torchvision/models/*.py). For MobileNet Keras publishes no sums; those of width 1 are from
the list of the project MIA (MIAnalyzer/MIA, tools for pretrained weights), which gives Keras' own sums for the other
networks here. Accuracies are the publishers'.
"""

from jaxcam.weights.entry import WeightEntry

KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
TORCH = "https://download.pytorch.org/models"
ACCURACY = "{} % top-1, {} % top-5 on ImageNet's validation set (published by {})"
NO_SUM = "Keras publishes no checksum for this file: whatever the server sends is taken, and its sha256 is shown"


def keras(
    network: str,
    folder: str,
    sums: tuple[str, str],
    *,
    preprocessing: str,
    licence: str,
    source: str,
    accuracy: tuple[float, float],
    sizes: tuple[int | None, int | None] = (None, None),
    input_size: tuple[int, int] = (224, 224),
) -> tuple[WeightEntry, WeightEntry]:
    """Keras' files of a network, with its top and without."""
    entries = []
    for checksum, size, top in zip(sums, sizes, (True, False), strict=True):
        file = f"{folder.split('/')[-1]}_weights_tf_dim_ordering_tf_kernels{'' if top else '_notop'}.h5"
        entries.append(
            WeightEntry(
                name=f"{network}_keras{'' if top else '_notop'}",
                network=network,
                url=f"{KERAS}/{folder.split('/')[0]}/{file}",
                file=file,
                checksum=f"md5:{checksum}",
                bytes=size,
                licence=licence,
                source=source,
                preprocessing=preprocessing,
                input_size=input_size,
                top=top,
                accuracy=ACCURACY.format(*accuracy, "Keras") if top else "",
                note="" if top else f"the convolutions of {network}_keras, for a head of your own",
            )
        )
    return entries[0], entries[1]


def mobilenet(width: float, number: str, top_1: float, sums: tuple[str, str] = ("", "")) -> tuple[WeightEntry, ...]:
    """Keras' files of MobileNet at 224x224, with its top and without."""
    name = "mobilenet" if width == 1 else f"mobilenet_{width:g}"
    entries = []
    for checksum, top in zip(sums, (True, False), strict=True):
        file = f"mobilenet_{number}_224_tf{'' if top else '_no_top'}.h5"
        about = "" if top else f"the convolutions of {name}_keras, for a head of your own"
        entries.append(
            WeightEntry(
                name=f"{name}_keras{'' if top else '_notop'}",
                network="mobilenet",
                width=width,
                url=f"{KERAS}/mobilenet/{file}",
                file=file,
                checksum=checksum,
                licence="Apache-2.0",
                source="Google, ImageNet; converted from TensorFlow by Keras",
                preprocessing="tf",
                top=top,
                accuracy=f"{top_1} % top-1 on ImageNet's validation set (published by Keras)" if top else "",
                note="; ".join(part for part in (about, "" if checksum else NO_SUM) if part),
            )
        )
    return tuple(entries)


def torchvision(
    name: str,
    network: str,
    file: str,
    accuracy: tuple[float, float],
    *,
    version: str = "IMAGENET1K_V1",
    preprocessing: str = "torchvision",
    checksum: str = "",
    size: int | None = None,
    input_size: tuple[int, int] = (224, 224),
    note: str = "",
) -> WeightEntry:
    """A file of torchvision."""
    return WeightEntry(
        name=name,
        network=network,
        url=f"{TORCH}/{file}",
        file=file,
        checksum=checksum or f"sha256-prefix:{file.removesuffix('.pth').split('-')[-1]}",
        bytes=size,
        licence="BSD-3-Clause",
        source=f"torchvision ({version}), trained on ImageNet",
        preprocessing=preprocessing,
        input_size=input_size,
        top=True,
        accuracy=ACCURACY.format(*accuracy, "torchvision"),
        note=note,
    )


OXFORD = "Simonyan and Zisserman (Visual Geometry Group, Oxford), ImageNet; converted from Caffe by Keras"

DOWNLOADED = (
    *keras(
        "vgg16",
        "vgg16",
        ("64373286793e3c8b2b4e3219cbf3544b", "6d6bbae143d832006294945121d1f1fc"),
        sizes=(553467096, 58889256),
        preprocessing="keras",
        licence="CC BY 4.0",
        source=OXFORD,
        accuracy=(71.3, 90.1),
    ),
    torchvision(
        "vgg16_torchvision",
        "vgg16",
        "vgg16-397923af.pth",
        (71.592, 90.382),
        checksum="sha256:397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        size=553433881,
    ),
    WeightEntry(
        name="vgg16_timm",
        network="vgg16",
        url="https://huggingface.co/timm/vgg16.tv_in1k/resolve/b8d8aa2dd860af9233c8c67385a8097fd6c35d3f/model.safetensors",
        file="vgg16.tv_in1k.safetensors",
        checksum="sha256:57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8",
        licence="BSD-3-Clause",
        source="timm (vgg16.tv_in1k), torchvision's weights in another layout",
        preprocessing="torchvision",
        top=True,
        accuracy="as vgg16_torchvision",
    ),
    *keras(
        "vgg19",
        "vgg19",
        ("cbe5617147190e668d6c5d5026f83318", "253f8cb515780f3b799900260a226db6"),
        preprocessing="keras",
        licence="CC BY 4.0",
        source=OXFORD,
        accuracy=(71.3, 90.0),
    ),
    torchvision("vgg19_torchvision", "vgg19", "vgg19-dcbb9e9d.pth", (72.376, 90.876)),
    *keras(
        "resnet50",
        "resnet/resnet50",
        ("2cb95161c43110f7111970584f804107", "4d473c1dd8becc155b73f8504c6f6626"),
        preprocessing="keras",
        licence="MIT",
        source="He et al. (Microsoft Research), ImageNet; converted from Caffe by Keras",
        accuracy=(74.9, 92.1),
    ),
    torchvision("resnet50_torchvision", "resnet50_torchvision", "resnet50-0676ba61.pth", (76.130, 92.862)),
    torchvision(
        "resnet50_torchvision_v2",
        "resnet50_torchvision",
        "resnet50-11ad3fa6.pth",
        (80.858, 95.434),
        version="IMAGENET1K_V2",
        note="measured on the middle 224x224 of pictures scaled to 232",
    ),
    *mobilenet(1.0, "1_0", 70.6, ("md5:03394917f9a9ea3362f46332a5b6a215", "md5:725ccbd03d61d7ced5b5c4cd17e7d527")),
    *mobilenet(0.75, "7_5", 68.4),
    *mobilenet(0.5, "5_0", 63.7),
    *mobilenet(0.25, "2_5", 50.6),
    *keras(
        "inception_v3",
        "inception_v3",
        ("9a0d58056eeedaa3f26cb7ebd46da564", "bcbd6486424b2319ff4ef7d526e38f63"),
        preprocessing="tf",
        licence="Apache-2.0",
        source="Google, ImageNet; converted from TensorFlow by Keras",
        accuracy=(77.9, 93.7),
        input_size=(299, 299),
    ),
    torchvision(
        "inception_v3_torchvision",
        "inception_v3_torchvision",
        "inception_v3_google-0cc3c7bd.pth",
        (77.294, 93.450),
        # Its transform_input takes back what torchvision's own normalisation does: pixels of -1 to 1 remain.
        preprocessing="tf",
        input_size=(299, 299),
        note="measured on the middle 299x299 of pictures scaled to 342",
    ),
    *keras(
        "xception",
        "xception",
        ("0a58e3b7378bc2990ea3b43d5981f1f6", "b0042744bf5b25fce3cb969f33bebb97"),
        preprocessing="tf",
        licence="MIT",
        source="Chollet (Google), ImageNet; trained by Keras' authors",
        accuracy=(79.0, 94.5),
        input_size=(299, 299),
    ),
)
