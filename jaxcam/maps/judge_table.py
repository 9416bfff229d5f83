"""The judgement of a set as a table, and as files in the run's folder."""

import csv
import io
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jaxcam.files import read_json, replace_file, write_json
from jaxcam.maps.intervals import Estimate, estimate, paired
from jaxcam.maps.judge import Judgement
from jaxcam.maps.measures import BASELINES, BY_NAME, MEASURES, Measure

ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}
COLUMNS = ("set", "method", "measure", "better", "mean", "low", "high", "images", "undefined")


def estimates(judgement: Judgement) -> dict[str, dict[str, Estimate]]:
    """method -> measure -> mean over the images with its 95 % interval."""
    options = {"resamples": judgement.settings.resamples, "seed": judgement.settings.seed}
    return {
        name: {measure: estimate(values, share=BY_NAME[measure].share, **options) for measure, values in found.items()}
        for name, found in judgement.values.items()
    }


def over_random(judgement: Judgement) -> dict[str, dict[str, Estimate]]:
    """method -> measure -> mean difference to the random map of the same image, with its 95 % interval."""
    options = {"resamples": judgement.settings.resamples, "seed": judgement.settings.seed}
    random = judgement.values["random"]
    return {
        name: {m: paired(values, random[m], **options) for m, values in found.items() if m in random}
        for name, found in judgement.values.items()
        if name != "random"
    }


def measured(judgement: Judgement) -> list[Measure]:
    """The measures that there are numbers of, in the table's order."""
    there = {measure for found in judgement.values.values() for measure in found}
    return [measure for measure in MEASURES if measure.name in there]


def table(judgement: Judgement) -> str:
    """A line a measure, a column a method, the baselines last: the mean and half the width of its interval."""
    found, against = estimates(judgement), over_random(judgement)
    methods = [name for name in found if name not in BASELINES]
    rows = [["", *methods, "|", *BASELINES]]
    for measure in measured(judgement):
        cells = {
            name: _cell(found[name].get(measure.name), against.get(name, {}).get(measure.name), measure)
            for name in found
        }
        name = f"{measure.name} {ARROWS[measure.better]}".rstrip()
        rows.append([name, *(cells[m] for m in methods), "|", *(cells[b] for b in BASELINES)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    legend = [f"  {measure.name}: {measure.about}" for measure in measured(judgement)]
    told = (
        f"{len(judgement.rows)} images; mean ± half of the 95 % interval; ~ no different from a random map; "
        "↑ higher is better, ↓ lower; right of | maps that know nothing of the network"
    )
    return "\n".join([*lines, told, *legend, *(f"note: {note}" for note in judgement.notes)])


def _cell(value: Estimate | None, difference: Estimate | None, measure: Measure) -> str:
    if value is None or not value.count:
        return "-"
    half = (value.high - value.low) / 2
    width = "" if math.isnan(half) else f"±{_short(half)}"
    alike = difference is not None and difference.low <= 0 <= difference.high and measure.better != "neither"
    return f"{'~' if alike else ''}{_short(value.mean)}{width}"


def _short(value: float) -> str:
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:.3g}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def write_judgement(run: Path, name: str, judgement: Judgement) -> list[str]:
    """Write `judge.json` and `judge.csv` into the run's folder, beside what they hold of other sets; their names."""
    path = run / "judge.json"
    sets = read_json(path) if path.is_file() else {}
    sets = sets if isinstance(sets, dict) else {}
    found, against = estimates(judgement), over_random(judgement)
    sets[name] = {
        "images": len(judgement.rows),
        "rows": list(judgement.rows),
        "settings": asdict(judgement.settings),
        "notes": list(judgement.notes),
        "measures": {m.name: {"better": m.better, "about": m.about} for m in measured(judgement)},
        "baselines": list(BASELINES),
        "methods": {
            method: {
                measure: _plain(value)
                | ({"over_random": _plain(against[method][measure])} if measure in against.get(method, {}) else {})
                for measure, value in values.items()
            }
            for method, values in found.items()
        },
    }
    write_json(path, sets)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each, about in sets.items():
        for method, values in about["methods"].items():
            for measure, v in values.items():
                better = about["measures"][measure]["better"]
                numbers = ("" if v[key] is None else v[key] for key in COLUMNS[4:])
                writer.writerow([each, method, measure, better, *numbers])
    replace_file(run / "judge.csv", text.getvalue().encode())
    return [str(path), str(run / "judge.csv")]


def _plain(value: Estimate) -> dict[str, Any]:
    """JSON has no NaN."""
    known = {"mean": value.mean, "low": value.low, "high": value.high}
    rounded = {key: None if math.isnan(number) else float(f"{number:.6g}") for key, number in known.items()}
    return rounded | {"images": value.count, "undefined": value.undefined}
