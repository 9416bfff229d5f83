"""What an audit leaves in a run's folder, and what the command says; a real run, real files."""

import json
import shutil

import colour_model
import numpy as np
import pytest
from PIL import Image

from jaxcam.audit.compare import comparison
from jaxcam.audit.output import Audit, plain, read_audit, write_audit
from jaxcam.audit.run import audit_run
from jaxcam.audit.signals import Figure, Signal, not_applicable
from jaxcam.audit.subject import AuditOptions
from jaxcam.audit.verdict import verdict
from jaxcam.audit.words import told
from jaxcam.commands.audit import audit as command
from jaxcam.errors import UserError

pytestmark = pytest.mark.usefixtures("quick_compilation")


def an_audit(run, *, value: float = 1.0, figures: dict | None = None) -> Audit:
    signal = Signal(
        id="M1",
        name="border",
        layer="model",
        status="red",
        value=value,
        interval=(float("nan"), float("inf")),
        sentence="With it.",
        details={"array": np.float32(2), "nan": [float("nan")], "path": run},
        figures=figures or {},
    )
    signals = (signal, not_applicable("C3", "counter", "confirm", "none given"))
    return Audit(run, verdict(signals), signals, (), AuditOptions(counter=(run,)), {"layers": ["model"]})


def test_the_file_is_json_without_nan(tmp_path):
    path = write_audit(an_audit(tmp_path, value=float("nan")))

    def refuse(word):
        raise AssertionError(word)

    found = json.loads(path.read_text(), parse_constant=refuse)
    assert found["verdict"] == "LIKELY SHORTCUT"
    assert found["signals"][0]["interval"] == [None, None]
    assert found["signals"][0]["details"] == {"array": 2.0, "nan": [None], "path": str(tmp_path)}
    assert found["not_run"] == [{"id": "C3", "name": "counter", "reason": "none given"}]
    assert found["options"]["counter"] == [str(tmp_path)]
    assert found["thresholds"]["C3"]["provenance"]
    assert found == read_audit(tmp_path) == plain(found)


def test_a_failing_audit_leaves_the_old_one(tmp_path):
    first = {"map": Figure(np.zeros((2, 2)), "heat"), "other": Figure(np.ones(3), "values")}
    write_audit(an_audit(tmp_path, figures=first))
    before = (tmp_path / "audit.json").read_bytes()

    broken = {"map": Figure(np.array([{}], dtype=object), "values")}
    with pytest.raises(ValueError, match="Object arrays"):
        write_audit(an_audit(tmp_path, figures=broken))
    assert (tmp_path / "audit.json").read_bytes() == before
    for name in ("M1_map.npy", "M1_other.npy"):
        np.load(tmp_path / "audit" / name)
    write_audit(an_audit(tmp_path, figures={"map": first["map"]}))
    assert sorted(file.name for file in (tmp_path / "audit").glob("*.npy")) == ["M1_map.npy"]


def test_figures_of_one_name_are_refused(tmp_path):
    audit = an_audit(tmp_path, figures={"map": Figure(np.zeros((2, 2)), "heat")})
    twice = Audit(tmp_path, audit.verdict, audit.signals * 2, (), audit.options, {})
    with pytest.raises(ValueError, match="M1_map"):
        write_audit(twice)
    assert not (tmp_path / "audit.json").exists()


@pytest.fixture(scope="module")
def runs(tmp_path_factory, request):
    """Two runs of the same model: before coloured scenes, and before grey ones."""
    request.getfixturevalue("quick_compilation")
    folder = tmp_path_factory.mktemp("audited")
    colour_model.write(folder / "swapped", colour_model.OWN[::-1], count=4, first=70)
    leaky = colour_model.run(folder / "leaky", colour_model.OWN)
    honest = colour_model.run(folder / "honest", colour_model.GREY)
    options = AuditOptions(counter=(folder / "swapped",))
    audit_run(leaky, options=options, only=("confirm",))
    audit_run(honest, only=("confirm",))
    return folder, leaky, honest


def test_a_run_is_audited(runs):
    _, leaky, honest = runs
    found, clean = read_audit(leaky), read_audit(honest)
    assert found["verdict"] == "CONFIRMED"
    assert found["findings"][:2] == ["C3", "C3p"]
    assert clean["verdict"] == "NO EVIDENCE"
    assert found["audited"]["count"] == 24
    assert found["layers"] == ["confirm"]
    for signal in found["signals"]:
        for figure in signal["figures"].values():
            values = np.load(leaky / "audit" / figure["file"])
            assert len(figure["labels"]) in (0, len(values))
    commands = " ".join(one["command"] for one in found["advice"])
    assert "--phases.0.augment.backgrounds 0.5" in commands
    assert "jaxcam audit --compare" in commands


def test_runs_are_compared(runs):
    _, leaky, honest = runs
    lines = comparison([leaky, honest]).splitlines()
    assert lines[1].split()[:2] == ["verdict", "CONFIRMED"]
    assert any(line.startswith("C3p") and "red" in line for line in lines)
    assert "different pictures" not in lines[-1]
    with pytest.raises(UserError, match="jaxcam audit"):
        comparison([leaky, leaky.parent])


def test_the_command_guards_a_pipeline(runs, capsys):
    folder, leaky, honest = runs
    command(honest, only=("confirm",), fail_on="at-risk", quiet=True)
    assert capsys.readouterr().out.startswith("NO EVIDENCE: ")
    with pytest.raises(SystemExit) as stop:
        command(leaky, counter=(folder / "swapped",), only=("confirm",), fail_on="likely", quiet=True)
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert said.out.startswith("CONFIRMED: objects cut out") or said.out.startswith(
        "CONFIRMED: on the counter-examples"
    )
    assert said.err.startswith("jaxcam: the audit's verdict CONFIRMED reaches --fail-on likely")
    command(compare=(leaky, honest), fail_on="likely")  # the last one counts
    with pytest.raises(SystemExit):
        command(compare=(honest, leaky), fail_on="confirmed")
    command(compare=(honest, leaky))


def test_mistakes_are_told_before_the_work(runs, tmp_path):
    folder, leaky, _ = runs
    with pytest.raises(UserError, match="no run"):
        command()
    with pytest.raises(UserError, match="no run"):
        command(tmp_path / "nothing")
    with pytest.raises(UserError, match=r"has no audit.json"):
        command(leaky, compare=(tmp_path,))
    with pytest.raises(UserError, match="--per-class is 0"):
        audit_run(leaky, options=AuditOptions(per_class=0))
    strange = tmp_path / "strange" / "other"
    strange.mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(strange / "a.png")
    with pytest.raises(UserError, match="the run knows blue, red"):
        audit_run(leaky, pictures=tmp_path / "strange")
    lost = shutil.copytree(leaky, tmp_path / "lost")
    config = json.loads((lost / "config.json").read_text())
    config["data"]["folder"] = str(tmp_path / "gone")
    (lost / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="--data SET"):
        audit_run(lost)
    found = audit_run(lost, pictures=folder / "leaky" / "pictures" / "Valid", only=("confirm",))
    assert found.facts["train"] is None
    assert told(found).startswith("CONFIRMED")
