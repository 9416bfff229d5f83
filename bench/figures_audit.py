"""The README's figures of the audit and of the story: each function gives a block's lines from `bench/results`."""

from typing import Any

from lines import Line, chosen, number, table

Block = list[str]
FAMILIES = {
    "background": "background",
    "low_resolution": "low resolution",
    "scene": "scene behind each figure",
    "jpeg": "JPEG compression",
    "watermark": "watermark",
}
EXPERIMENTS = {
    "honest": "one background",
    "leaky": "leak",
    "background-class": "background class",
    "repaired": "repair",
}


def the(lines: list[Line], file: str) -> Line | None:
    """The only line of a `.json` file."""
    return next((line for line in lines if line["file"] == file), None)


def share(one: dict[str, Any]) -> str:
    """`44: 92 % (80 to 97)`."""
    low, high = (100 * bound for bound in one["interval"])
    return f"{one['hits']}: {100 * one['hits'] / one['of']:.0f} % ({low:.0f} to {high:.0f})"


def audit(lines: list[Line]) -> Block:
    """Whether planted cues are found."""
    found = the(lines, "audit")
    if found is None:
        return ["(Not measured yet: `jaxcam bench audit`.)"]
    rows, parts = found["rows"], []
    for name, title in {"": "all families", **FAMILIES}.items():
        row = rows[f"held-out, {name}, 100 %" if name else "held-out, 100 %"]
        told = share(row["found_of_users"]) if not name else str(row["found_of_users"]["hits"])
        parts.append([title, str(row["runs"]), str(row["use_it"]), told])
    clean = rows["held-out, clean"]
    alarms, half, quarter = clean["false_alarms"], rows["held-out, 50 %"], rows["held-out, 25 %"]
    tint = rows["tuning, tint, 100 %"]["found_of_users"]
    words = [
        f"{found['runs']} classifiers. False alarms on clean sets (none planted, or in both classes, or a weak honest"
        f" correlate): {alarms['hits']} of {alarms['of']} ({100 * alarms['interval'][0]:.0f} to"
        f" {100 * alarms['interval'][1]:.0f} %); {clean['at_least_at_risk']['hits']} of {alarms['of']} are `AT RISK`.",
        f"Weak cues: in half of a class {half['use_it']} classifiers of {half['runs']} use it and"
        f" {half['found_of_users']['hits']} are found; in a quarter {quarter['use_it']} of {quarter['runs']}, and"
        f" {quarter['found_of_users']['hits']} are found. Tint, a tuning family: {tint['hits']} of {tint['of']}.",
    ]
    return [*table(["held-out cue in all of a class", "runs", "use it", "of these found"], parts), "", *words]


def audit_cost(lines: list[Line]) -> Block:
    """The model layer beside one forward pass of the set."""
    own = chosen(lines, "audit_cost")
    layer, forward = own.get("model layer"), own.get("forward pass of the set")
    if layer is None or forward is None:
        return ["(Not measured yet: `jaxcam bench audit_cost`.)"]
    passes = f": {1 / layer['ratio']:.2f} passes" if "ratio" in layer else ""
    return [
        f"Cost: on {number(layer['sampled'])} sampled pictures of {number(layer['pictures'])} the model layer took"
        f" {layer['median_s']:.1f} s, one forward pass of all of them {forward['median_s']:.1f} s{passes}"
        f" (`bench/audit_cost.py`, {layer['network']} at {layer['size']}x{layer['size']}, rounds: {layer['rounds']})."
    ]


def audit_story(lines: list[Line]) -> Block:
    """Verdicts on the story of Bart and Homer and on a corner logo."""
    newest = {(x["base"], x["experiment"]): x for x in lines if x["file"] == "audit_story"}
    if not newest:
        return ["(Not measured yet: `jaxcam bench audit_story`.)"]
    rows = []
    for (base, experiment), line in newest.items():
        right = line["counter_right"]
        swapped = f"{right['right']} of {right['n']}" if right else "not applicable"
        verdicts = [line["verdicts"][name] for name in ("model", "without_counter", "with_counter")]
        rows.append(
            [base, EXPERIMENTS.get(experiment, experiment), f"{line['valid_accuracy']:.0%}", swapped, *verdicts]
        )
    head = ["network", "experiment", "validation", "counter-examples right"]
    return table([*head, "model layer alone", "without counter-examples", "with them"], rows)


def story(lines: list[Line], name: str) -> Block:
    """One story's table."""
    found = the(lines, f"story-{name}")
    if found is None:
        return [f"(Not measured yet: `python bench/story.py runs/demo {name}`.)"]
    rows = []
    for one in found["results"]:
        valid = f"{one['validation_accuracy']:.0%} of {one['validation_count']}"
        swapped = f"{one['swapped_accuracy']:.0%} of {one['swapped_count']}"
        heat = f"{one['heat_on_figure']:.0%} ({one['figure_area']:.0%})"
        rows.append([one["title"], valid, swapped, heat])
        if "audit" in one:  # older stories asked no audit
            rows[-1] += [one["audit_alone"], one["audit"]]
    head = ["training pictures", "validation", "backgrounds swapped", "heat on the figure (even map)"]
    head += ["audit alone", "audit with swapped pictures"] if len(rows[0]) > len(head) else []
    block = table(head, rows)
    fewest = min(min(one["validation_count"], one["swapped_count"]) for one in found["results"])
    if fewest < 20:
        block += [
            "",
            f"{fewest} pictures are few: one picture is {1 / fewest:.0%}, and the intervals on the page are wide.",
        ]
    return block
