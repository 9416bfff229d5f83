"""What an audit leaves in the run's folder: `audit.json`, and its figures in `audit/`.

The figures come first and the JSON file last, each whole or not at all: an audit that is killed leaves the old
`audit.json` with all the figures that it names. Figures that no longer belong to it go when the new one stands.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxcam import __version__
from jaxcam.audit.advice import Advice
from jaxcam.audit.signals import Signal
from jaxcam.audit.subject import AuditOptions
from jaxcam.audit.thresholds import THRESHOLDS
from jaxcam.audit.verdict import Verdict
from jaxcam.errors import UserError
from jaxcam.files import read_json, write_json

FILE, FIGURES = "audit.json", "audit"


@dataclass(frozen=True, repr=False)
class Audit:
    """A finished audit; `print` tells it, a notebook shows it as tables."""

    run: Path
    verdict: Verdict
    signals: tuple[Signal, ...]
    advice: tuple[Advice, ...]
    options: AuditOptions
    facts: Mapping[str, Any]
    """which pictures were audited, how many, by which layers"""

    def __repr__(self) -> str:
        return f"<Audit of {self.run}: {self.verdict.word}>"

    def __str__(self) -> str:
        from jaxcam.audit.words import told

        return told(self)

    def _repr_html_(self) -> str:
        from jaxcam.audit.shown import audit_html

        return audit_html(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The content of `audit.json`: plain JSON values, no NaN."""
        return plain(
            {
                "verdict": self.verdict.word,
                "sentence": self.verdict.sentence,
                "findings": list(self.verdict.findings),
                "signals": [signal.to_json() for signal in self.signals],
                "not_run": [
                    {"id": signal.id, "name": signal.name, "reason": signal.reason}
                    for signal in self.signals
                    if signal.status == "not_applicable"
                ],
                "thresholds": {id: asdict(threshold) for id, threshold in THRESHOLDS.items()},
                "options": asdict(self.options),
                "advice": [asdict(advice) for advice in self.advice],
                **self.facts,
                "jaxcam": __version__,
            }
        )


def plain(value: Any) -> Any:
    """A value as JSON has it: NaN and infinities become null, tuples and arrays lists, paths words."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def write_audit(audit: Audit) -> Path:
    """Write the figures, then `audit.json`; returns its path."""
    folder = audit.run / FIGURES
    check_figures(audit.signals)
    for signal in audit.signals:
        signal.save_figures(folder)
    path = audit.run / FILE
    write_json(path, audit.to_json())
    kept = {f"{signal.id}_{name}.npy" for signal in audit.signals for name in signal.figures}
    for file in folder.glob("*.npy") if folder.is_dir() else ():
        if file.name not in kept:
            file.unlink(missing_ok=True)
    return path


def check_figures(signals: Sequence[Signal]) -> None:
    """Raise ValueError where two figures would share a file."""
    names = [f"{signal.id}_{name}.npy" for signal in signals for name in signal.figures]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two figures would be {twice[0]}; signals need ids of their own")


def read_audit(run: Path) -> dict[str, Any]:
    """What `audit.json` of a run says; `UserError` where there is none or it is none."""
    path = run / FILE
    if not run.is_dir():
        raise UserError(f"no run {str(run)!r}; give the folder that `jaxcam train` wrote")
    if not path.is_file():
        raise UserError(f"{run} has no {FILE}; run `jaxcam audit {run}` first")
    found = read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("signals"), list) or "verdict" not in found:
        raise UserError(f"{path} is not what `jaxcam audit` writes; run it again")
    return found
