"""`jaxcam audit`."""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxcam.errors import UserError

FAIL_ON = ("none", "at-risk", "likely", "confirmed")
STATUS = {"NO EVIDENCE": 0, "AT RISK": 1, "LIKELY SHORTCUT": 2, "CONFIRMED": 2}
LEVEL = {"NO EVIDENCE": 0, "AT RISK": 1, "LIKELY SHORTCUT": 2, "CONFIRMED": 3}


@dataclass(frozen=True, kw_only=True)
class Thoroughness:
    """How many pictures, and which maps."""

    method: str = "auto"
    """attribution method of the maps; auto: cam where the head is a CAM head, else grad_cam"""
    stage: str | None = None
    """stage of a layer method's maps; default: the last one with maps"""
    per_class: int = 200
    """pictures of a class that are changed and asked again, at most"""
    samples: int = 2000
    """the same for all classes together"""
    whole_set: bool = False
    """mean maps and calibration over every picture of the audited set, for one more forward pass of it"""
    batch_size: int = 32
    """pictures a step"""
    seed: int = 0
    """decides which pictures are drawn, and what stands before what"""


def audit(
    run: Annotated[Path | None, tyro.conf.Positional] = None,
    *,
    data: str | None = None,
    counter: tuple[Path, ...] = (),
    background: Path | None = None,
    masks: Path | None = None,
    boxes: Path | None = None,
    groups: Path | None = None,
    only: tuple[Literal["data", "model", "confirm"], ...] = (),
    fail_on: Literal["none", "at-risk", "likely", "confirmed"] = "none",
    compare: tuple[Path, ...] = (),
    thoroughness: Annotated[Thoroughness, tyro.conf.arg(name="")] = Thoroughness(),
    quiet: bool = False,
) -> None:
    """Does the model cheat? Is a shortcut in the data, does the model use it, is that confirmed?

    Writes RUN/audit.json and RUN/audit. With --fail-on the exit status is 1 for AT RISK and 2 for LIKELY SHORTCUT and
    CONFIRMED, where the verdict reaches that level, and 0 below it. A mistake in the command or the files is also 2,
    but then no verdict is printed; a verdict's line on stderr starts with "jaxcam: the audit's verdict".

    Example: jaxcam audit runs/pictures --counter swapped --fail-on likely

    Args:
        run: a run's folder
        data: set to audit on (folder, manifest, prepared folder, tfds:NAME); default: the run's validation pictures
        counter: folders of counter-examples, a sub-folder a class: the suspected cue is missing or another class' one
        background: folder of pictures of the empty scenes, without an object
        masks: folder with an object mask for each picture, under the picture's relative path
        boxes: object boxes, COCO .json or .csv with path, xmin, ymin, xmax, ymax
        groups: .csv with path and group: the accuracy of each class in each group
        only: layers to run; default: all three
        fail_on: verdict from which on the exit status is not 0
        compare: runs that were audited, side by side (with RUN, after auditing it)
        thoroughness: how many pictures, and which maps
        quiet: no progress
    """
    if run is None and not compare:
        raise UserError("no run: give the folder that `jaxcam train` wrote, as in `jaxcam audit runs/pictures`")
    word: str | None = None
    if run is not None:
        from jaxcam import devices
        from jaxcam.audit.run import audit_run
        from jaxcam.audit.subject import AuditOptions
        from jaxcam.audit.words import told
        from jaxcam.progress import Progress

        devices.keep_compiled()
        options = AuditOptions(
            **asdict(thoroughness),
            counter=counter,
            background=background,
            masks=masks,
            boxes=boxes,
            groups=groups,
        )
        for other in compare:
            known(other, run)
        found = audit_run(run, pictures=data, options=options, only=only, progress=Progress(quiet))
        print(told(found))
        print(f"\n{run / 'audit.json'}: next, jaxcam report {run}")
        word = found.verdict.word
    if compare:
        from jaxcam.audit.compare import comparison

        runs = [*compare, *([run] if run is not None and run not in compare else [])]
        print(("\n" if run is not None else "") + comparison(runs))
        word = word or last_word(runs)
    leave(word, fail_on)


def known(other: Path, run: Path) -> None:
    """Refuse, before the long work, a run to compare with that was not audited."""
    from jaxcam.audit.output import read_audit

    if other != run:
        read_audit(other)


def last_word(runs: list[Path]) -> str:
    """The verdict of the last run: the one after the repair."""
    from jaxcam.audit.output import read_audit

    return str(read_audit(runs[-1])["verdict"])


def leave(word: str | None, fail_on: str) -> None:
    """End with the exit status of the verdict, where it reaches the level that was asked for."""
    level = FAIL_ON.index(fail_on)
    if word is None or level == 0 or LEVEL.get(word, 0) < level:
        return
    print(f"jaxcam: the audit's verdict {word} reaches --fail-on {fail_on}", file=sys.stderr)
    raise SystemExit(STATUS[word])
