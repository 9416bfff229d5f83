"""Checkpoints: whole or absent, the last two, as numpy; damaged ones, a full disk, another network."""

import gc
import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam import devices
from jaxcam.checkpoint import CHECKSUMS, Checkpoints
from jaxcam.errors import UserError

LOOP = {"phase": 0, "epoch": 0, "value": 0.0}
VALUE = 0.1234567890123456789


def state(value):
    kernel = jax.random.normal(jax.random.key(int(value)), (60, 200))
    tree = devices.replicate({"dense": {"kernel": kernel, "bias": jnp.arange(2.0)}, "steps": jnp.asarray(7)})
    return {"params": tree, "loop": {"phase": 1, "epoch": int(value), "value": VALUE}}


def expected(loop):
    return {"params": state(loop["epoch"])["params"]}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written") / "checkpoints"
    with Checkpoints(folder, made_for={"network": {"name": "small"}, "class_names": ("ant", "bee")}) as checkpoints:
        for step in (1, 2, 5):
            checkpoints.save(step, state(float(step)))
    return folder


@pytest.fixture
def folder(written, tmp_path):
    shutil.copytree(written, tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


def last(folder, lines=None):
    """What is found, and the line that is said."""
    with Checkpoints(folder, say=[].append if lines is None else lines.append) as checkpoints:
        return checkpoints.last(LOOP, expected)


def test_the_last_two_states_are_kept_and_come_back_bit_by_bit(folder):
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.steps == [2, 5]
    loop, trees = last(folder)
    assert loop == {"phase": 1, "epoch": 5, "value": VALUE}
    jax.tree.map(np.testing.assert_array_equal, trees, {"params": state(5)["params"]})
    assert all(type(leaf) is np.ndarray for leaf in jax.tree.leaves(trees))
    assert sorted(p.name for p in folder.iterdir()) == ["2", "5", "network.json"]


def test_what_a_killed_run_left_half_written_is_no_checkpoint(folder):
    for half in ("6.orbax-checkpoint-tmp", "removed-1"):
        (folder / half / "params").mkdir(parents=True)
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.steps == [2, 5]
    assert sorted(p.name for p in folder.iterdir()) == ["2", "5", "network.json"]


def test_nothing_written_is_nothing_found(tmp_path):
    assert last(tmp_path / "checkpoints") is None


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x55
    path.write_bytes(bytes(content))


DAMAGE = {
    "deleted": lambda path: path.unlink(),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "changed": flip,
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_state_is_told_and_the_one_before_is_taken(folder, how):
    """Whichever file is damaged: orbax alone does not notice a changed bit among the values."""
    found = [path for path in (folder / "5").rglob("*") if path.is_file() and path.stat().st_size]
    files = sorted(found, key=lambda path: path.stat().st_size)
    shutil.copytree(folder, folder.parent / "whole")
    for path in (files[-1], files[0], next(p for p in files if p.name == "_METADATA")):
        shutil.rmtree(folder)
        shutil.copytree(folder.parent / "whole", folder)
        DAMAGE[how](path)
        lines = []
        loop, trees = last(folder, lines)
        assert loop["epoch"] == 2
        np.testing.assert_array_equal(trees["params"]["dense"]["kernel"], state(2)["params"]["dense"]["kernel"])
        (line,) = lines
        assert line.startswith("warning: checkpoint 5 is damaged (")
        assert line.endswith("going on from checkpoint 2")
        assert (folder / "damaged-5").is_dir()
        with Checkpoints(folder) as checkpoints:  # its place is free again
            checkpoints.save(5, state(5.0))
        assert last(folder)[0]["epoch"] == 5


@pytest.mark.parametrize(
    ("which", "how", "told"),
    [
        ("params/manifest.ocdbt", "deleted", "params/manifest.ocdbt is missing"),
        ("params/manifest.ocdbt", "cut", "Error decoding manifest"),
        ("params/d/*", "changed", "DATA_LOSS"),
        ("loop/d/*", "deleted", "NOT_FOUND"),
        ("params/_METADATA", "deleted", "params cannot be read"),
        ("loop/_METADATA", "cut", "loop"),
    ],
)
def test_damage_shows_without_checksums_too(folder, which, how, told, capfd):
    """A run that was killed before they were written; nothing of it may reach orbax, whose tasks complain later."""
    (folder / "5" / CHECKSUMS).unlink()
    assert last(folder)[0]["epoch"] == 5
    (path,) = (folder / "5").glob(which)
    DAMAGE[how](path)
    lines = []
    assert last(folder, lines)[0]["epoch"] == 2
    assert lines[0].startswith("warning: checkpoint 5 is damaged (")
    assert told in lines[0]
    gc.collect()
    said = capfd.readouterr().err
    assert not any(words in said for words in ("never retrieved", "Event loop", "Traceback"))


def test_values_that_are_gone_show_without_checksums_too(folder):
    (folder / "5" / CHECKSUMS).unlink()
    max((folder / "5").rglob("*"), key=lambda path: path.stat().st_size * path.is_file()).unlink()
    lines = []
    assert last(folder, lines)[0]["epoch"] == 2
    assert "(params/dense.kernel/c/0/0 is missing)" in lines[0]


def test_a_first_state_that_is_damaged_means_the_beginning_and_two_mean_the_end(folder):
    for step in ("2", "5"):
        (folder / step / "loop" / "_METADATA").write_text("{}")
    with pytest.raises(UserError, match=r"none of the checkpoints in .* can be read; remove that folder"):
        last(folder)
    (folder / "damaged-2").rename(folder / "2")
    lines = []
    assert last(folder, lines) is None
    assert "going on from the beginning" in lines[0]


# No file may grow beyond that many bytes: what a write then meets is like a full disk. In a process of its own, for a
# write that fails leaves threads of orbax behind that complain whenever they like.
FULL_DISK = """
import json, resource, sys
from pathlib import Path
from test_checkpoint import Checkpoints, state
lines, limit = [], resource.getrlimit(resource.RLIMIT_FSIZE)
with Checkpoints(Path(sys.argv[1]), say=lines.append) as checkpoints:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
    checkpoints.save(6, state(6.0))
    checkpoints.save(7, state(7.0))
    checkpoints._settle()
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    steps = checkpoints.steps
    checkpoints.save(8, state(8.0))
print(json.dumps([steps, lines]))
"""


def test_a_state_that_cannot_be_written_is_told_and_the_others_stay(folder):
    command = [sys.executable, "-c", FULL_DISK, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=True)
    steps, lines = json.loads(done.stdout.splitlines()[-1])
    assert steps == [2, 5]
    starts = [f"warning: checkpoint {step} could not be written (" for step in (6, 7)]
    assert [line.startswith(start) for line, start in zip(lines, starts, strict=True)] == [True, True]
    assert "File too large" in lines[0]
    assert "will continue from checkpoint 5" in lines[0]
    assert not list(folder.glob("*tmp*"))
    assert last(folder)[0]["epoch"] == 8


def test_states_of_another_network_or_other_classes_are_refused_by_name(folder):
    for made_for, told in (
        ({"network": {"name": "large"}, "class_names": ["ant", "bee"]}, "network.name: small -> large"),
        ({"network": {"name": "small"}, "class_names": ["ant", "cat"]}, r"class_names: \['ant', 'bee'\] -> \['ant', "),
    ):
        with pytest.raises(UserError, match=told):
            Checkpoints(folder, made_for=made_for)
    assert json.loads((folder / "network.json").read_text())["class_names"] == ["ant", "bee"]


@pytest.mark.parametrize("shape", [(60, 300), (40, 200)])
def test_a_state_with_other_shapes_is_refused(folder, shape):
    other = {"dense": {"kernel": jnp.zeros(shape), "bias": jnp.zeros(2)}, "steps": jnp.asarray(0)}
    with (
        Checkpoints(folder) as checkpoints,
        pytest.raises(UserError, match="checkpoint 5 does not fit"),
    ):
        checkpoints.last(LOOP, lambda loop: {"params": other})


def test_a_state_that_lacks_a_stage_is_refused(folder):
    more = {**state(5)["params"], "more": {"bias": jnp.zeros(2)}}
    with (
        Checkpoints(folder) as checkpoints,
        pytest.raises(UserError, match="checkpoint 5 does not fit"),
    ):
        checkpoints.last(LOOP, lambda loop: {"params": more})
