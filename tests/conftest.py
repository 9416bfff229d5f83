"""Strict surroundings for every test: two devices, no silent promotion, warnings are errors (pyproject.toml)."""

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAXCAM_COMPILED", "off")  # commands called in this process leave nothing in the user's cache
# Most programs of the tests run once: most of the time goes into compiling them. Commands that tests start inherit it.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax
import pytest
from hypothesis import HealthCheck, settings

if jax.__version_info__ < (0, 11):  # a later XLA may not know the setting, and ends the process where it does not
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")  # compiles three times as fast
QUICK = os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1"
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
# The same examples in every run, however slow the machine is.
settings.register_profile(
    "steady", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


LONGEST = (
    "test_experiments", "test_notebook", "test_command", "test_story", "test_scan_command", "test_export",
    "test_training_processes", "test_processes", "test_methods", "test_model_signals", "test_loop",
    "test_gradient_methods", "test_incremental", "test_sources", "test_judge", "test_sets", "test_catalog",
    "test_chain", "test_prepared", "test_cli",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    """The files that take longest first, so that no process is left alone with one (`--no-loadscope-reorder`)."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


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
    """For modules whose programs run once, also where the tests are told to optimise: XLA need not make them fast."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", QUICK)
