import os

import jax
import numpy as np
from brute import assert_equal, border_windows, brute_force
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from random_networks import function, networks

from jaxcam.attribution import incremental


@given(network=networks, data=st.data())
@settings(
    max_examples=int(os.environ.get("JAXCAM_EXAMPLES", "10")),
    deadline=None,
    derandomize="JAXCAM_EXAMPLES" not in os.environ,
    phases=[Phase.generate],  # every attempt to shrink a network compiles it again
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
def test_equals_brute_force_for_any_network(network, data):
    fn = function(network)
    size, window = network["size"], network["window"]
    images = jax.random.normal(jax.random.key(network["seed"]), (network["batch"], *size, 4))
    corners = border_windows(size, window)
    chosen = data.draw(st.lists(st.integers(0, len(corners) - 1), min_size=1, max_size=8, unique=True))
    offsets = corners[np.asarray(chosen)]
    evaluate = incremental(fn)
    ours, base = evaluate(
        images,
        window=window,
        offsets=offsets,
        fill=0.3,
        groups=network["groups"],
        memory=network["memory"],
        return_base=True,
    )
    assert_equal(ours, brute_force(fn, images, window, offsets, 0.3))
    assert_equal(base, np.asarray(jax.jit(fn)(images)))
