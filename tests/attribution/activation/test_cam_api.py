"""Every public function of the class-activation family, by reflection: one signature, keyword-only options, a docstring
that names its source and its cost, and examples that run."""

import doctest
import importlib
import inspect
import re
import sys

import jax
import jax.numpy as jnp
import pytest
from small_network import MAPS, dense_top

from jaxcam import attribution

pytestmark = pytest.mark.usefixtures("quick_compilation")

BY_HEAD = (
    "ablation_cam",
    "eigen_grad_cam",
    "finer_cam",
    "grad_cam",
    "grad_cam_pp",
    "hires_cam",
    "layer_cam",
    "xgrad_cam",
)
OTHERS = ("at_stage", "by_convention", "cam", "contrast", "convention", "eigen_cam", "finer", "fuse", "guided_grad_cam")
MODULES = "ablation cam channelwise channel_weights eigen elementwise finer guided pullback"


@pytest.mark.parametrize("name", BY_HEAD)
def test_one_signature(name):
    parameters = inspect.signature(getattr(attribution, name)).parameters.values()
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert positional == ["head", "activations", "targets"]
    assert options["relu"] is True
    assert all(default is not inspect.Parameter.empty for default in options.values())


@pytest.mark.parametrize("name", [*BY_HEAD, "cam", "eigen_cam", "guided_grad_cam"])
def test_docstrings_name_a_source_and_the_cost(name):
    text = inspect.getdoc(getattr(attribution, name))
    assert re.search(r"\(.*\d{4}\)|pytorch-grad-cam\)", text.splitlines()[0])
    assert re.search(r"[Cc]ost", text)


@pytest.mark.parametrize("name", [*BY_HEAD, *OTHERS, "resize", "split"])
def test_everything_is_public_annotated_and_documented(name):
    function = getattr(attribution, name)
    assert name in attribution.__all__
    assert inspect.getdoc(function)
    signature = inspect.signature(function)
    assert signature.return_annotation is not signature.empty
    assert all(p.annotation is not p.empty for p in signature.parameters.values())


@pytest.mark.parametrize(
    "module",
    [
        *(f"activation.{name}" for name in MODULES.split()),
        "conventions",
        "fusion",
        "jaxprs",
        "resize",
        "split",
        "targets",
    ],
)
def test_examples_run(module):
    importlib.import_module(f"jaxcam.attribution.{module}")
    # Not the attribute of the package, which is the function where both have one name.
    failed, _ = doctest.testmod(sys.modules[f"jaxcam.attribution.{module}"])
    assert failed == 0


def test_maps_are_differentiable_in_their_activations():
    """Sensitivity measures take gradients of maps; ReLU and argmax apart they are smooth."""
    total = lambda a: attribution.hires_cam(dense_top, a, jnp.array([0, 1, 2]), relu=False).sum()
    gradient = jax.jit(jax.grad(total))(MAPS)
    assert bool(jnp.isfinite(gradient).all())
    assert float(jnp.abs(gradient).max()) > 0
