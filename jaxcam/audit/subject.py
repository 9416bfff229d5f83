"""What is audited, and how thoroughly."""

from dataclasses import dataclass
from pathlib import Path

from jaxcam.classifier import Classifier
from jaxcam.data.images import ImageSet


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """How thorough the audit is, and what more the user knows."""

    method: str = "auto"
    """attribution method of the maps; auto: cam where the head is a CAM head, else grad_cam"""
    stage: str | None = None
    """stage of a layer method's maps; None: the last one with maps"""
    per_class: int = 200
    """images of a class that masking tests run on, at most"""
    samples: int = 2000
    """the same for all classes together"""
    whole_set: bool = False
    """mean maps and calibration over every picture of the audited set, for one more forward pass of it"""
    batch_size: int = 32
    seed: int = 0
    counter: tuple[Path, ...] = ()
    """folders of counter-examples: the labels are right, the suspected cue is broken (swapped backgrounds)"""
    background: Path | None = None
    """folder of pictures without an object"""
    masks: Path | None = None
    """folder of object masks named like the images"""
    boxes: Path | None = None
    """COCO .json or .csv of object boxes"""
    groups: Path | None = None
    """.csv with path and group columns"""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A classifier and the pictures it is audited on."""

    run: Path
    classifier: Classifier
    audited: ImageSet
    """the set whose pictures are tested: validation, or what --data named"""
    train: ImageSet | None
    """the training pictures where they are there"""
    options: AuditOptions
