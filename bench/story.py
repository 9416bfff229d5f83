"""Keep a finished story's numbers: `python bench/story.py runs/demo drawn` writes bench/results/story-drawn.json."""

import argparse
import json
from pathlib import Path

from harness import RESULTS, machine

from jaxcam.files import read_json, write_json


def main() -> None:
    """Copy the summary, without the runs' paths, and note the machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path)
    parser.add_argument("name")
    options = parser.parse_args()
    results = [{k: v for k, v in one.items() if k != "run"} for one in read_json(options.demo / "summary.json")]
    for one in results:
        timings = (options.demo / "runs" / one["experiment"] / "timings.jsonl").read_text().splitlines()
        one["epochs_seconds"] = round(sum(json.loads(line)["seconds"] for line in timings), 1)
    write_json(RESULTS / f"story-{options.name}.json", {"results": results, **machine()})
    print("| training pictures | validation | backgrounds swapped | heat on the figure (even map) |\n|---|--:|--:|--:|")
    for one in results:
        valid = f"{one['validation_accuracy']:.0%} of {one['validation_count']}"
        swapped = f"{one['swapped_accuracy']:.0%} of {one['swapped_count']}"
        print(f"| {one['title']} | {valid} | {swapped} | {one['heat_on_figure']:.0%} ({one['figure_area']:.0%}) |")


if __name__ == "__main__":
    main()
