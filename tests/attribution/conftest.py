"""Fixtures of the attribution tests."""

import jax
import pytest


@pytest.fixture(scope="module")
def quick_compilation():
    """For modules whose programs run once: XLA need not make them fast."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
