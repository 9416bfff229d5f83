"""Narrow versions of the networks beside what real Keras and PyTorch computed (`make_golden.py`), from one picture.

The weights are drawn from the names that the tensors have in those libraries' files and go through the porting tables;
the picture goes through the catalogue's preprocessing.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import CLASSES, SIZES, WIDTH, drawn, picture, summary

from jaxcam.networks import NetworkSpec
from jaxcam.preprocessing import Preprocessing
from jaxcam.weights.catalog import imagenet
from jaxcam.weights.port import port

pytestmark = pytest.mark.usefixtures("quick_compilation")
NETWORKS = json.loads((Path(__file__).parent / "fixtures" / "networks.json").read_text())


@pytest.mark.parametrize("name", SIZES)
def test_every_stage_is_what_its_library_computed(name):
    known = NETWORKS[name]
    spec = NetworkSpec(name=name, width=WIDTH, classes=CLASSES, input_size=SIZES[name])
    chain = spec.chain()
    tensors = {tensor: drawn(tensor, tuple(shape)) for tensor, shape in known["tensors"].items()}
    params = port(tensors, chain.abstract(spec.shape), network=name, source=known["source"])
    preprocessing = Preprocessing.named(imagenet(name).preprocessing)

    @jax.jit
    def run(params, images):
        found, values, start = {}, preprocessing.normalise(images), None
        for stage in chain.names:
            values = found[stage] = chain.apply(params, values, start=start, stop=stage)
            start = stage
        return found

    found = run(params, jnp.asarray(picture(name)))
    errors = {}
    for stage, (size, *projections) in known["stages"].items():
        got_size, *got = summary(stage, np.asarray(found[stage]))
        errors[stage] = float(np.abs(np.subtract([got_size, *got], [size, *projections])).max() / size)
    assert len(errors) > 5
    assert max(errors.values()) < 1e-4, errors
