"""The small classifiers that the audit is calibrated on, each trained in seconds; compiled programs are used again."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from audit_sets import NAMES, SHARED, Sets
from jaxtyping import Int32, UInt8

from jaxcam.classifier import Classifier
from jaxcam.config import Config, Network
from jaxcam.networks import Head
from jaxcam.networks.chain import split_params
from jaxcam.preprocessing import Preprocessing
from jaxcam.training.start import initial_classifier

MOBILENET = SHARED / "weights" / "mobilenet_v1_1.0_224_upto_conv_pw_12.safetensors"


@dataclass(frozen=True, kw_only=True)
class Base:
    """What is trained, and how."""

    network: Network
    size: int
    frozen: bool
    """only the head is trained, on features that are computed once"""
    steps: int
    batch: int
    rate: float


BASES = {
    "mini": Base(
        network=Network(name="vgg16_mini", weights="mini", base_end="block4_conv3", head=Head(kind="cam")),
        size=64,
        frozen=True,
        steps=250,
        batch=32,
        rate=3e-3,
    ),
    "mobilenet": Base(
        network=Network(name="mobilenet", weights=str(MOBILENET), base_end="conv_pw_11_relu", head=Head(kind="cam")),
        size=96,
        frozen=True,
        steps=150,
        batch=32,
        rate=1e-3,
    ),
    "convnet": Base(
        network=Network(name="convnet", weights="none", base_end="conv4", head=Head(kind="cam"), width=0.25),
        size=64,
        frozen=False,
        steps=240,
        batch=32,
        rate=2e-3,
    ),
}


def there(name: str) -> bool:
    """Whether a base's weights are here."""
    return name != "mobilenet" or MOBILENET.is_file()


@lru_cache(maxsize=8)
def _start(name: str) -> Classifier:
    base = BASES[name]
    config = Config(network=base.network, preprocessing=Preprocessing.named("tf", size=(base.size, base.size)))
    return initial_classifier(config, NAMES)


@lru_cache(maxsize=8)
def _programs(name: str) -> tuple[Any, Any, Any]:
    """features(params, images), fresh(key), step(trainable, opt_state, frozen, inputs, labels)."""
    base, classifier = BASES[name], _start(name)
    stop = classifier.network.base_names()[-1]
    optimiser = optax.adamw(base.rate, weight_decay=1e-3)

    def forward(params, inputs):
        if base.frozen:
            return classifier.chain.apply(params, inputs, start=stop)
        return classifier.apply(params, inputs)

    def step(trainable, state, frozen, inputs, labels):
        def loss(trainable):
            logits = forward({**frozen, **trainable}, inputs).astype(jnp.float32)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        gradients = jax.grad(loss)(trainable)
        updates, state = optimiser.update(gradients, state, trainable)
        return optax.apply_updates(trainable, updates), state

    features = jax.jit(lambda params, images: classifier.apply(params, images, stop=stop))
    shape = classifier.network.shape
    fresh = jax.jit(lambda key: classifier.chain.init(key, shape))
    return features, fresh, (jax.jit(step, donate_argnums=(0, 1)), optimiser)


def trained(name: str, sets: Sets, seed: int) -> Classifier:
    """A classifier of the two classes."""
    base, classifier = BASES[name], _start(name)
    features, fresh, (step, optimiser) = _programs(name)
    pixels, labels = sets.train
    initial = fresh(jax.random.key(seed))
    if base.frozen:
        rows = [np.asarray(features(classifier.params, part)) for part in padded(pixels, 32)]
        inputs: Any = np.concatenate(rows)[: len(pixels)]
        trainable, _ = split_params(initial, tuple(set(initial) - set(classifier.network.base_names())))
        kept, _ = split_params(classifier.params, classifier.network.base_names())
    else:
        inputs, trainable, kept = pixels, initial, {}
    frozen = {} if base.frozen else kept
    state, rng = optimiser.init(trainable), np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(len(labels)) for _ in range(base.steps * base.batch // len(labels) + 1)])
    for turn in range(base.steps):
        rows_now = order[turn * base.batch : (turn + 1) * base.batch]
        trainable, state = step(trainable, state, frozen, inputs[rows_now], labels[rows_now])
    return replace(classifier, params={**kept, **trainable})


def padded(pixels: UInt8[np.ndarray, "n h w 3"], size: int) -> list[np.ndarray]:
    """Batches of one shape; the last one is filled with its first picture."""
    parts = [pixels[start : start + size] for start in range(0, len(pixels), size)]
    last = parts[-1]
    parts[-1] = np.concatenate([last, np.repeat(last[:1], size - len(last), axis=0)])
    return parts


def accuracy(classifier: Classifier, pixels: UInt8[np.ndarray, "n h w 3"], labels: Int32[np.ndarray, " n"]) -> float:
    """Share that is right."""
    logits = np.concatenate([np.asarray(answers(classifier, part)) for part in padded(pixels, 32)])[: len(pixels)]
    return float((logits.argmax(1) == labels).mean())


def answers(classifier: Classifier, pixels: UInt8[np.ndarray, "n h w 3"]) -> jax.Array:
    """Logits, by one program for all classifiers of a network."""
    return _logits(classifier.network.name)(classifier.params, pixels)


@lru_cache(maxsize=8)
def _logits(network: str) -> Any:
    (name,) = [key for key, base in BASES.items() if base.network.name == network]
    return jax.jit(_start(name).apply)
