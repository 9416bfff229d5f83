"""`jaxcam features`: the four things that can be seen of what a network learned."""

import functools
import importlib
from collections.abc import Sequence
from typing import Any

from jaxcam.cli import parse
from jaxcam.errors import UserError

KINDS = {
    "activations": "the maps of any stages for given images, the strongest channels, sparsity",
    "filters": "patterns that excite the channels of a stage",
    "dream": "deep dream of an image, or images of classes",
    "embedding": "a whole set by its features: PCA, t-SNE, UMAP, an interactive page, nearest neighbours",
}
USAGE = "jaxcam features RUN " + "|".join(KINDS)
EXAMPLE = "Example: jaxcam features runs/pictures filters --stages block1_conv1 block3_conv1"


def features(arguments: Sequence[str]) -> None:
    """What a network learned, as pictures: jaxcam features RUN activations|filters|dream|embedding

    Reads `RUN KIND ...` (or `KIND RUN ...`) and calls the command of that kind.
    """
    words = list(arguments)
    asks_help = any(word in ("-h", "--help") for word in words)
    # The second word first: a run may lie in a folder called `filters`.
    place = next((i for i in (1, 0) if len(words) > i and words[i] in KINDS), None)
    if place is None:
        if asks_help or not words:
            width = max(map(len, KINDS)) + 2
            return print(
                "\n".join([USAGE, "", EXAMPLE, "", *(f"  {kind:{width}}{about}" for kind, about in KINDS.items())])
            )
        got = f"got {' '.join(words[:2])!r}; " if len(words) > 1 else ""
        raise UserError(f"{got}give {USAGE}")
    kind = words.pop(place)
    function = getattr(importlib.import_module(f"jaxcam.commands.features_{kind}"), kind)

    @functools.wraps(function)
    def later(*args: Any, **kwargs: Any) -> Any:
        return functools.partial(function, *args, **kwargs)

    # Called outside of `parse`, so that only the parser's own words are taken from stderr.
    parse(later, words, f"jaxcam features {kind}")()
