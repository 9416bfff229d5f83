"""A marker file that says what a folder of made pictures holds, and whether all of it was written."""

import json
from pathlib import Path
from typing import Any

from jaxcam.errors import UserError
from jaxcam.files import write_json


def claim(folder: Path, name: str, parameters: dict[str, Any]) -> bool:
    """Take `folder` for the pictures that `parameters` describe; True where they are there already, complete.

    A new or empty folder gets the marker file `name`, not yet complete; a half-written one is taken again. Raises
    UserError where `folder` is a file, holds anything else, or pictures made with other parameters.
    """
    marker, wanted = folder / name, json.loads(json.dumps(parameters))
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; give a folder")
    if marker.exists():
        try:
            found = json.loads(marker.read_text())
            held, complete = found["parameters"], found["complete"] is True
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{marker} is damaged; delete the folder {folder} to write it again") from error
        if held != wanted:
            held = held if isinstance(held, dict) else {}
            changed = ", ".join(key for key in {**wanted, **held} if held.get(key) != wanted.get(key))
            raise UserError(f"{folder} holds pictures made with another {changed}; choose another folder or delete it")
        return complete
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty and has no {name}; choose an empty or a new folder")
    write_json(marker, {"parameters": wanted, "complete": False})
    return False


def finish(folder: Path, name: str, parameters: dict[str, Any]) -> None:
    """Note that all pictures of `parameters` are written."""
    write_json(folder / name, {"parameters": parameters, "complete": True})
