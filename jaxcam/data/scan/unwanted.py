"""Which files of a scan are of no use to a training."""

import os

from jaxcam.data.scan.run import Scan


def unwanted(scan: Scan, *, duplicates: bool = False, exact_only: bool = False) -> list[tuple[str, str]]:
    """(path, reason) of the files of a scan that a training has no use for.

    Those that cannot be used, in class folders; with `duplicates` also all but one of every group of one class: what
    is in a validation or test split stays before what is in training, so that results remain comparable, then the
    largest picture, then the first name. A picture with two labels stays, for which of them is right is not known.
    """
    chosen = {row: scan.findings[row].reason for row in scan.unusable if not scan.entries[row].listed}
    for group in scan.groups if duplicates else ():
        if group.crosses_classes or (exact_only and group.kind == "near"):
            continue
        order = {"test": 0, "valid": 1}
        rows = sorted(
            group.rows,
            key=lambda row: (
                order.get(scan.entries[row].split, 2),
                -scan.findings[row].width * scan.findings[row].height,
                row,
            ),
        )
        rows = [row for row in rows if not scan.entries[row].listed]
        for row in rows[1:]:
            chosen[row] = f"{group.kind} as {scan.entries[rows[0]].shown}"
    folders = {row for row in chosen if os.path.isdir(scan.inventory.file(row))}
    return [(scan.entries[row].path, chosen[row]) for row in sorted(chosen) if row not in folders]
