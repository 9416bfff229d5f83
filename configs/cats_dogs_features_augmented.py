"""Cats and dogs on VGG16, base frozen, end to end with augmentation (Chollet, Deep Learning with Python, 2017, 5.3).

Arguments: size=full|test (test: 200 drawn cats and birds of 64x64 on packaged mini weights, seconds on two cores).

Claim: with every photo varied anew (rotation 40 degrees, shifts .2, shear .2, zoom .2, flip) the frozen base gives
about 96 % on new photos.
Expected: the book's output has .951 on 1000 validation photos after the last of 30 epochs (best .979). Readers who
freeze the base report about .90, and 96 to 97 % where the base was not frozen after all: take .90 as the honest goal.
Test size: at least .80. 16,812,353 parameters, 2,097,665 of them in the head; no dropout, as in the book.
Commands (runs/cats-dogs.csv as in cats_dogs_scratch.py):
    jaxcam weights fetch vgg16_keras_notop
    jaxcam train configs/cats_dogs_features_augmented.py --data.source runs/cats-dogs.csv --out runs/cats-dogs-frozen
    jaxcam data draw runs/pets --kind classes --classes cat bird --count 200 --valid-count 100 --seed 4
    jaxcam train configs/cats_dogs_features_augmented.py:size=test --out runs/cats-dogs-frozen-test
"""

from jaxcam.config import Config, Data, Network, Phase
from jaxcam.data.augment import Augment
from jaxcam.errors import UserError
from jaxcam.networks import Head
from jaxcam.preprocessing import Preprocessing

TEST_FLOOR = 0.80
"""accuracy on validation that the test size reaches"""
VARIED = Augment(rotation=40, width_shift=0.2, height_shift=0.2, shear=0.2, zoom=0.2, horizontal_flip=True)


def get_config(size: str = "full") -> Config:
    """RMSprop 2e-5, batches of 20, 30 epochs of 100 steps; dense 256, sigmoid."""
    if size not in ("full", "test"):
        raise UserError(f"got size={size}; allowed are size=full and size=test")
    full = size == "full"
    head = Head(kind="dense", pool="flatten", hidden=(256 if full else 64,), output="sigmoid")
    name, weights = ("vgg16", "imagenet") if full else ("vgg16_mini", "mini")
    return Config(
        data=Data(source="" if full else "runs/pets"),
        network=Network(name=name, weights=weights, head=head),
        # The mini weights were trained on -1..1.
        preprocessing=Preprocessing.named("unit", size=(150, 150))
        if full
        else Preprocessing.named("tf", size=(64, 64)),
        phases=(
            Phase(
                trainable="head",
                epochs=30 if full else 4,
                steps=100 if full else None,
                batch_size=20,
                optimiser="rmsprop",
                learning_rate=2e-5 if full else 5e-4,
                augment=VARIED,
            ),
        ),
    )
