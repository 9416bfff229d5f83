"""Where the objects are: masks or boxes of the user, or what stands out from a scene that does not move."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool

from jaxcam.audit.confirmation.boxes import box_masks_of, read_boxes, sized
from jaxcam.audit.confirmation.evidence import Evidence, Objects, Scenes
from jaxcam.audit.confirmation.naming import matched
from jaxcam.data.composites import mask_from_background
from jaxcam.data.decode import UnreadableImage, probe
from jaxcam.data.images import ImageSet
from jaxcam.data.masks import mask_file, new_in
from jaxcam.errors import UserError
from jaxcam.maps.mask_files import read_masks

LEAST_AREA, MOST_AREA = 0.001, 0.6
"""of the picture: what is smaller is residue, and what is larger is no object before a scene"""
SAME_SHAPE = 0.02
"""relative difference of width / height up to which a mask fits its picture"""


def find_objects(evidence: Evidence, scenes: Scenes | str) -> Objects | str:
    """The objects of the sample, or why they are not known.

    In this order: `options.masks`, `options.boxes`, what differs from the empty scenes. Raises `UserError` for masks
    and boxes that were given and cannot be used.
    """
    options = evidence.subject.options
    if options.masks is not None and options.boxes is not None:
        raise UserError("--masks and --boxes both say where the objects are; give one of them")
    if options.masks is not None:
        return objects_of(given_masks(evidence, options.masks), f"masks in {options.masks}")
    if options.boxes is not None:
        return objects_of(given_boxes(evidence, options.boxes), f"boxes in {options.boxes}", boxes=True)
    if isinstance(scenes, str):
        return f"no --masks or --boxes, and none can be derived: {scenes}"
    found = derived_masks(evidence, scenes)
    areas = found.mean((1, 2))
    found[(areas < LEAST_AREA) | (areas > MOST_AREA)] = False
    known = float(found.any((1, 2)).mean())
    if known < 0.5:
        return f"no --masks or --boxes, and only {known:.0%} of the pictures show something before {scenes.source}"
    return objects_of(found, f"what differs from {scenes.source}", derived=True)


def objects_of(masks: Bool[np.ndarray, "n h w"], source: str, **facts: bool) -> Objects:
    """Objects of masks; an empty mask says nothing."""
    return Objects(masks, np.asarray(masks.any((1, 2))), source, **facts)


def sets_of(evidence: Evidence) -> list[tuple[ImageSet, np.ndarray, np.ndarray]]:
    """(image set, its rows, their places in the sample): the audited set, and the training set that filled it up."""
    own, rows = evidence.own, evidence.sample.rows
    found = [(evidence.subject.audited, rows[:own], np.arange(own))]
    if evidence.subject.train is not None and own < len(rows):
        found.append((evidence.subject.train, rows[own:], np.arange(own, len(rows))))
    return found


def given_masks(evidence: Evidence, folder: Path) -> Bool[np.ndarray, "n h w"]:
    """Masks of a folder, at the network's input size; pictures without one have none."""
    if not folder.is_dir():
        raise UserError(f"no folder {str(folder)!r} with masks")
    classifier = evidence.subject.classifier
    masks = np.zeros((len(evidence.sample), *classifier.preprocessing.size), bool)
    for number, (images, rows, places) in enumerate(sets_of(evidence)):
        have = np.array([mask_file(folder, images, row) is not None for row in rows.tolist()], bool)
        if number and not have.any():
            continue  # masks of the training pictures are not asked for
        for row in rows[have].tolist():
            check_shape(folder, images, row)
        masks[places] = read_masks(folder, images, rows, classifier)
    return masks


def check_shape(folder: Path, images: ImageSet, row: int) -> None:
    """Refuse a mask of another shape than its picture: it would lie beside the object."""
    file = mask_file(folder, images, row)
    if file is None or images.source is not None:
        return
    try:
        width, height, _ = probe(file)
    except UnreadableImage as error:
        raise UserError(f"mask {str(file)!r} cannot be read: {error.reason}") from error
    try:
        wide, high, _ = probe(images.file(row))
    except UnreadableImage:
        return  # it was read a moment ago; the mask is not to blame
    own, wanted = width / height, wide / high
    # A picture that its header turns on its side has the shape of its mask the other way round.
    if min(abs(own / wanted - 1), abs(own * wanted - 1)) > SAME_SHAPE:
        raise UserError(f"mask {str(file)!r} is {width}x{height} pixels and its picture {wide}x{high}: another shape")


def given_boxes(evidence: Evidence, file: Path) -> Bool[np.ndarray, "n h w"]:
    """Boxes of a file as masks at the network's input size."""
    table = read_boxes(file)
    preprocessing = evidence.subject.classifier.preprocessing
    masks = np.zeros((len(evidence.sample), *preprocessing.size), bool)
    for images, rows, places in sets_of(evidence):
        known = matched(table, images, file)
        for row, place in zip(rows.tolist(), places.tolist(), strict=True):
            found = sized(known[row], images, row)
            if found is not None:
                masks[place] = box_masks_of(found, preprocessing)
    if not masks.any():
        example = evidence.sample.paths[0] if len(evidence.sample) else "CLASS/NAME.jpg"
        raise UserError(f"{file} has no box for any of the pictures; {example!r} was looked for there")
    return masks


def derived_masks(evidence: Evidence, scenes: Scenes) -> Bool[np.ndarray, "n h w"]:
    """What each picture shows before its empty scene."""
    pixels = evidence.sample.pixels
    masks = np.zeros(pixels.shape[:3], bool)
    for place, scene in enumerate(scenes.of_row.tolist()):
        if scene < 0:
            continue
        if scenes.source.startswith("the median"):
            # A median of pictures with objects in them is not exact: only a clear difference counts.
            masks[place] = new_in(pixels[place], scenes.pictures[scene])
        else:
            masks[place] = mask_from_background(pixels[place], scenes.pictures[scene])
    return masks
