"""`jaxcam data scan`."""

from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxcam.errors import UserError


def scan(
    folder: Annotated[Path | None, tyro.conf.Positional] = None,
    *,
    out: Path | None = None,
    quarantine: Path | None = None,
    duplicates: bool = False,
    exact_only: bool = False,
    undo: Path | None = None,
    workers: int | None = None,
    seconds_per_file: float = 60.0,
    fresh: bool = False,
    page: bool = True,
    quiet: bool = False,
) -> None:
    """Look at every file of a data set: what is broken, odd, there twice, or tells the classes apart by itself.

    Example: jaxcam data scan pictures --quarantine set-aside; jaxcam data scan --undo set-aside

    Args:
        folder: folder of images (Train/CLASS/..., CLASS/..., or images alone) or a manifest (.csv); it is not changed
        out: where scan.json, scan.csv, manifest.csv and index.html go; default: NAME-scan, in runs where there is one
        quarantine: move the files that cannot be used to this folder, outside of the scanned one
        duplicates: with --quarantine: also all but one of every group of duplicates of one class
        exact_only: with --duplicates: only where the pixels are the same
        undo: put back what is in this quarantine
        workers: processes; default: one for each core
        seconds_per_file: a file that takes longer counts as broken
        fresh: look at all files again, also at those that are known from the last scan
        page: write the page
        quiet: no progress
    """
    from jaxcam.data.scan import quarantine as moving

    if undo is not None:
        if folder is not None or quarantine is not None:
            raise UserError("--undo takes the quarantine's folder alone: jaxcam data scan --undo DIR")
        _tell(moving.restore(undo), f"{undo}: put back")
        return
    if folder is None:
        raise UserError("no folder: give the folder of images, or a manifest, as in `jaxcam data scan pictures`")
    if (duplicates or exact_only) and quarantine is None:
        raise UserError("--duplicates and --exact-only say what --quarantine DIR moves; give it")
    from jaxcam.data.scan import cache, output
    from jaxcam.data.scan.run import scan as look
    from jaxcam.data.scan.unwanted import unwanted
    from jaxcam.progress import Progress

    target = default_out(folder) if out is None else out
    if target.exists() and not target.is_dir():
        raise UserError(f"--out {target} is a file; a folder is needed")
    if target.resolve() == folder.resolve():
        raise UserError(f"--out {target} is the folder that is scanned; give another one")
    if fresh:
        cache.clear(target / "cache")
    result = look(
        folder,
        cache=target / "cache",
        leave_out=target,
        workers=workers,
        seconds=seconds_per_file,
        progress=Progress(quiet),
    )
    output.write_outputs(result, target)
    print(output.told(result))
    if page:
        from jaxcam.report.scan_page import write_scan_page

        print(f"\n{write_scan_page(result, target / 'index.html', progress=Progress(quiet))}")
    if quarantine is not None:
        chosen = unwanted(result, duplicates=duplicates, exact_only=exact_only)
        _tell(moving.quarantine(result.inventory.root, chosen, quarantine), f"{quarantine}: set aside")
        print(f"jaxcam data scan --undo {quarantine} puts them back")


def default_out(folder: Path) -> Path:
    """NAME-scan in runs, or here where there is no runs; never inside of the folder."""
    name = f"{folder.resolve().stem if folder.suffix.lower() == '.csv' else folder.resolve().name or 'root'}-scan"
    here = Path("runs") if Path("runs").is_dir() else Path()
    root = folder.resolve()
    if root.is_dir() and (root == here.resolve() or root in here.resolve().parents):
        return root.parent / name
    return here / name


def _tell(moved: Any, what: str) -> None:
    """What a move did, on the terminal."""
    from jaxcam.data.scan.inventory import printable

    print(f"{what} {moved.count} files")
    for path, reason in moved.left:
        print(f"  left: {printable(path)}: {printable(reason)}")
