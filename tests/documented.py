"""The commands that a config's docstring gives, as lists of arguments."""

import shlex
from pathlib import Path

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
NAMES = sorted(path.stem for path in CONFIGS.glob("[a-z]*.py"))


def documented(about: str) -> list[list[str]]:
    """Every `jaxcam ...` line of a docstring without the word `jaxcam`; lines that end in a backslash go on."""
    joined = about.replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines()]
    found = [shlex.split(line.partition("   (")[0]) for line in lines if line.startswith("jaxcam ")]
    return [words[1:] for words in found]
