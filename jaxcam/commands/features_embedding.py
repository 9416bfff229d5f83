"""`jaxcam features RUN embedding`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro


def embedding(
    run: Annotated[Path, tyro.conf.Positional],
    *,
    data: Path | None = None,
    name: str | None = None,
    stage: str | None = None,
    pool: Literal["mean", "max", "flatten"] = "mean",
    projections: tuple[Literal["pca", "tsne", "umap"], ...] = ("pca", "tsne"),
    perplexity: float = 30.0,
    scale: bool = False,
    neighbours: int = 8,
    of: tuple[Path, ...] = (),
    pictures: int = 10000,
    batch_size: int = 32,
    seed: int = 0,
    out: Path | None = None,
    quiet: bool = False,
) -> None:
    """A whole set by the features of a stage: PCA, t-SNE, UMAP, nearest neighbours, and an interactive page.

    Example: jaxcam features runs/pictures embedding --stage block5_conv3

    Args:
        run: a run's folder
        data: set of images; default: those the run was trained and validated on
        name: name of what is written; default: the stage's, before it the set's
        stage: stage whose features are taken; default: the last convolution below the head
        pool: what becomes of a map: its mean, its largest value, or all values
        projections: two-dimensional views; umap needs the package umap-learn
        perplexity: of t-SNE
        scale: divide every feature by its deviation
        neighbours: pictures listed as nearest to each
        of: pictures whose nearest neighbours in the set are printed
        pictures: so many points have their picture on the page, at most
        batch_size: images a step
        seed: of the projections
        out: folder to write to; default: RUN/features/embedding/NAME
        quiet: no progress
    """
    import numpy as np

    from jaxcam import devices
    from jaxcam.data.sets import word_for
    from jaxcam.errors import UserError
    from jaxcam.features import embedding as work
    from jaxcam.features.extraction import extract, feature_program
    from jaxcam.features.inputs import image_files, readable
    from jaxcam.features.projections import available, nearest
    from jaxcam.maps.stages import default_stage
    from jaxcam.progress import Progress
    from jaxcam.report.embedding_page import write_embedding_page
    from jaxcam.runs import open_sets

    if neighbours < 0 or pictures < 0 or perplexity <= 0:
        raise UserError("--neighbours and --pictures must not be negative, and --perplexity must be above 0")
    if "umap" in projections and "umap" not in available():
        raise UserError("umap needs the package umap-learn, which is not installed; pip install umap-learn")
    if not projections:
        raise UserError("no --projections; give pca, tsne or umap")
    devices.keep_compiled()
    progress = Progress(quiet)
    classifier, sets = open_sets(run, data, name if data is not None else None)
    stage = stage or default_stage(classifier)
    classifier.chain.index(stage)
    word = name or (stage if data is None else f"{word_for(data)}_{stage}")
    folder = out or run / "features" / "embedding" / word
    parts = {
        split: extract(
            classifier,
            images,
            folder / "parts" / split,
            stage=stage,
            pool=pool,
            batch_size=batch_size,
            progress=progress,
        )
        for split, images in sets.items()
    }
    found = work.embed(
        parts,
        stage=stage,
        class_names=classifier.class_names,
        projections=projections,
        neighbours=neighbours,
        seed=seed,
        perplexity=perplexity,
        scale=scale,
        progress=progress,
    )
    files = work.write_embedding(found, folder, progress=progress)
    page = write_embedding_page(
        found, folder / "index.html", run=run, classifier=classifier, limit=pictures, progress=progress
    )
    left = f", {len(found.unreadable)} could not be read" if found.unreadable else ""
    print(f"{page}: {len(found)} pictures, {found.features.shape[1]} features of {stage}{left}")
    print(", ".join(file.name for file in files))
    if of:
        names, pixels = readable(image_files(of), classifier.preprocessing, progress)
        program = feature_program(classifier.network, classifier.preprocessing, stage, pool)
        queries = np.asarray(program(dict(classifier.params), pixels)["features"])
        rows, alike = nearest(found.features, queries, neighbours, itself=False)
        for place, one in enumerate(names):
            print(f"nearest to {one}:")
            for row, size in zip(rows[place].tolist(), alike[place].tolist(), strict=True):
                print(f"  {size:.4f}  {found.labels[row]}  {found.paths[row]}")
