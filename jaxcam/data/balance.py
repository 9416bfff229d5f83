"""A part of a set in which every class has as many pictures of every group."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from jaxcam.errors import UserError


def balanced_rows(labels: Sequence[str], groups: Sequence[str], *, seed: int = 0) -> Int[np.ndarray, " m"]:
    """Rows of a subset with equally many of each class and group, drawn by the seed; rows without a group are left out.

    Subsampling the large groups brings the worst one up about as far as methods that need more (Idrissi et al. 2022,
    "Simple data balancing achieves competitive worst-group-accuracy"). Raises `UserError` where a class lacks a group:
    nothing balanced can be drawn then.
    """
    known = [row for row, group in enumerate(groups) if group]
    if not known:
        raise UserError("no picture has a group; give --groups a .csv with the paths of the set")
    words = sorted({groups[row] for row in known})
    cells: dict[tuple[str, str], list[int]] = {
        (label, word): [] for label in sorted({labels[row] for row in known}) for word in words
    }
    for row in known:
        cells[labels[row], groups[row]].append(row)
    empty = [cell for cell, rows in cells.items() if not rows]
    if empty:
        label, word = empty[0]
        raise UserError(
            f"class {label!r} has no picture in the group {word!r}: no balanced part can be drawn; collect some, or "
            "leave the group out"
        )
    if len(words) < 2:
        raise UserError(f"there is one group only, {words[0]!r}; two are needed")
    least, generator = min(map(len, cells.values())), np.random.default_rng(seed)
    chosen = [row for rows in cells.values() for row in generator.permutation(rows)[:least].tolist()]
    return np.sort(np.array(chosen, int))
