"""`jaxcam demo`."""

from pathlib import Path


def demo(*, out: Path = Path("runs/demo"), pictures: Path | None = None, quiet: bool = False) -> None:
    """Tell the whole story offline: four experiments, their maps, and one page.

    Example: jaxcam demo --out runs/demo

    Args:
        out: folder for pictures, runs and the page
        pictures: folder of the real pictures (bart-vs-homer); without it the pictures are drawn
        quiet: no progress
    """
    from jaxcam.demo import story
    from jaxcam.progress import Progress

    print(story.tell(out, pictures_folder=pictures, progress=Progress(quiet)))
