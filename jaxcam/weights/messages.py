"""Words for messages: one line, sizes that people read."""


def one_line(text: object) -> str:
    """Text on one line; names in a broken or hostile file may hold line ends and terminal codes."""
    return "".join(c if c.isprintable() else " " for c in str(text).strip())


def size(count: int | None) -> str:
    """A number of bytes in decimal megabytes: `553.5 MB`."""
    if count is None:
        return "size unknown"
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count} bytes"
