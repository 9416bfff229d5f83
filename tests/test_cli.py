"""The command line: help, mistakes told in one line, a run from training to report, and no heavy imports."""

import csv
import inspect
import shutil
import subprocess
import sys

import pytest

from jaxcam.cli import COMMANDS, main


@pytest.fixture
def desk(shell, monkeypatch):
    """The folder that the commands run in: `pictures`, `tiny.py`, and things that are none of it."""
    monkeypatch.chdir(shell.folder)
    if not (shell.folder / "notes.txt").exists():
        (shell.folder / "notes.txt").write_text("mine\n")
        (shell.folder / "raises.py").write_text('raise RuntimeError("two\\nlines")\n')
        (shell.folder / "number.py").write_text("def get_config():\n    return 3\n")
        (shell.folder / "stopped.py").write_text("raise KeyboardInterrupt\n")
        shutil.copytree(shell.folder / "pictures" / "Train" / "star", shell.folder / "single" / "star")
        (shell.folder / "started").mkdir()
        (shell.folder / "started" / "config.json").write_text("{}\n")
    return shell.folder


@pytest.fixture
def call(desk, capsys):
    """Run a command in this process: exit status, stdout, stderr."""

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        return status, *capsys.readouterr()

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(call, command):
    status, out, err = call(*command.split(), "--help")
    assert (status, err) == (0, "")
    assert f"Example: jaxcam {command}" in " ".join(out.split())
    assert COMMANDS[command].about == (inspect.getdoc(COMMANDS[command].load()) or "").splitlines()[0]


def test_the_commands_are_listed(call):
    for arguments in ((), ("--help",)):
        status, out, err = call(*arguments)
        assert (status, err) == (0, "")
        assert all(f"jaxcam {command}" in out for command in COMMANDS)
    for arguments in (("data",), ("data", "--help"), ("weights",)):
        status, out, err = call(*arguments)
        listed = {command for command in COMMANDS if f"  jaxcam {command}  " in out}
        assert (status, err) == (0, "")
        assert listed == {command for command in COMMANDS if command.startswith(f"{arguments[0]} ")}
    assert call("--version")[1].count(".") == 2


def test_a_configs_help_lists_its_values(call):
    status, out, err = call("train", "tiny.py", "--help")
    assert (status, err) == (0, "")
    assert "Two phases on tiny pictures." in out
    for option in ("--phases.1.learning-rate", "--data.folder", "--network.width", "--out", "--seed"):
        assert option in out


TRAIN = ("train", "tiny.py", "--out", "new", "--quiet")
MISTAKES = {
    ("trian",): "unknown command 'trian'; there are: demo, ",
    ("train",): "no config: give a file first",
    ("train", "absent.py"): "no config file 'absent.py'",
    ("train", "raises.py"): "config 'raises.py' failed: RuntimeError: two lines",
    ("train", "number.py"): "gave int; it must return jaxcam.config.Config",
    ("train", "tiny.py:fodler=x"): "unexpected keyword argument 'fodler'",
    (*TRAIN, "--colour", "red"): "Unrecognized options: --colour",
    (*TRAIN, "--seed", "one"): "invalid literal for int() with base 10: 'one'",
    (*TRAIN, "--data.folder", "absent"): "no folder absent",
    (*TRAIN, "--data.folder", "notes.txt"): "notes.txt is a file",
    (*TRAIN, "--data.folder", "single"): "single has a single class folder, 'star'; at least two are needed",
    (*TRAIN, "--phases.0.class-weights", "moon", "3"): "unknown classes ['moon']",
    (*TRAIN, "--phases.1.trainable", "conv9"): "unknown stage 'conv9'; this network has: conv1",
    (*TRAIN, "--network.weights", "absent"): "no weights 'absent'",
    (*TRAIN, "--network.weights", "notes.txt"): "notes.txt: not a weight file",
    (*TRAIN, "--network.name", "vgg99"): "unknown network 'vgg99'; there are: vgg16",
    (*TRAIN, "--preprocessing.size", "8", "8"): "input size (8, 8) is too small for 'convnet'",
    (*TRAIN, "--seed", "-1"): "--seed is -1; it must be at least 0",
    (*TRAIN, "--phases.1.batch-size", "0"): "--phases.1.batch-size is 0; it must be at least 1",
    ("train", "tiny.py", "--out", "single"): "single is not empty and holds no run",
    ("train", "tiny.py", "--quiet", "--out", "notes.txt/run"): "Not a directory",
    ("evaluate",): "a run's folder (required)",
    ("evaluate", "absent"): "no run 'absent'",
    ("evaluate", "single"): "no classifier in 'single' (classifier.json is missing); finish `jaxcam train` first",
    ("evaluate", "trained", "--data", "absent"): "no folder absent",
    ("evaluate", "trained", "--data", "pictures/Valid"): "its own 'valid' pictures; give a --name",
    ("explain", "started"): "finish `jaxcam train` first",
    ("explain", "trained", "--stage", "conv9"): "unknown stage 'conv9'; this network has: conv1",
    ("explain", "trained", "--stage", "gap"): "stage 'gap' has no positions",
    ("explain", "trained", "--methods", "limes"): "methods limes: give each once, of cam, grad_cam, ",
    ("explain", "trained", "--targets", "dog"): "unknown target 'dog'; there are: predicted, true, all, checks",
    ("explain", "trained", "--batch-size", "0"): "--batch-size is 0; it must be at least 1",
    ("explain", "trained", "--name", "../up"): "--name '../up' becomes a file's name",
    ("predict", "trained"): "no images: give image files",
    ("predict", "trained", "notes.txt"): "notes.txt: no JPEG, PNG",
    ("predict", "trained", "pictures/Valid/star/cut.png"): "pictures/Valid/star/cut.png: ",
    ("predict", "started", "pictures/Valid/star/00.png"): "finish `jaxcam train` first",
    ("report", "absent"): "no folder 'absent'",
    ("report", "single"): "'single' holds no run",
    ("weights", "steal"): "unknown command 'weights steal'; there are: weights list, weights fetch",
    ("weights", "fetch", "absent"): "unknown weights 'absent'; there are: vgg16_mini",
    ("bench", "steal"): "unknown question 'steal'; there are: ",
    ("demo", "--colour", "red"): "Unrecognized options: --colour",
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_a_mistake_is_told_in_one_line(call, trained, desk, arguments):
    status, _, err = call(*arguments)
    assert (status, err.count("\n"), err[:8]) == (2, 1, "jaxcam: ")
    assert MISTAKES[arguments] in err
    assert not (desk / "new").exists()


def test_exit_status_and_output_of_the_process(shell):
    done = shell("trian", status=2)
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)


def test_an_interrupt_is_told_without_a_traceback(call):
    status, _, err = call("train", "stopped.py")
    assert (status, err.count("\n")) == (130, 1)


@pytest.mark.parametrize(
    ("config", "options", "changed"),
    [
        ("tiny.py:epochs=9", (), "(phases.0.epochs: 3 -> 9)"),
        ("tiny.py:epochs=9,folder=a b", (), "(data.folder: pictures -> a b; phases.0.epochs: 3 -> 9)"),
        (
            "tiny.py",
            ("--phases.0.epochs", "7", "--phases.1.optimiser", "sgd"),
            "0.epochs: 3 -> 7; phases.1.optimiser: a",
        ),
        ("tiny.py:epochs=9", ("--phases.0.epochs", "4", "--seed", "2"), "(phases.0.epochs: 3 -> 4; seed: 0 -> 2)"),
        ("tiny.py", ("--preprocessing.size", "64", "48"), "(preprocessing.size: [48, 56] -> [64, 48])"),
        ("tiny.py", ("--network.head.relu",), "(network.head.relu: False -> True)"),
        ("tiny.py", ("--phases.0.class-weights", "star", "2"), "class_weights: none -> [['star', 2.0]])"),
    ],
)
def test_arguments_of_a_config_and_options_change_its_values(call, trained, config, options, changed):
    """The run was made by `tiny.py` itself, so the refusal names what differs."""
    status, _, err = call("train", config, *options, "--out", "trained", "--quiet")
    assert status == 2
    assert changed in err


def test_a_finished_run_is_not_trained_again(call, trained):
    status, out, err = call("train", "tiny.py", "--out", "trained")
    assert (status, "nothing to do" in err) == (0, True)
    assert out == "trained: next, jaxcam explain trained and jaxcam report trained\n"


def flags_of(run, name="valid"):
    with open(run / "predictions" / f"{name}.csv", newline="") as file:
        return [row["flags"] for row in csv.DictReader(file)]


def test_from_training_to_report(call, trained, desk):
    run = desk / "story"
    shutil.copytree(trained, run)

    status, out, _ = call("evaluate", "story", "--quiet")
    assert status == 0
    assert "train: accuracy " in out
    assert "valid: accuracy " in out
    assert "left out: 1 of 10 images could not be read" in out

    status, out, err = call("explain", "story", "--methods", "cam", "grad_cam", "--targets", "all", "--overlays")
    assert status == 0
    assert "story/maps/valid.zarr: 10 images, cam, grad_cam\n" in out
    assert "skipped star/cut.png: " in err
    assert len(list((run / "overlays" / "valid").rglob("*.jpg"))) == 9 * 2 * 3

    flags = flags_of(run)
    assert call("evaluate", "story", "--quiet")[0] == 0
    assert flags_of(run) == flags  # the table still tells the maps' flags

    status, out, _ = call("evaluate", "story", "--data", "pictures/Valid", "--name", "again", "--quiet")
    assert status == 0
    assert out.startswith("again: accuracy ")
    assert len(flags_of(run, "again")) == 10

    star = "pictures/Valid/star/00.png"
    status, out, _ = call("predict", "story", star, "pictures/Valid/checks/00.png", "--overlay", "laid")
    assert status == 0
    assert out.splitlines()[0].startswith(f"{star}: ")
    assert 0.3 < float(out.splitlines()[0].split()[-1]) <= 1
    assert out.splitlines()[2:] == ["laid/00.jpg", "laid/00-2.jpg"]

    status, out, _ = call("report", "story")
    assert (status, out) == (0, "story/report/index.html\n")
    assert (run / "report" / "index.html").read_text().count("star/00.png") > 0


def test_a_set_of_its_own_name_stands_beside_the_runs_own(call, trained, desk):
    shutil.copytree(trained, desk / "named")
    before = (desk / "named" / "predictions" / "valid.csv").read_bytes()
    options = ("--data", "pictures", "--name", "elsewhere", "--quiet")
    status, out, _ = call("explain", "named", *options)
    assert status == 0
    assert [line.split(":")[0] for line in out.splitlines()] == [
        "named/maps/elsewhere_train.zarr",
        "named/maps/elsewhere_valid.zarr",
    ]
    assert (desk / "named" / "predictions" / "valid.csv").read_bytes() == before
    assert len(flags_of(desk / "named", "elsewhere_valid")) == 10


def test_help_and_import_load_nothing_heavy():
    heavy = ("jax", "flax", "optax", "orbax", "grain", "matplotlib", "tensorstore", "jinja2", "PIL", "numpy")
    code = (
        "import sys, jaxcam, jaxcam.cli\n"
        "jaxcam.cli.main(['--help'])\n"
        "jaxcam.cli.main(['explain', '--help'])\n"
        f"print(sorted(set({heavy}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.splitlines()[-1] == "[]"
