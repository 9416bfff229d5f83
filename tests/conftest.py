"""Strict surroundings for every test: two devices, no silent promotion, warnings are errors (pyproject.toml)."""

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAXCAM_COMPILED", "off")  # commands called in this process leave nothing in the user's cache

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")


def shared() -> Path:
    """The folder of real pictures and weights that tests may read; the test is skipped where there is none."""
    folder = Path(os.environ.get("JAXCAM_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared pictures at {folder} (set JAXCAM_SHARED)")
    return folder


@pytest.fixture(scope="session")
def shell(tmp_path_factory):
    """Runs `python -m jaxcam` in a folder with `pictures` and a config `tiny.py`."""
    import commands  # not above: pytest installs the type checks of package jaxcam after this file

    shell = commands.Shell(tmp_path_factory.mktemp("shell"))
    commands.write_pictures(shell.folder / "pictures")
    (shell.folder / "tiny.py").write_text(commands.CONFIG)
    return shell


@pytest.fixture(scope="session")
def trained(shell):
    """The folder of a run of `tiny.py` that was never interrupted; tests read it, or copy it."""
    shell("train", "tiny.py", "--out", "trained", "--quiet")
    return shell.folder / "trained"


@pytest.fixture(scope="module")
def quick_compilation():
    """For modules whose programs run once: XLA need not make them fast."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
