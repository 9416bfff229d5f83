"""The training loop on two devices: history, phases, weights, warnings, resume."""

import json
import math
import shutil
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import CLASSES, tree, write_pictures

from jaxcam.classifier import Classifier
from jaxcam.config import Config, Data, Network, Phase
from jaxcam.errors import UserError
from jaxcam.evaluation import predict_set
from jaxcam.networks import Head
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress
from jaxcam.training.history import cut_history
from jaxcam.training.loop import fit
from jaxcam.training.phase_run import PhaseRun
from jaxcam.training.start import image_sets, initial_classifier
from jaxcam.training.stopping import Best, outcomes

pytestmark = pytest.mark.usefixtures("quick_compilation")
QUIET = Progress(quiet=True)
FIRST = Phase(epochs=2, batch_size=8, learning_rate=1e-2)
ONE = replace(FIRST, epochs=1)
SECOND = Phase(trainable="conv3", epochs=2, batch_size=5, learning_rate=1e-3, schedule="cosine", optimiser="rmsprop")
CONFIG = Config(
    network=Network(name="convnet", width=1 / 16, weights="none", base_end="conv4", head=Head(kind="cam")),
    preprocessing=Preprocessing.named("tf", size=(48, 56)),
    phases=(FIRST, SECOND),
)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = write_pictures(tmp_path_factory.mktemp("loop") / "set", broken=False)
    return image_sets(Data(folder=str(folder)), 0)


@pytest.fixture(scope="module")
def classifier():
    return initial_classifier(CONFIG, CLASSES)


def fitted(classifier, config, sets, run, progress=QUIET):
    return fit(classifier, config, sets["train"], sets["valid"], run, progress=progress)


def history(run):
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(classifier, sets, tmp_path_factory):
    """Initial and final classifier of both phases, and their folder."""
    run = tmp_path_factory.mktemp("whole")
    return classifier, fitted(classifier, CONFIG, sets, run), run


def test_history_has_a_line_for_each_epoch(whole):
    records = history(whole[2])
    train = "train_loss train_accuracy train_balanced_accuracy train_gradient_norm"
    valid = "valid_loss valid_accuracy valid_balanced_accuracy valid_logit_spread"
    assert [list(record) for record in records] == [f"phase epoch step {train} {valid} learning_rate".split()] * 4
    assert [(r["phase"], r["epoch"], r["step"]) for r in records] == [(0, 1, 3), (0, 2, 6), (1, 1, 4), (1, 2, 8)]
    rates = [record["learning_rate"] for record in records]
    np.testing.assert_allclose(rates, [0.01, 0.01, *(0.0005 * (1 + np.cos(np.pi * np.array([3, 7]) / 8)))], rtol=1e-5)
    timings = [json.loads(line) for line in (whole[2] / "timings.jsonl").read_text().splitlines()]
    assert [(t["phase"], t["epoch"]) for t in timings] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert ["compile_seconds" in t for t in timings] == [True, False, True, False]
    assert all(t["images_per_second"] > 0 and t["waiting_seconds"] >= 0 for t in timings)


def test_the_history_is_about_the_classifier_that_is_returned(whole, sets):
    last, predictions = history(whole[2])[-1], predict_set(whole[1], sets["valid"], progress=QUIET)
    assert last["valid_accuracy"] == pytest.approx(predictions.accuracy, abs=1e-6)
    assert last["valid_loss"] == pytest.approx(mean_loss(predictions), rel=1e-4)
    assert last["valid_logit_spread"] == pytest.approx(np.ptp(predictions.logits, axis=0).max(), rel=1e-3)


def mean_loss(predictions):
    logits, labels = predictions.logits.astype(np.float64), predictions.images.labels
    return float((np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]).mean())


def test_each_phase_moves_its_stages_and_no_other(whole):
    before, after, run = whole
    moved = {
        name: any((np.asarray(a) != np.asarray(b)).any() for a, b in zip(*map(jax.tree.leaves, pair), strict=True))
        for name, pair in ((name, (before.params[name], after.params[name])) for name in before.params)
    }
    assert moved == {"conv1": False, "conv2": False, "conv3": True, "conv4": True, "conv_last": True}
    stages = {step: sorted(p.name for p in (run / "checkpoints" / step).iterdir()) for step in ("3", "4")}
    assert stages["3"] == stages["4"]
    parameters = json.loads((run / "checkpoints" / "4" / "params" / "_METADATA").read_text())["tree_metadata"]
    assert {key.split("'")[1] for key in parameters} == {"conv3", "conv4", "conv_last"}


def test_continuing_from_a_checkpoint_equals_an_uninterrupted_run(whole, sets, tmp_path, capsys):
    """Between the phases and inside the second, with lines of the history that come after the checkpoint."""
    initial, final, run = whole
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "4")
    with open(tmp_path / "run" / "history.jsonl", "a") as file:
        file.write('{"phase": 1, "ep')
    again = fitted(initial, CONFIG, sets, tmp_path / "run", progress=Progress())
    assert "continuing after epoch 1 of phase 2" in capsys.readouterr().err
    jax.tree.map(np.testing.assert_array_equal, dict(final.params), dict(again.params))
    assert tree(tmp_path / "run", "history.jsonl") == tree(run, "history.jsonl")
    assert len((tmp_path / "run" / "timings.jsonl").read_text().splitlines()) == 4


def test_a_run_that_has_all_its_epochs_only_reads_the_last_checkpoint(whole, sets):
    initial, final, run = whole
    before = tree(run, "history.jsonl", "timings.jsonl")
    empty = {"train": sets["train"].subset([]), "valid": sets["valid"].subset([])}
    jax.tree.map(np.testing.assert_array_equal, dict(final.params), dict(fitted(initial, CONFIG, empty, run).params))
    assert tree(run, "history.jsonl", "timings.jsonl") == before


def test_a_run_whose_classes_have_changed_is_not_continued(whole, sets):
    initial, _, run = whole
    fewer = {name: value[..., :2] for name, value in initial.params["conv_last"].items()}
    network, params = replace(initial.network, classes=2), {**initial.params, "conv_last": fewer}
    other = Classifier(network, params, initial.preprocessing, CLASSES[:2])
    with pytest.raises(UserError, match=r"class_names: \['checks', 'red_disc', 'star'\] -> \['checks', 'red_disc'\]"):
        fitted(other, CONFIG, sets, run)


def test_features_in_memory_and_pictures_decoded_anew_train_the_same(whole, sets, tmp_path):
    config = replace(CONFIG, cache_gib=0.0, phases=(FIRST,))
    fitted(whole[0], config, sets, tmp_path)
    for ours, theirs in zip(history(tmp_path), history(whole[2])[:2], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-4)


def test_class_weights_scale_the_training_loss_alone(classifier, sets, tmp_path):
    """Without movement (a rate of almost nothing) the history must show the weighted and the plain loss."""
    phase = replace(ONE, learning_rate=1e-12, class_weights=tuple((name, 3.0) for name in CLASSES))
    config = replace(CONFIG, phases=(phase,))
    fitted(classifier, config, sets, tmp_path)
    (record,) = history(tmp_path)
    plain = {name: mean_loss(predict_set(classifier, images, progress=QUIET)) for name, images in sets.items()}
    assert record["train_loss"] == pytest.approx(3 * plain["train"], rel=1e-4)
    assert record["valid_loss"] == pytest.approx(plain["valid"], rel=1e-4)


def test_a_dead_head_is_told(classifier, sets, tmp_path, capsys):
    network = replace(classifier.network, head=Head(kind="cam", relu=True))
    params = {**classifier.params, "conv_last": {**classifier.params["conv_last"], "bias": jnp.full((3,), -1e3)}}
    dead, config = Classifier(network, params, classifier.preprocessing, CLASSES), replace(CONFIG, phases=(ONE,))
    fitted(dead, config, sets, tmp_path, progress=Progress())
    assert history(tmp_path)[0]["valid_logit_spread"] == 0
    assert "every picture gets the same logits: the head is dead. Lower --phases.0." in capsys.readouterr().err


def test_a_loss_that_is_no_number_ends_the_training(classifier, sets, tmp_path):
    config = replace(CONFIG, phases=(replace(FIRST, optimiser="sgd", learning_rate=1e30),))
    with pytest.raises(
        UserError, match=r"training diverged: the loss is (nan|inf) at step \d, in epoch 1 of phase 1; give a sm"
    ):
        fitted(classifier, config, sets, tmp_path)


def test_pictures_that_all_turn_out_unreadable_end_the_training(classifier, sets, tmp_path):
    """Streamed, so that it shows only in the first epoch; the headers alone were right when the folder was read."""
    shutil.copytree(sets["valid"].root, tmp_path / "Valid")
    broken = replace(sets["valid"], root=tmp_path / "Valid")
    for row in range(len(broken)):
        broken.file(row).write_bytes(broken.file(row).read_bytes()[:100])
    config = replace(CONFIG, cache_gib=0.0, phases=(ONE,))
    with pytest.raises(UserError, match="no readable picture in the validation set"):
        fitted(classifier, config, {"train": sets["train"], "valid": broken}, tmp_path / "run")


def test_every_epoch_has_its_own_order_of_all_pictures(classifier, sets):
    job = PhaseRun(classifier, replace(CONFIG, phases=(FIRST,)), 0, sets["train"], sets["valid"], QUIET)
    first, second = (table[table >= 0].tolist() for table in (job.training_table(0), job.training_table(1)))
    assert sorted(first) == sorted(second) == list(range(18))
    assert first != second


STOPPING = Phase(
    trainable="norm2,head", epochs=7, batch_size=8, learning_rate=0.3, optimiser="sgd", steps=2, early_stopping=2,
    keep="best", monitor="valid_accuracy", label_smoothing=0.1, schedule="step",
)  # fmt: skip
NORMED = replace(
    CONFIG,
    network=Network(name="alexnet", width=1 / 32, weights="none", base_end="norm2", head=Head(kind="cam")),
    preprocessing=Preprocessing.named("tf", size=(64, 60)),
    phases=(STOPPING, replace(STOPPING, trainable="all", epochs=3, learning_rate=1e-2, keep="last")),
)


@pytest.fixture(scope="module")
def stopped(sets, tmp_path_factory):
    """A run with batch norm, early stopping and best parameters; and what was said."""
    lines, run = [], tmp_path_factory.mktemp("stopped") / "run"
    started = initial_classifier(NORMED, CLASSES)
    return started, fitted(started, NORMED, sets, run, progress=Heard(lines)), run, lines


class Heard(Progress):
    """Keeps what is said."""

    def __init__(self, lines):
        object.__setattr__(self, "quiet", True)
        object.__setattr__(self, "lines", lines)

    def say(self, line):
        self.lines.append(line)


def test_a_phase_stops_where_nothing_gets_better_and_hands_on_its_best(stopped, sets):
    initial, final, run, lines = stopped
    records = [record for record in history(run) if record["phase"] == 0]
    values = [record["valid_accuracy"] for record in records]
    best = int(np.argmax(values)) + 1
    assert len(records) == min(best + 2, 7) < 7
    assert f"phase 1 ends after epoch {len(records)}: no better valid_accuracy since epoch {best}" in lines
    assert f"phase 1 keeps epoch {best} (valid_accuracy {values[best - 1]:.4f})" in lines
    facts = outcomes(history(run), NORMED.phases)
    assert facts[0] == {
        "phase": 0, "epochs": best + 2, "stopped_early": True, "kept_epoch": best, "monitor": "valid_accuracy",
        "best_epoch": best, "best_value": values[best - 1],
    }  # fmt: skip
    # What the second phase began with is what the first one judged in its best epoch, running statistics included.
    handed = replace(initial, params=best_of_first_phase(initial, sets, best))
    assert predict_set(handed, sets["valid"], progress=QUIET).accuracy == pytest.approx(values[best - 1])
    begun = PhaseRun(replace(final, params=handed.params), NORMED, 1, sets["train"], sets["valid"], QUIET)
    _, first, _ = begun.epoch(begun.state(), 0)
    assert first == history(run)[len(records)]


def best_of_first_phase(initial, sets, epochs):
    """The parameters after so many epochs, computed once more."""
    job = PhaseRun(initial, NORMED, 0, sets["train"], sets["valid"], QUIET)
    state = job.state()
    for epoch in range(epochs):
        state, *_ = job.epoch(state, epoch)
    return {**initial.params, **jax.device_get(state.params)}


def test_batch_norm_moves_with_its_stage_alone(stopped, sets):
    initial, *_ = stopped
    after = best_of_first_phase(initial, sets, 1)
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_array_equal(after["norm1"][name], initial.params["norm1"][name])
        assert (np.asarray(after["norm2"][name]) != np.asarray(initial.params["norm2"][name])).all()


@pytest.mark.parametrize("kept_steps", [1, 3])
def test_stopping_and_best_parameters_survive_a_kill(stopped, sets, tmp_path, kept_steps):
    """Killed after any of the checkpoints: the same bytes of history, the same parameters."""
    initial, final, run, _ = stopped
    killed = tmp_path / "run"
    interrupted_after(kept_steps, initial, sets, killed)
    again = fitted(initial, NORMED, sets, killed)
    jax.tree.map(np.testing.assert_array_equal, dict(final.params), dict(again.params))
    assert tree(killed, "history.jsonl") == tree(run, "history.jsonl")


def interrupted_after(saves, initial, sets, run):
    """Train until so many checkpoints were begun, then stop as a kill would."""

    class Killed(BaseException):
        pass

    count = 0

    def hook(event, arguments):
        nonlocal count
        if event == "open" and count < saves and str(arguments[0]).endswith("timings.jsonl") and arguments[1] == "a":
            count += 1
            if count == saves:
                raise Killed

    sys.addaudithook(hook)
    with pytest.raises(Killed):
        fitted(initial, NORMED, sets, run)


def test_the_history_is_cut_at_the_checkpoint(tmp_path):
    lines = [json.dumps({"phase": phase, "epoch": epoch}) + "\n" for phase, epoch in ((0, 1), (0, 2), (1, 1), (1, 2))]
    for place, kept in (((0, 0), 0), ((0, 2), 2), ((1, 1), 3), ((1, 2), 4)):
        (tmp_path / "history.jsonl").write_text("".join(lines) + '{"phase": 1, "epo')
        cut_history(tmp_path / "history.jsonl", dict(zip(("phase", "epoch"), place, strict=True)))
        assert (tmp_path / "history.jsonl").read_text() == "".join(lines[:kept])
    cut_history(tmp_path / "absent.jsonl", {"phase": 0, "epoch": 0})


@pytest.mark.parametrize(
    ("monitor", "values", "best", "stops"),
    [
        ("valid_loss", [3.0, 2.0, 2.0, 2.5], 2, 4),
        ("valid_loss", [1.0, 2.0, 3.0], 1, 3),
        ("valid_accuracy", [0.5, 0.4, 0.6, 0.6, 0.6], 3, 5),
        ("valid_loss", [math.nan, 2.0, math.inf, 1.0], 4, None),
        ("valid_balanced_accuracy", [math.nan, math.nan, math.nan], 0, 2),
    ],
)
def test_the_best_epoch_and_the_last(monitor, values, best, stops):
    phase, found, ended = Phase(monitor=monitor, early_stopping=2), Best(), None
    for epoch, value in enumerate(values, start=1):
        found = found.after(phase, {"epoch": epoch, monitor: value})
        ended = ended or (epoch if found.stops(phase, epoch) else None)
    assert (found.epoch, ended) == (best, stops)
