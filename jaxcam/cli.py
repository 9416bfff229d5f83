"""The `jaxcam` command: finds the function of the command that was asked for, parses for it and calls it."""

import contextlib
import functools
import importlib
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxcam import __version__
from jaxcam.errors import UserError


@dataclass(frozen=True)
class Command:
    """Where a command's function is, imported only when it is called."""

    module: str
    """module of `jaxcam.commands`"""
    function: str
    """name in it"""
    about: str
    """first line of the function's docstring"""
    raw: bool = False
    """the function parses its arguments itself"""

    def load(self) -> Callable[..., None]:
        """The function."""
        return getattr(importlib.import_module(f"jaxcam.commands.{self.module}"), self.function)


COMMANDS = {
    "demo": Command("demo", "demo", "Tell the whole story offline: four experiments, their maps, and one page."),
    "data draw": Command(
        "data_draw", "draw", "Draw a set of pictures to try things on; an unfinished folder is completed."
    ),
    "data scan": Command(
        "data_scan",
        "scan",
        "Look at every file of a data set: what is broken, odd, there twice, or tells the classes apart by itself.",
    ),
    "data split": Command(
        "data_split",
        "split",
        "Divide a set into train, valid and test, each class alike, near duplicates together; written as a manifest.",
    ),
    "data subset": Command(
        "data_split",
        "subset",
        "Keep part of some classes, of the training pictures only unless told otherwise; written as a manifest.",
    ),
    "data merge": Command(
        "data_split", "merge", "Several sets as one, with classes renamed or joined; written as a manifest."
    ),
    "data prepare": Command(
        "data_prepare",
        "prepare",
        "Decode and resize every picture of a set once, for sets that are read many times; goes on where it stopped.",
    ),
    "data plant": Command(
        "data_plant",
        "plant",
        "Copy a set with a cue planted in one class: does a network fall for it, and who notices?",
    ),
    "data reencode": Command(
        "data_reencode",
        "reencode",
        "Write all pictures of a set alike: one size, one format and quality, no metadata; or cut to a part of them.",
    ),
    "data balance": Command(
        "data_reencode",
        "balance",
        "Keep a part of a set in which every class has as many pictures of every group; written as a manifest.",
    ),
    "data augmentations": Command(
        "data_augmentations",
        "augmentations",
        "A contact sheet of one image's variants, as a config's phase draws them: jaxcam data augmentations CONFIG",
        raw=True,
    ),
    "weights list": Command(
        "weights", "show", "The pretrained weights there are, their licences, and whether they are here."
    ),
    "weights fetch": Command(
        "weights", "fetch", "Download an entry's file and check it; nothing is done where it is here already."
    ),
    "weights convert": Command(
        "weights", "convert", "Port a Keras, PyTorch or safetensors file to jaxcam's names, as safetensors."
    ),
    "train": Command(
        "train", "train", "Train a classifier: jaxcam train CONFIG [--out RUN] [--a.b value ...]", raw=True
    ),
    "evaluate": Command(
        "evaluate",
        "evaluate",
        "Accuracy, balanced accuracy, calibration and confusion matrix of a run's classifier, with their intervals.",
    ),
    "predict": Command("predict", "predict", "Class and probability of single images, and what is odd about them."),
    "explain": Command(
        "explain",
        "explain",
        "Maps of a whole image set into the run's folder; an interrupted one goes on where it stopped.",
    ),
    "audit": Command(
        "audit",
        "audit",
        "Does the model cheat? Is a shortcut in the data, does the model use it, is that confirmed?",
    ),
    "features": Command(
        "features",
        "features",
        "What a network learned, as pictures: jaxcam features RUN activations|filters|dream|embedding",
        raw=True,
    ),
    "report": Command(
        "report",
        "report",
        "Write report/index.html from what the run's folder holds: the audit's verdict, results, maps, pictures.",
    ),
    "export": Command(
        "export",
        "export",
        "One portable program, uint8 images in, probabilities and maps out: runs with jax and numpy alone.",
    ),
    "bench": Command(
        "bench", "bench", "Measure this machine's throughput, beside the peers that are installed.", raw=True
    ),
}


def usage(group: str = "") -> str:
    """The list of commands, or of those that start with `group`."""
    lines = [f"jaxcam {__version__}: train an image classifier, see where it looks, and be told whether it cheats.", ""]
    for name, command in COMMANDS.items():
        if f"{name} ".startswith(f"{group} " if group else ""):
            lines.append(f"  jaxcam {name:22}{command.about}")
    more = "jaxcam COMMAND --help tells more." if group else "jaxcam COMMAND --help tells more. Start with: jaxcam demo"
    return "\n".join([*lines, "", more])


def parse(command: Any, arguments: Sequence[str], program: str, **options: Any) -> Any:
    """Parse with tyro; what it says about a mistake becomes a `UserError` of one line."""
    import tyro  # not above: half of the time that `jaxcam --help` takes

    complaints = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaints):
            return tyro.cli(command, args=list(arguments), prog=program, **options)
    except SystemExit as stop:
        if stop.code:
            raise UserError(f"{one_line(complaints.getvalue())} (see {program} --help)") from stop
        raise


def one_line(text: str) -> str:
    """What tyro says over many lines, as one line without its frame and its title."""
    words = [line.strip(" │╭╮╰╯─-") for line in text.splitlines()]
    hints = ("For full helptext", "Argument helptext")
    lines = [line for line in words if line and not line.startswith(hints) and not line.endswith(" --help")]
    return " ".join(lines[1:] if len(lines) > 1 else lines)


def dispatch(arguments: Sequence[str]) -> None:
    """Call the command named first; of `data` and `weights` the second word belongs to the name."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        return print(usage())
    if arguments[0] == "--version":
        return print(__version__)
    groups = {name.partition(" ")[0] for name in COMMANDS if " " in name}
    words = 2 if arguments[0] in groups else 1
    if words == 2 and (len(arguments) == 1 or arguments[1] in ("-h", "--help")):
        return print(usage(arguments[0]))
    name, rest = " ".join(arguments[:words]), arguments[words:]
    if name not in COMMANDS:
        near = [command for command in COMMANDS if words == 1 or command.startswith(f"{arguments[0]} ")]
        raise UserError(f"unknown command {name!r}; there are: {', '.join(near)}")
    function = COMMANDS[name].load()
    if COMMANDS[name].raw:
        return function(rest)

    @functools.wraps(function)
    def later(*args: Any, **kwargs: Any) -> Any:
        return functools.partial(function, *args, **kwargs)

    # Called outside of `parse`, so that only tyro's own words are taken from stderr.
    return parse(later, rest, f"jaxcam {name}")()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 on success, 2 on a user's error (one line on stderr), 130 when interrupted."""
    try:
        dispatch(sys.argv[1:] if arguments is None else arguments)
    except (UserError, OSError) as error:  # OSError: a full disk, a folder that must not be written
        print(f"jaxcam: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except SystemExit as stop:  # tyro's --help
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        print("jaxcam: interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return 130
    return 0
