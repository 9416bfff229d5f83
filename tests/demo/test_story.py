"""The story on few, small pictures: every file is there and says what was measured."""

import json

import numpy as np
import pytest

from jaxcam.data.scenes import write_scenes
from jaxcam.demo import page, pictures, recipes, story
from jaxcam.progress import Progress


def quick(experiment):
    """The demo's recipe with one epoch a phase, at a small size."""
    config = recipes.offline(experiment, size=(48, 80), epochs=1)
    return config.__class__(
        **{**config.__dict__, "phases": tuple(p.__class__(**{**p.__dict__, "epochs": 1}) for p in config.phases)}
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    write_scenes(out / "pictures" / "drawn", train_per_class=4, valid_per_class=3, size=(96, 160))
    root = out / "pictures" / "drawn"
    names = ("OneBackground", "OneBackgroundElsewhere", "SeveralBackgrounds", "InvertedBackgrounds")
    mask = lambda images, row: pictures.stored_mask(root, images, row)
    made = pictures.assembled("drawn", root, out / "pictures", names, mask, moved=0)
    results, chapters = [], []
    for experiment in made.experiments[1:3]:
        result, chapter = story.run_experiment(experiment, made, quick(experiment), out, Progress(quiet=True))
        results.append(result)
        chapters.append(chapter)
    written = page.write(out, made, results, chapters)
    return out, made, results, written


def test_results_are_counted_over_the_right_pictures(told):
    _, _, results, _ = told
    leak, classed = results
    assert leak.experiment == "leaky"
    assert (leak.validation_count, leak.swapped_count) == (6, 6)
    assert classed.validation_count == 8  # and the two empty scenes
    for result in results:
        assert 0 <= result.swapped_accuracy <= 1
        assert 0.03 < result.figure_area < 0.2
        assert 0 <= result.heat_on_figure <= 1
        assert len(result.empty_scenes) == 2


def test_the_page_is_one_file_with_every_picture(told):
    _, _, results, written = told
    html = written.read_text()
    assert html.count("<section") == len(results) + 2
    assert html.count('class="photo"') == len(results) * (4 + 4 + 2)
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_runs_hold_maps_predictions_and_a_report(told):
    out, _, results, _ = told
    for result in results:
        run = out / "runs" / result.experiment
        for name in ("valid", "swapped", "empty"):
            assert (run / "maps" / f"{name}.zarr" / "zarr.json").is_file()
            assert (run / "predictions" / f"{name}.csv").is_file()
        assert (run / "report" / "index.html").is_file()


def test_masks_stored_and_derived_agree(told):
    _, made, _, _ = told
    images = pictures.ImageSet(
        "valid", made.experiments[1].valid, ("Ada", "Bo"), ("Ada/01.png",), np.array([0], np.int32)
    )
    scenes = [pictures.read_picture(path) for path in sorted((made.empty / "NoClass").iterdir())]
    stored, derived = made.mask(images, 0), pictures.derived_mask(scenes, images, 0)
    assert (stored & derived).sum() / (stored | derived).sum() > 0.8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dead": True}, "head died"),
        ({"validation_accuracy": 0.6}, "did not learn"),
        ({"swapped_accuracy": 0.9}, "knows the figures"),
        ({"swapped_accuracy": 0.1, "heat_on_figure": 0.05}, "reads the background"),
        ({"swapped_accuracy": 0.1, "heat_on_figure": 0.4}, "look like an all-clear"),
        ({"swapped_accuracy": 0.5}, "reads both"),
    ],
)
def test_a_verdict_says_what_the_numbers_show(told, changes, words):
    plain = {**told[2][0].__dict__, "validation_accuracy": 1.0, "figure_area": 0.08, "dead": False}
    assert words in page.verdict(story.Result(**{**plain, **changes}))


def test_the_table_and_the_summary_name_every_experiment(told):
    text = story.table(told[2])
    assert text.count("\n") == 3
    assert json.loads(json.dumps([r.__dict__ for r in told[2]]))[0]["experiment"] == "leaky"
