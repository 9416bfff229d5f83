"""The exported program gives what `predict` and `explain` give, in a process that has jax and numpy only."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxcam.classifier import Classifier
from jaxcam.errors import UserError
from jaxcam.exporting import export
from jaxcam.networks import Head, NetworkSpec
from jaxcam.networks.catalog import fresh_params
from jaxcam.preprocessing import Preprocessing

pytestmark = pytest.mark.usefixtures("quick_compilation")

# Finds jax and numpy with what these need, and nothing else that is installed here.
ALONE = """
import importlib.abc, runpy, sys
ALLOWED = {"jax", "jaxlib", "numpy", "scipy", "ml_dtypes", "opt_einsum"}
class Only(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in {"flatbuffers", "jaxcam", "flax", "safetensors", "PIL"} and "vendor" not in sys.path[-1]:
            raise ImportError(top)
sys.meta_path.insert(0, Only())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
print(sorted({name.partition(".")[0] for name in sys.modules} & {"jaxcam", "flax", "safetensors", "PIL"}))
"""


def classifier(name="vgg16_mini", size=(32, 40), head=None, width=1 / 16, seed=0, end=None):
    spec = NetworkSpec(name=name, classes=3, head=head or Head(kind="cam"), input_size=size, width=width, base_end=end)
    params = fresh_params(spec.chain(), jax.random.key(seed), spec.shape)
    return Classifier(spec, params, Preprocessing.named("tf", size=size), ("cat", "dog", "eel"))


def pictures(count, size=(32, 40)):
    return np.random.default_rng(count).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def run(folder: Path, *arguments: object) -> str:
    command = [sys.executable, "-c", ALONE, str(folder / "load.py"), *map(str, arguments)]
    environment = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_process_with_jax_and_numpy_alone_gives_the_same_numbers(tmp_path):
    made = classifier(end="block5_conv3")
    folder = export(made, tmp_path / "out", methods=("cam", "grad_cam", "occlusion"), targets="all", window=(8, 8))
    about = json.loads((folder / "program.json").read_text())
    assert about["outputs"]["cam"]["shape"] == ["n", 3, 2, 2]
    assert about["platforms"] == ["cpu", "cuda", "tpu"]
    for count in (3,):
        images = pictures(count)
        np.save(tmp_path / "images.npy", images)
        told = run(folder, tmp_path / "images.npy", tmp_path / "out.npz").splitlines()
        assert told[-1] == "[]"
        predicted, maps = (
            made.predict(images),
            made.explain(images, methods=("cam", "grad_cam", "occlusion"), targets="all", window=(8, 8), fill="grey"),
        )
        assert [line.split()[1] for line in told[:-1]] == list(predicted.labels)
        out = np.load(tmp_path / "out.npz")
        np.testing.assert_allclose(out["probabilities"], predicted.probabilities, atol=1e-6)
        for name in ("cam", "grad_cam", "occlusion"):
            np.testing.assert_allclose(out[name], maps[name], atol=1e-6)
            assert out[name].shape == maps[name].shape
        np.testing.assert_array_equal(out["flags"][:, 0], maps.flags["cam"])


@pytest.mark.parametrize(
    ("name", "head", "methods"),
    [
        ("mobilenet", Head(kind="dense", hidden=(8,), dropout=0.5), ("layer_cam", "eigen_cam")),
        ("convnet", "top", ("saliency",)),
    ],
)
def test_other_networks_heads_and_methods(tmp_path, name, head, methods):
    from jaxcam.exporting.standalone import Program

    made = classifier(name, size=(64, 64), head=head, width=1 / 16)
    folder = export(made, tmp_path / "out", methods=methods, platforms=("cpu",))
    images = pictures(3, (64, 64))
    out = Program(folder)(images)
    np.testing.assert_allclose(out["probabilities"], made.predict(images).probabilities, atol=1e-6)
    if methods:
        maps = made.explain(images, methods=methods)
        for method in methods:
            np.testing.assert_allclose(out[method], maps[method], atol=1e-5 * np.abs(maps[method]).max())
    assert set(out) == set(json.loads((folder / "program.json").read_text())["outputs"])


def test_bad_requests_are_told_in_one_line(tmp_path):
    made = classifier()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    for where, options, word in (
        ("out", {"methods": ("nonsense",)}, "nonsense"),
        ("out", {"targets": "true"}, "needs labels"),
        ("out", {"targets": "zebra"}, "zebra"),
        ("out", {"platforms": ("gameboy",)}, "gameboy"),
        ("out", {"methods": ("expected_gradients",)}, "leave it out"),
        ("full", {}, "give another folder"),
    ):
        with pytest.raises(UserError, match=word):
            export(made, tmp_path / where, **options)
    assert not (tmp_path / "out").exists()
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["letter.txt"]


def test_a_changed_file_is_refused_and_an_old_program_replaced(tmp_path):
    from jaxcam.exporting.standalone import Program

    folder = export(classifier(), tmp_path / "out", methods=(), platforms=("cpu",))
    export(classifier(seed=1), folder, methods=(), platforms=("cpu",))
    program, made = Program(folder), classifier(seed=1)
    for count in (1, 2, 5):
        images = pictures(count)
        np.testing.assert_allclose(program(images)["probabilities"], made.predict(images).probabilities, atol=1e-6)
    with pytest.raises(ValueError, match="give uint8 RGB images"):
        program(images.astype(np.float32))
    (folder / "params.safetensors").write_bytes(b"something else")
    with pytest.raises(ValueError, match="export again"):
        Program(folder)


def test_the_command(shell, trained):
    told = shell("export", trained.name, "exported_program", "--methods", "cam", "--platforms", "cpu").stdout
    assert "load.py" in told
    picture = next((shell.folder / "pictures" / "Valid" / "star").glob("0*.png"))
    command = [sys.executable, str(shell.folder / "exported_program" / "load.py"), str(picture)]
    out = subprocess.run(command, capture_output=True, text=True, env={"JAX_PLATFORMS": "cpu"}, check=True).stdout
    same = shell("predict", trained.name, picture).stdout
    assert out.split()[-2:] == [word for line in same.splitlines()[:1] for word in line.split()[-2:]]
    assert "give another folder" in shell("export", trained.name, "pictures", status=2).stderr
