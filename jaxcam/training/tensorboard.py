"""A history as TensorBoard's event file, with whichever writer is installed."""

import importlib
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxcam.errors import UserError

WRITERS = ("tensorboardX", "torch.utils.tensorboard")
"""modules with a `SummaryWriter`, in the order in which they are tried"""


def check() -> None:
    """Raise `UserError` where no writer is installed; asked before a training that is to write events."""
    _writer()


def write_events(folder: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write every number of the history as a scalar, over the epochs of all phases; what stood there is replaced.

    `train_loss` and `valid_loss` become `loss/train` and `loss/valid`, so that TensorBoard groups them. Values that are
    missing or not finite are left out. Raises `UserError` where no writer is installed.
    """
    writer, part = _writer(), folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with writer(str(part)) as events:
        for epoch, record in enumerate(records, start=1):
            for name, value in record.items():
                if isinstance(value, int | float) and name not in ("epoch", "step") and math.isfinite(value):
                    events.add_scalar(tag(name), value, epoch)
    # TensorBoard follows a folder by the names of its files, so it notices that this one was replaced.
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)


def tag(name: str) -> str:
    """A quantity's name in TensorBoard.

    >>> tag("valid_loss"), tag("learning_rate")
    ('loss/valid', 'learning_rate')
    """
    split, _, quantity = name.partition("_")
    return f"{quantity}/{split}" if split in ("train", "valid") and quantity else name


def _writer() -> Any:
    for module in WRITERS:
        try:
            return importlib.import_module(module).SummaryWriter
        except ImportError:
            continue
    raise UserError("TensorBoard events need a writer: pip install tensorboardX (or leave --tensorboard out)")
