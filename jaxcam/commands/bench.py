"""`jaxcam bench`."""

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxcam.errors import UserError

FOLDER = Path(__file__).resolve().parents[2] / "bench"


def bench(arguments: Sequence[str]) -> None:
    """Measure this machine's throughput, beside the peers that are installed.

    jaxcam bench QUESTION [options]: each question is a file of the source tree's bench/ folder and has --help.

    Example: jaxcam bench occlusion --help
    """
    files = {path.stem: path for path in sorted(FOLDER.glob("*.py")) if _is_question(path)}
    if not arguments or arguments[0] in ("-h", "--help"):
        print(bench.__doc__)
        print(f"Questions: {', '.join(files) or 'none here; get the source tree'}")
        return
    if not files:
        raise UserError(f"no benchmarks in {str(FOLDER)!r}; they come with the source tree, not with the package")
    if arguments[0] not in files:
        raise UserError(f"unknown question {arguments[0]!r}; there are: {', '.join(files)}")
    sys.argv = [f"jaxcam bench {arguments[0]}", *arguments[1:]]
    sys.path.insert(0, str(FOLDER))
    runpy.run_path(str(files[arguments[0]]), run_name="__main__")


def _is_question(path: Path) -> bool:
    return path.stem not in ("harness", "table", "picture", "story", "torch_vgg16")
