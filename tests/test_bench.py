"""What the benchmarks are built from: turns, ratios and their refusal, counted operations; and that one runs."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcam import cli, networks
from jaxcam.commands.bench import questions

FOLDER = Path(__file__).parents[1] / "bench"
pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def load():
    """Imports a file of the folder."""
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))


def measured(harness, **values):
    """Seconds as if they were measured."""
    found = {}
    for name, own in values.items():
        found[name] = harness.Seconds()
        found[name].extend(own)
        found[name].cpu = list(own)
    return found


def test_subjects_take_turns_and_warm_up_first(load):
    calls = []
    found = load("harness").interleaved({n: lambda n=n: calls.append(n) for n in "ab"}, rounds=3, warm_up=2)
    assert "".join(calls) == "aabb" + "ab" * 3
    assert [len(own) for own in found.values()] == [len(own.cpu) for own in found.values()] == [3, 3]
    assert len(found["a"].warm_up) == found["a"].facts["warm_up"] == 2
    assert {"load", "others_cores", "first_call_s"} <= found["b"].facts.keys()


def test_memory_is_the_subjects_own(load):
    held = lambda: np.ones(64 * 2**20 // 8).sum()
    found = load("harness").interleaved({"small": lambda: 0, "large": held}, rounds=1, warm_up=0)
    if "peak_growth_mib" not in found["large"].facts:
        pytest.skip("this system does not tell the peak of a call")
    assert found["small"].facts["peak_growth_mib"] < 30 < found["large"].facts["peak_growth_mib"] < 150


def test_ratios_are_paired_and_their_spread_is_told(load):
    harness = load("harness")
    # The machine slows down over the rounds: the medians' ratio would not be 2 in every pair.
    found = measured(harness, a=[1.0, 2.0, 3.0, 8.0], b=[0.5, 1.0, 1.5, 4.0])
    first, second = harness.record("q", found, per_call=4, unit="img/s", reference="a")
    assert "ratio" not in first
    assert (second["ratio_to"], second["ratio"], second["ratio_range"]) == ("a", 2.0, [2.0, 2.0])
    assert (first["rate"], second["rate"], second["rounds"]) == (1.6, 3.2, 4)
    assert {"device", "threads", "versions", "commit", "dirty", "load_1min", "run"} <= second.keys()


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        ([0.9, 1.1, 0.8, 1.2, 1.0], "the spread, 0.2"),  # on both sides of 1
        ([0.5, 0.6, 0.9, 0.95, 0.7], "the spread, 0.5"),  # always faster, by less than it varies
        ([0.1, 0.1], "too few rounds, 2"),
    ],
)
def test_no_ratio_where_the_spread_is_larger_than_the_difference(load, own, reason):
    harness = load("harness")
    found = measured(harness, a=[1.0] * len(own), b=own)
    line = harness.record("q", found, per_call=1, unit="img/s", reference="a")[1]
    assert "ratio" not in line
    assert line["no_ratio"].startswith(reason)
    assert "no ratio to a" in harness.told(line)


def test_the_share_of_the_ceiling(load, tmp_path, monkeypatch):
    harness, machine = load("harness"), load("machine")
    about = machine.machine()
    lines = [
        {"kind": "matmul", "dtype": "float32", "rate": 50.0, "run": "before"},
        {"kind": "matmul", "dtype": "float32", "rate": 100.0, "run": "now"},
        {"kind": "matmul", "dtype": "float32", "rate": 80.0, "run": "now"},
        {"kind": "copy", "dtype": "float32", "rate": 30.0, "run": "now"},
        {"kind": "matmul", "dtype": "bfloat16", "rate": 400.0, "run": "now"},
    ]
    texts = [json.dumps({key: about[key] for key in ("device", "threads")} | line) for line in lines]
    (tmp_path / "ceilings.jsonl").write_text("\n".join(texts))
    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    found = measured(harness, a=[2.0] * 3)
    each = {"a": {"gflop": 20.0}}
    line = harness.record("q", found, per_call=1, unit="img/s", reference="a", each=each, dtype="float32")[0]
    assert (line["gflop_s"], line["of_ceiling"]) == (10.0, {"matmul": 0.1})


def test_lines_are_kept_unless_it_was_a_quick_look(load, tmp_path, monkeypatch, capsys):
    harness = load("harness")
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "usual")
    lines = harness.record("q", measured(harness, a=[1.0]), per_call=1, unit="img/s", reference="a")
    harness.write("one", lines)
    harness.write("one", lines, SimpleNamespace(quick=False, results=None))
    harness.write("one", lines, SimpleNamespace(quick=True, results=None))
    harness.write("one", lines, SimpleNamespace(quick=True, results=tmp_path / "own"))
    assert len((tmp_path / "usual" / "one.jsonl").read_text().splitlines()) == 2
    assert json.loads((tmp_path / "own" / "one.jsonl").read_text()) == lines[0]
    assert capsys.readouterr().out.count("1.000 img/s") == 4


def test_operations_by_formula(load):
    flops = load("programs").formula_flops
    image, kernel = jnp.ones((2, 8, 8, 6)), jnp.ones((3, 3, 3, 10))
    convolve = lambda x, k: jax.lax.conv_general_dilated(
        x, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=2
    )
    assert flops(convolve, image, kernel) == (2 * 2 * 8 * 8 * 10 * 3 * 9, True)
    matrix = jnp.ones((4, 4))
    assert flops(lambda x: jax.lax.fori_loop(0, 5, lambda _, y: y @ x, x), matrix) == (5 * 2 * 4**3, True)
    endless = lambda x: jax.lax.while_loop(lambda y: y.sum() < 1, lambda y: y @ x, x)
    assert flops(endless, matrix) == (2 * 4**3, False)
    chain = networks.NetworkSpec(name="vgg16").chain()
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    assert flops(chain.apply, chain.abstract(image.shape), image)[0] / 1e9 == pytest.approx(30.941, abs=1e-3)


def test_a_program_tells_its_costs(load):
    made = load("programs").program(lambda x: x @ x, jnp.ones((64, 64)))
    assert float(made()[0, 0]) == 64
    assert made.facts["gflop"] == made.facts["gflop_xla"] == pytest.approx(2 * 64**3 / 1e9, abs=1e-4)
    assert {"trace_s", "compile_s", "compile_core_s", "program_mib", "temporary_mib"} <= made.facts.keys()


def test_every_question_is_listed_with_what_it_asks(capsys, load):
    assert cli.main(["bench", "--help"]) == 0
    told = capsys.readouterr().out
    found = questions(FOLDER)
    assert {"ceilings", "forward", "attribution", "methods", "occlusion", "training", "startup"} <= found.keys()
    assert not {"harness", "table", "lines", "machine", "programs", "torch_vgg16"} & found.keys()
    for name, (_, about) in found.items():
        assert f"  {name:14}{about}\n" in told
        assert about
    everything = load("everything")
    asked = {words.split()[0] for words, _ in (*everything.PROCESSOR, *everything.ACCELERATOR)}
    assert asked <= found.keys()
    assert sum(minutes for _, minutes in everything.PROCESSOR) <= 45


def test_a_question_runs(load, tmp_path, monkeypatch, capsys):
    forward = load("forward")
    words = ["forward", "--quick", "--no-peers", "--network", "vgg16_mini", "--rounds", "3", "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    forward.main()
    (line,) = (json.loads(text) for text in (tmp_path / "forward.jsonl").read_text().splitlines())
    assert (line["subject"], line["network"], line["batch"], line["rounds"]) == ("jaxcam", "vgg16_mini", 2, 3)
    assert line["gflop_s"] > 0
    assert line["convolutions_now"].keys() == {"convolution, jax, 8x8x8"}
    assert "of the faster convolution of this run" in capsys.readouterr().out


def test_the_help_imports_nothing_heavy():
    code = "import sys; from jaxcam.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert not {"jax", "numpy", "tyro", "flax", "matplotlib"} & loaded
