"""An audit as a notebook shows it: words escaped, statuses in colour, runs beside each other."""

import json

import pytest

import jaxcam
from jaxcam.audit.shown import audit_html
from jaxcam.errors import UserError

SIGNAL = {"id": "D1", "name": "<b>colour", "value": 0.97, "interval": [0.9, 1.0], "threshold": 0.95, "n": 20,
          "status": "red", "sentence": "s", "reason": ""}  # fmt: skip
AUDIT = {
    "verdict": "AT RISK",
    "sentence": "one property <tells> the class",
    "findings": ["D1"],
    "signals": [
        SIGNAL,
        SIGNAL | {"id": "M1", "name": "border", "status": "green", "value": 0.1},
        SIGNAL | {"id": "C3", "name": "counter", "status": "not_applicable", "value": None, "reason": "no folder"},
    ],
    "advice": [{"finding": "D1", "text": "balance", "command": "jaxcam data balance <set>"}],
    "audited": {"name": "valid", "count": 20},
}


def test_an_audit_as_tables():
    page = audit_html(AUDIT)
    assert "&lt;tells&gt;" in page
    assert "<b>colour" not in page
    assert "jaxcam data balance &lt;set&gt;" in page
    assert page.count("<table>") == 3  # the finding, one other test, one that did not apply
    assert page.index("#b9770e") < page.index("#c0392b") < page.index("#1e8449")


def test_runs_beside_each_other(tmp_path):
    for name, changes in (("one", {}), ("two", {"verdict": "NO EVIDENCE", "audited": {"name": "test", "count": 3}})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "audit.json").write_text(json.dumps(AUDIT | changes))
    found = jaxcam.compare(tmp_path / "one", str(tmp_path / "two"))
    assert "AT RISK" in str(found)
    page = found._repr_html_()
    assert page.count("<th") == 3
    assert "NO EVIDENCE" in page
    assert "different pictures" in page
    with pytest.raises(UserError, match=r"has no audit\.json"):
        jaxcam.compare(tmp_path)
    with pytest.raises(UserError, match="no runs"):
        jaxcam.compare()
