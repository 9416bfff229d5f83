"""Checkpoints: whole or absent, the last two, with the sharding asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam import devices
from jaxcam.checkpoint import Checkpoints
from jaxcam.errors import UserError


def state(value):
    tree = devices.replicate({"dense": {"kernel": jnp.full((3, 2), value), "bias": jnp.arange(2.0)}})
    return {"params": tree, "loop": {"phase": 1, "epoch": int(value), "step": 7}}


def abstract(tree):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree)


@pytest.fixture
def folder(tmp_path):
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        for step in (1, 2, 5):
            checkpoints.save(step, state(float(step)))
    return tmp_path / "checkpoints"


def test_the_last_two_states_are_kept_and_come_back(folder):
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.steps == [2, 5]
        assert {key: int(value) for key, value in checkpoints.loop(5).items()} == {"phase": 1, "epoch": 5, "step": 7}
        wanted = state(5.0)["params"]
        restored = checkpoints.restore(5, {"params": abstract(wanted)})["params"]
        jax.tree.map(np.testing.assert_array_equal, restored, wanted)
        assert len(restored["dense"]["kernel"].sharding.device_set) == 2


def test_what_a_killed_run_left_half_written_is_no_checkpoint(folder):
    half = folder / "6.orbax-checkpoint-tmp"
    (half / "params").mkdir(parents=True)
    with Checkpoints(folder) as checkpoints:
        assert not half.exists()
        assert checkpoints.steps == [2, 5]


@pytest.mark.parametrize("shape", [(3, 3), (4, 2)])
def test_a_checkpoint_of_another_network_is_refused(folder, shape):
    other = {"dense": {"kernel": jnp.zeros(shape), "bias": jnp.zeros(2)}}
    with (
        Checkpoints(folder) as checkpoints,
        pytest.raises(UserError, match="checkpoint 5 does not fit: it is of other classes"),
    ):
        checkpoints.restore(5, {"params": abstract(devices.replicate(other))})


def test_a_checkpoint_that_lacks_a_stage_is_refused(folder):
    other = {"dense": {"kernel": jnp.zeros((3, 2)), "bias": jnp.zeros(2)}, "more": {"bias": jnp.zeros(2)}}
    with (
        Checkpoints(folder) as checkpoints,
        pytest.raises(UserError, match="checkpoint 5 does not fit: it is of other classes"),
    ):
        checkpoints.restore(5, {"params": abstract(devices.replicate(other))})
