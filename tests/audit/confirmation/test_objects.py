"""Where the objects are: masks, boxes and what is derived from fixed scenes, against what was drawn."""

import json
import shutil

import colour_model
import numpy as np
import pytest
from PIL import Image

from jaxcam.audit import sample
from jaxcam.audit.confirmation.boxes import box_masks_of, read_boxes
from jaxcam.audit.confirmation.evidence import Evidence
from jaxcam.audit.confirmation.objects import find_objects
from jaxcam.audit.confirmation.scenes import find_scenes
from jaxcam.errors import UserError
from jaxcam.preprocessing import Preprocessing
from jaxcam.progress import Progress

pytestmark = pytest.mark.usefixtures("quick_compilation")


def evidence(root, scenes=colour_model.GREY, **options):
    subject = colour_model.subject(root, scenes, **options)
    return Evidence(subject, sample.tested(subject, progress=Progress(quiet=True)))


def drawn(found: Evidence) -> np.ndarray:
    """The masks that the pictures were drawn with."""
    masks = []
    for path in found.sample.paths:
        label, number = colour_model.NAMES.index(path.removeprefix("train:").split("/")[0]), int(path[-6:-4])
        masks.append(colour_model.picture(label, (0, 0, 0), 100 * label + number)[1])
    return np.stack(masks)


def objects(found: Evidence):
    return find_objects(found, find_scenes(found))


def test_masks_are_derived_from_the_median(tmp_path):
    found = evidence(tmp_path, colour_model.OWN)
    derived = objects(found)
    assert derived.derived
    assert found.sample.added > 0
    overlap = (derived.masks & drawn(found)).sum() / (derived.masks | drawn(found)).sum()
    assert overlap > 0.95


def test_masks_are_derived_from_empty_scenes(tmp_path):
    for number, scene in enumerate(colour_model.OWN):
        pixels = np.full((*colour_model.SIZE, 3), scene, np.uint8)
        pixels[::4] -= 20
        file = tmp_path / "empty" / ("deep" if number else ".") / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    found = evidence(tmp_path, colour_model.OWN, background=tmp_path / "empty")
    scenes = find_scenes(found)
    assert sorted(scenes.names) == ["0.png", "deep/1.png"]
    np.testing.assert_array_equal(find_objects(found, scenes).masks, drawn(found))


def test_nothing_is_derived_from_pictures_of_many_scenes(tmp_path):
    found = evidence(tmp_path)
    found.sample.pixels[:] = np.random.default_rng(0).integers(0, 255, found.sample.pixels.shape, np.uint8)
    assert "differ from its median" in objects(found)


def test_given_masks_and_boxes_say_the_same(tmp_path):
    colour_model.write(tmp_path / "x", colour_model.GREY, count=12, first=50, masks=tmp_path / "masks")
    masks = evidence(tmp_path, masks=tmp_path / "masks")
    np.testing.assert_array_equal(objects(masks).masks[: masks.own], drawn(masks)[: masks.own])
    assert not objects(masks).known[masks.own :].any()  # the training pictures have no masks, and need none
    lines, images, notes = ["path,xmin,ymin,xmax,ymax"], [], []
    for number, (path, mask) in enumerate(zip(masks.sample.paths, drawn(masks), strict=True)):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        lines.append(f"{path.removeprefix('train:')},{left},{top},{right},{bottom}")
        images.append({"id": number, "file_name": path.removeprefix("train:")})
        notes.append({"id": number, "image_id": number, "bbox": [int(left), int(top), 6, 6]})
    (tmp_path / "b.csv").write_text("\n".join(lines))
    (tmp_path / "b.json").write_text(json.dumps({"images": images, "annotations": notes}))
    for name in ("b.csv", "b.json"):
        boxes = evidence(tmp_path, boxes=tmp_path / name)
        assert objects(boxes).boxes
        np.testing.assert_array_equal(objects(boxes).masks, drawn(boxes))


def test_boxes_move_as_the_preprocessing_does(tmp_path):
    (tmp_path / "b.json").write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "a.png", "width": 80, "height": 40}],
                "annotations": [{"image_id": 1, "bbox": [20, 0, 40, 20]}],
            }
        )
    )
    found = read_boxes(tmp_path / "b.json")["a.png"]
    stretched = box_masks_of(found, Preprocessing(size=(20, 20)))
    assert stretched[:10, 5:15].all()
    assert stretched.sum() == 100
    cropped = box_masks_of(found, Preprocessing(size=(20, 20), fit="crop"))
    assert cropped[:10].all()
    assert cropped.sum() == 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,xmin\na.png,1", "needs the columns"),
        ("path,xmin,ymin,xmax,ymax\na.png,1,2,x,4", "line 2: 'x' is no number"),
        ("path,xmin,ymin,xmax,ymax\na.png,5,2,3,4", "holds nothing"),
        ("path,xmin,ymin,xmax,ymax\na.png,5,2", "3 fields"),
        ("path,xmin,ymin,xmax,ymax\na.png,1,2,nan,4", "holds nothing"),
        ("path,xmin,ymin,xmax,ymax\nother.png,1,2,3,4", "no box for any"),
        ("path,xmin,ymin,xmax,ymax\n50.png,1,2,3,4", "may be 'blue/50.png' or 'red/50.png'"),
    ],
)
def test_bad_boxes_are_named(tmp_path, text, said):
    (tmp_path / "b.csv").write_text(text)
    with pytest.raises(UserError, match=said):
        objects(evidence(tmp_path, boxes=tmp_path / "b.csv"))


def test_bad_masks_are_named(tmp_path):
    masks = tmp_path / "masks"
    with pytest.raises(UserError, match="no folder"):
        objects(evidence(tmp_path, masks=masks))
    masks.mkdir()
    with pytest.raises(UserError, match="no mask for any image"):
        objects(evidence(tmp_path, masks=masks))
    file = masks / "blue" / "50.png"
    file.parent.mkdir()
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(file)
    with pytest.raises(UserError, match=r"32x32 pixels and its picture 32x24: another shape"):
        objects(evidence(tmp_path, masks=masks))
    file.write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read"):
        objects(evidence(tmp_path, masks=masks))
    shutil.rmtree(masks)
    with pytest.raises(UserError, match="give one of them"):
        objects(evidence(tmp_path, masks=masks, boxes=masks))
