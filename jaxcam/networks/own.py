"""Networks of the user's own: a Python file that defines one."""

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

from jaxcam.errors import UserError

ATTRIBUTE = "NETWORK"


def is_file(name: str) -> bool:
    """Whether a network's name is a Python file rather than a name of the catalogue."""
    return name.endswith(".py")


@lru_cache(maxsize=16)
def defined_in(file: str) -> Any:
    """What the file calls `NETWORK`; running the file is what tells.

    A run says which file its network is defined in, and using the run runs that file: so the path must be absolute,
    and a run from elsewhere does not bring code of its own. Raises `UserError` for relative paths, files that are
    missing or fail, and files without the name.
    """
    path = Path(file)
    if not path.is_absolute():
        raise UserError(f"the network {file!r} is a relative path; give Network(name=__file__), or an absolute path")
    if not path.is_file():
        raise UserError(f"the network is defined in {file}, which is missing; put the file back there")
    spec = importlib.util.spec_from_file_location(f"jaxcam_network_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{file} is not a Python file; give one that defines {ATTRIBUTE}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:  # the user's own code: whatever it raises is told in one line
        raise UserError(f"the network's file {file} failed: {type(error).__name__}: {error}") from error
    if not hasattr(module, ATTRIBUTE):
        raise UserError(f"{file} defines no {ATTRIBUTE}; set it to a jaxcam.networks.Architecture")
    return getattr(module, ATTRIBUTE)
