"""Every figure of the README comes from a line of `bench/results`; what `bench/table.py` makes is what stands there."""

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMES = re.compile(r"[A-Za-z_]\w*\d\w*|\d+x\d+")
"""names and sizes: VGG16, block5_conv3, M17, 224x224"""


@pytest.fixture(scope="module")
def table():
    """`bench/table.py` as a module; its folder leaves the path again, for other names there are names of packages."""
    sys.path.insert(0, str(ROOT / "bench"))
    yield importlib.import_module("table")
    sys.path.remove(str(ROOT / "bench"))


@pytest.fixture(scope="module")
def lines(table):
    return table.load(table.RESULTS)


@pytest.fixture(scope="module")
def readme():
    return (ROOT / "README.md").read_text()


def test_the_blocks_are_those_that_the_results_give(table, lines, readme):
    assert table.written(readme, lines) == readme, "run python bench/table.py --write"
    assert readme.count("<!-- bench: ") == readme.count("<!-- end -->") == len(table.BLOCK.findall(readme))


def test_a_changed_result_or_a_changed_figure_is_noticed(table, lines, readme):
    for line in lines:
        if line["file"] == "loading" and line["subject"] == "jaxcam loader":
            line["rate"] *= 1.5
    assert table.written(readme, lines) != readme
    lines[:] = table.load(table.RESULTS)
    assert table.written(readme, lines) == readme
    name, inside = next((b[1], b[2]) for b in table.BLOCK.findall(readme) if "jaxcam grad_cam |" in b[2])
    number = re.search(r"\| (\d+\.\d+) \|", inside)[1]
    edited = readme.replace(inside, inside.replace(number, "99.9"))
    assert name == "attribution"
    assert edited != readme
    assert table.written(edited, lines) == readme


def test_an_unknown_block_is_a_mistake(table, lines):
    with pytest.raises(ValueError, match="no block 'speed'"):
        table.written("<!-- bench: speed -->\n<!-- end -->\n", lines)


def test_no_figure_stands_outside_of_the_blocks(table, readme):
    section = readme[readme.index("## Figures") : readme.index("## How it is built")]
    rest = NAMES.sub("", table.BLOCK.sub("", section))
    assert re.findall(r"[\d.]*\d[\d.]* ?%?", rest) == []


def test_measured_sentences_elsewhere_hold(table, lines, readme):
    for sentence, holds in table.CLAIMS.items():
        assert sentence in readme, f"the README has no {sentence!r} any more: take it out of CLAIMS"
        assert holds(lines), sentence


def test_every_kind_of_measurement_outside_of_figures_is_claimed(table, readme):
    """Rates, seconds and factors: in the README but for its figures and what others published, only in claims."""
    rest = readme[: readme.index("### Experiments")] + readme[readme.index("## How it is built") :]
    for sentence in table.CLAIMS:
        rest = rest.replace(sentence, "")
    assert re.findall(r"\d[\d.]* (?:times|img/s|images/s|seconds|s\b|ms\b|GB|GFLOP)", rest) == []


def test_the_newest_line_counts_and_older_ones_without_a_run_are_left_out(table):
    old = {"file": "f", "question": "q", "device": "CPU x", "rate": 1.0}
    rows = [old | {"subject": "a"}, old | {"subject": "gone"}, old | {"subject": "a", "rate": 2.0, "run": "now"}]
    assert table.chosen(rows[:2], "f").keys() == {"a", "gone"}
    assert {name: line["rate"] for name, line in table.chosen(rows, "f").items()} == {"a": 2.0}
    assert table.chosen([*rows, rows[2] | {"device": "CUDA H"}], "f", device="GPU").keys() == {"a"}
    assert sorted(line["rate"] for line in table.newest(rows)) == [1.0, 2.0]
