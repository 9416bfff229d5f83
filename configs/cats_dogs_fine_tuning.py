"""Cats and dogs: fine-tuning of VGG16's last block (Chollet, Deep Learning with Python, 2017, section 5.3).

Arguments: size=full|test (test: 200 drawn cats and birds of 64x64 on packaged mini weights, seconds on two cores).

Claim: once the head is trained on the frozen base, block 5 can be trained along at a small rate, for a few points more.
Expected: .975 on 1000 validation photos and .968 on 1000 test photos after the last epoch (best .983). The first phase
is cats_dogs_features_augmented.py, whose number readers do not reach; from their .90 expect less. Test size:
at least .80.
Commands (runs/cats-dogs.csv as in cats_dogs_scratch.py):
    jaxcam weights fetch vgg16_keras_notop
    jaxcam train configs/cats_dogs_fine_tuning.py --data.source runs/cats-dogs.csv --out runs/cats-dogs-fine-tuned
    jaxcam evaluate runs/cats-dogs-fine-tuned --data runs/cats-dogs.csv
    jaxcam data draw runs/pets --kind classes --classes cat bird --count 200 --valid-count 100 --seed 4
    jaxcam train configs/cats_dogs_fine_tuning.py:size=test --out runs/cats-dogs-fine-tuned-test
"""

from dataclasses import replace

from jaxcam.config import Config, Data, Network, Phase
from jaxcam.data.augment import Augment
from jaxcam.errors import UserError
from jaxcam.networks import Head
from jaxcam.preprocessing import Preprocessing

TEST_FLOOR = 0.80
"""accuracy on validation that the test size reaches"""
VARIED = Augment(rotation=40, width_shift=0.2, height_shift=0.2, shear=0.2, zoom=0.2, horizontal_flip=True)


def get_config(size: str = "full") -> Config:
    """RMSprop 2e-5 for the head, 30 epochs; then 1e-5 for block 5 and the head, 100 epochs; 100 steps of 20 each."""
    if size not in ("full", "test"):
        raise UserError(f"got size={size}; allowed are size=full and size=test")
    full = size == "full"
    head = Head(kind="dense", pool="flatten", hidden=(256 if full else 64,), output="sigmoid")
    name, weights = ("vgg16", "imagenet") if full else ("vgg16_mini", "mini")
    frozen = Phase(
        trainable="head",
        epochs=30 if full else 2,
        steps=100 if full else None,
        batch_size=20,
        optimiser="rmsprop",
        learning_rate=2e-5 if full else 5e-4,
        augment=VARIED,
    )
    tuned = replace(frozen, trainable="block5_conv1", epochs=100 if full else 2, learning_rate=1e-5 if full else 2e-4)
    return Config(
        data=Data(source="" if full else "runs/pets"),
        network=Network(name=name, weights=weights, head=head),
        # The mini weights were trained on -1..1.
        preprocessing=Preprocessing.named("unit", size=(150, 150))
        if full
        else Preprocessing.named("tf", size=(64, 64)),
        phases=(frozen, tuned),
    )
