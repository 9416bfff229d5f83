"""What does each attribution method cost, in forward passes of the same image?

Every method of the table (`jaxcam explain --help`) as the program that `jaxcam explain` runs: pictures in; logits, maps
and flags out. Three answers stand side by side, the forward pass itself counted in: `measured` (median of paired
rounds), `by_formula` (operations of convolutions and matrix products over those of a forward pass) and `told` (what
`jaxcam explain` reckons with). Methods that sample run with few samples (`--samples`), so that they can be measured;
`by_formula_default` and `told_default` hold for their default settings. One image; classes: the predicted one.
"""

import argparse
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from harness import arguments, interleaved, record, significant, write
from programs import Program, formula_flops, program

from jaxcam.classifier import Classifier
from jaxcam.maps.method_table import TABLE
from jaxcam.maps.methods import Facts
from jaxcam.maps.options import METHODS, MethodOptions
from jaxcam.maps.program import explain_program, surroundings
from jaxcam.maps.request import Request
from jaxcam.networks import Head, NetworkSpec
from jaxcam.networks.catalog import fresh_params
from jaxcam.preprocessing import Preprocessing

CLASSES = 1000


def a_classifier(options: argparse.Namespace, head: Any) -> Classifier:
    """With fresh weights."""
    size = (options.size, options.size)
    spec = NetworkSpec(name=options.network, classes=CLASSES, input_size=size, head=head, dtype=options.dtype)
    params = fresh_params(spec.chain(), jax.random.key(0), spec.shape)
    names = tuple(f"class_{number}" for number in range(CLASSES))
    return Classifier(spec, params, Preprocessing.named("torchvision", size=size), names)


def told(classifier: Classifier, request: Request) -> float:
    """Forward passes by the table, the shared one counted in."""
    stage = request.stages[0]
    channels = classifier.chain.shapes((1, *classifier.preprocessing.size, 3))[stage][-1]
    size = (classifier.preprocessing.size[0], classifier.preprocessing.size[1])
    facts = Facts(targets=1, size=size, channels=channels, options=request.options)
    return 1 + TABLE[request.methods[0]].forwards(facts)


def group(classifier: Classifier, names: list[str], options: argparse.Namespace, rounds: int) -> None:
    """Measure methods of one classifier beside its forward pass, in turns."""
    few = MethodOptions(
        noise_samples=options.samples,
        steps=options.samples,
        rise_masks=4 * options.samples,
        lime_samples=max(4 * options.samples, 4 * 9 + 2),
        segments=9 if options.samples < 64 else 49,
        window=(options.size // 7, options.size // 7),
        stride=(options.size // 14, options.size // 14),
        references=4,
    )
    pixels = np.random.default_rng(0).integers(0, 256, (1, options.size, options.size, 3), dtype=np.uint8)
    labels = np.zeros(1, np.int32)
    forward = program(classifier.apply, classifier.params, pixels)
    base = forward.facts["gflop"]
    subjects: dict[str, Program] = {"forward": forward}
    each: dict[str, dict[str, Any]] = {"forward": forward.facts}
    for name in names:
        request = Request(methods=(name,), options=few).checked(classifier)
        usual = replace(request, options=MethodOptions(window=few.window, stride=few.stride))
        around = surroundings(request, references=np.repeat(pixels, few.references, axis=0))
        inputs = (classifier.params, pixels, labels, around)
        subjects[name] = program(explain_program(classifier, request), *inputs)
        flops, whole = formula_flops(explain_program(classifier, usual), *inputs)
        each[name] = subjects[name].facts | {
            "by_formula": round(subjects[name].facts["gflop"] / base, 3),
            "by_formula_default": round(flops / 1e9 / base, 3),
            "told": significant(told(classifier, request)),
            "told_default": significant(told(classifier, usual)),
        }
        each[name] |= {} if whole else {"by_formula_default_lower_bound": True}
        print(f"{name:22} compiled in {subjects[name].facts['compile_s']} s", flush=True)
    seconds = interleaved(subjects, rounds=rounds, warm_up=options.warm_up)
    facts = {"network": options.network, "dtype": options.dtype, "batch": 1, "shape": [options.size, options.size, 3]}
    facts |= {"samples": options.samples}
    lines = record("methods", seconds, each=each, per_call=1, unit="img/s", reference="forward", **facts)
    for line in lines:
        if "ratio" in line:
            line["measured"] = significant(1 / line["ratio"])
    write("methods", lines, options)


def main() -> None:
    """Measure the cheap methods together, the dear ones by themselves, and append the lines."""
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--network", default="vgg16")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--samples", type=int, default=12, help="noisy copies, steps; four times as many masks")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    if options.quick:
        options.network, options.size, options.samples, options.rounds = "vgg16_mini", 42, 2, min(options.rounds, 3)
        if len(options.methods) == len(METHODS):
            options.methods = ["cam", "grad_cam", "saliency", "rise"]
    with_head = [name for name in options.methods if name == "cam"]
    if with_head:
        group(a_classifier(options, Head(kind="cam")), with_head, options, options.rounds)
    classifier = a_classifier(options, "top")
    others = [name for name in options.methods if name != "cam"]
    costs = {name: told(classifier, Request(methods=(name,)).checked(classifier)) for name in others}
    for dear in (False, True):
        names = [name for name in others if (costs[name] > 50) == dear]
        if names:
            group(classifier, names, options, min(3, options.rounds) if dear else options.rounds)


if __name__ == "__main__":
    main()
