"""Several processes share a set: two real ones on one machine, joined by `jax.distributed`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import free_port, joined, leftovers, tree

import jaxcam
from jaxcam import devices
from jaxcam.errors import UserError

OPTIONS = ("--methods", "cam", "smooth_grad", "--noise-samples", "2", "--targets", "all", "--batch-size", "2")


def together(shell, run, *options, count=2):
    """Start `count` processes of one `explain` and wait for all; their results."""
    environment = {**shell.environment, "PYTHONPATH": str(Path(jaxcam.__file__).parents[1])}
    own = ("--coordinator", f"localhost:{free_port()}", "--processes", count, "--process-id")
    explain = (sys.executable, "-m", "jaxcam", "explain", run, *OPTIONS, *options)
    done = joined([(*explain, *own, number) for number in range(count)], cwd=shell.folder, env=environment)
    return [(process.returncode, process.stdout, process.stderr) for process in done]


@pytest.fixture(scope="module")
def alone(shell, trained, tmp_path_factory):
    """Maps made by one process."""
    import shutil

    run = tmp_path_factory.mktemp("processes") / "run"
    shutil.copytree(trained, run)
    shell("explain", run, *OPTIONS, "--quiet")
    return run


def test_two_processes_write_what_one_writes(shell, trained, alone, tmp_path):
    import shutil

    shutil.copytree(trained, tmp_path / "run")
    first, second = together(shell, tmp_path / "run")
    assert first[0] == second[0] == 0, first[2] + second[2]
    ours, theirs = tree(tmp_path / "run", "maps", "predictions"), tree(alone, "maps", "predictions")
    assert ours.keys() == theirs.keys()
    assert ours == theirs
    assert leftovers(tmp_path / "run") == []
    assert "10 images" in first[1]
    assert "10 images" not in second[1]  # one of them speaks
    assert "6 images in" in first[2] or "5 images in" in first[2]  # its share of the five batches

    # Both find everything done; a store made otherwise is refused by both, and nobody waits for the other.
    again = together(shell, tmp_path / "run")
    assert [status for status, *_ in again] == [0, 0]
    refused = together(shell, tmp_path / "run", "--batch-size", "3")
    assert [status for status, *_ in refused] == [2, 2]
    assert all("layout.batch: 2 -> 3" in err for _, _, err in refused)
    assert tree(tmp_path / "run", "maps") == tree(alone, "maps")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"processes": 2}, "need --coordinator HOST:PORT"),
        ({"coordinator": "localhost:1", "processes": 2}, "need --coordinator HOST:PORT"),
        ({"coordinator": "localhost:1", "processes": 2, "process_id": 2}, "--process-id is 2; it counts from 0 to 1"),
        ({"coordinator": "localhost", "processes": 2, "process_id": 0}, "it must be HOST:PORT"),
    ],
)
def test_values_that_do_not_belong_together(values, message):
    with pytest.raises(UserError, match=message):
        devices.join(**values)


def test_one_process_needs_nothing():
    devices.join()
    devices.barrier("nobody else")
    assert devices.own_mesh() is devices.mesh()
    assert devices.is_first()


def test_where_compiled_programs_are_kept(tmp_path):
    code = (
        "import jax; from jaxcam import devices; print(devices.keep_compiled(), jax.config.jax_compilation_cache_dir)"
    )
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("JAX", "XDG"))}
    plain |= {"XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}

    def said(**more):
        return subprocess.run(
            [sys.executable, "-c", code], env={**plain, **more}, capture_output=True, text=True, check=True
        ).stdout.split()

    folder, chosen = said()
    assert folder == chosen
    assert folder.startswith(f"{tmp_path}/jaxcam/compiled-")
    assert said(JAXCAM_COMPILED="off") == ["None", "None"]
    assert said(JAXCAM_COMPILED=str(tmp_path / "mine")) == [str(tmp_path / "mine")] * 2
    assert said(JAX_COMPILATION_CACHE_DIR="theirs") == ["None", "theirs"]
