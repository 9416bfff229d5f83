"""Finding the rows of an image set in a table that somebody else wrote."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from jaxcam.data.images import ImageSet
from jaxcam.errors import UserError

Value = TypeVar("Value")


def matched(found: Mapping[str, Value], images: ImageSet, file: Path) -> list[Value | None]:
    """What a table says of each row, or None.

    A row is found by its path, by its path below the split's folder, by its whole path, or by its file name alone
    where the table names no folder. Raises `UserError` where such a bare name stands for several rows.
    """
    bare = {name for name in found if "/" not in name}
    twice = {name for name, count in Counter(Path(path).name for path in images.paths).items() if count > 1}

    def of(path: str) -> Value | None:
        names = (path, f"{images.root.name}/{path}", f"{images.name}/{path}", str(images.root / path))
        known = next((name for name in names if name in found), None)
        name = Path(path).name
        if known is not None or name not in bare:
            return None if known is None else found[known]
        if name in twice:
            some = [other for other in images.paths if Path(other).name == name]
            raise UserError(f"{file}: {name!r} may be {some[0]!r} or {some[1]!r}; give paths with their folders")
        return found[name]

    return [of(path) for path in images.paths]
