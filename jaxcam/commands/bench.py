"""`jaxcam bench`."""

import ast
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxcam.errors import UserError

FOLDER = Path(__file__).resolve().parents[2] / "bench"
NO_QUESTIONS = ("table", "picture", "story")
"""files of the folder that can be run and measure nothing"""


def bench(arguments: Sequence[str]) -> None:
    """Measure this machine's throughput, beside the peers that are installed.

    jaxcam bench QUESTION [options]: each question is a file of the source tree's bench/ folder and has --help.

    Example: jaxcam bench occlusion --help
    """
    files = questions(FOLDER)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(bench.__doc__)
        print("Questions:" if files else "Questions: none here; get the source tree")
        for name, (_, about) in files.items():
            print(f"  {name:14}{about}")
        return
    if not files:
        raise UserError(f"no benchmarks in {str(FOLDER)!r}; they come with the source tree, not with the package")
    if arguments[0] not in files:
        raise UserError(f"unknown question {arguments[0]!r}; there are: {', '.join(files)}")
    sys.argv = [f"jaxcam bench {arguments[0]}", *arguments[1:]]
    sys.path.insert(0, str(FOLDER))
    runpy.run_path(str(files[arguments[0]][0]), run_name="__main__")


def questions(folder: Path) -> dict[str, tuple[Path, str]]:
    """The files that measure something, by name, with the first line of what they say."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        if path.stem in NO_QUESTIONS:
            continue
        tree = ast.parse(path.read_text())
        if any(isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in tree.body):
            found[path.stem] = (path, (ast.get_docstring(tree) or "").partition("\n")[0])
    return found
