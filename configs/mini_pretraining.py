"""Pretraining of `vgg16_mini`: a VGG16 of 1/8 the width learns 111 classes of drawn pictures.

Claim: its base, shipped in the package, transfers to other pictures without a download.
Expected: see the accuracy of `vgg16_mini` in `jaxcam weights list`.
Command:
    jaxcam data draw runs/drawn --kind classes --count 111000 --valid-count 4440 --seed 1
    jaxcam train configs/mini_pretraining.py --out runs/mini
    jaxcam weights convert runs/mini/classifier/params.safetensors vgg16_mini.safetensors --network vgg16_mini \\
        --ignore-top
"""

from jaxcam.config import Config, Data, Network, Phase
from jaxcam.networks import Head
from jaxcam.preprocessing import Preprocessing


def get_config() -> Config:
    """One phase, everything trainable, at 64x64."""
    return Config(
        data=Data(folder="runs/drawn"),
        network=Network(name="vgg16_mini", weights="none", head=Head(kind="dense", pool="average")),
        preprocessing=Preprocessing.named("tf", size=(64, 64)),
        phases=(
            Phase(
                trainable="all",
                epochs=6,
                batch_size=128,
                learning_rate=2e-3,
                schedule="cosine",
                warmup_epochs=0.3,
                weight_decay=1e-3,
                clip_norm=1.0,
            ),
        ),
    )
