"""The README's figures of speed: each function gives a block's lines from the lines of `bench/results`."""

from typing import Any

from lines import Line, chosen, number, ratio, table, where

Block = list[str]


def not_yet(command: str) -> Block:
    """What stands where nothing was measured."""
    return [f"(Not measured yet: `{command}`.)"]


def ceilings(lines: list[Line], device: str = "CPU") -> Block:
    """What the machine can do."""
    found: dict[tuple[str, str, str], float] = {}
    used: list[Line] = []
    for dtype in ("float32", "bfloat16"):
        for kind in ("matmul", "convolution", "copy"):
            own = chosen(lines, "ceilings", device=device, dtype=dtype, kind=kind)
            used += own.values()
            for subject, line in own.items():
                key = (subject.split(",")[0], kind, dtype)
                found[key] = max(line["rate"], found.get(key, 0.0))
    if not found:
        return not_yet("jaxcam bench ceilings")
    rows = []
    for library in dict.fromkeys(key[0] for key in found):
        cells = [number(found[k]) if (k := (library, kind, dtype)) in found else "" for kind, dtype in COLUMNS]
        rows.append([library, *cells])
    head = ["", *(f"{kind}, {dtype}, {'GB/s' if kind == 'copy' else 'GFLOP/s'}" for kind, dtype in COLUMNS)]
    return [*table(head, rows), "", f"`bench/ceilings.py`: {where(used)}."]


COLUMNS = [(kind, dtype) for dtype in ("float32", "bfloat16") for kind in ("matmul", "convolution", "copy")]


def forward(lines: list[Line], device: str = "CPU", dtypes: tuple[str, ...] = ("float32",)) -> Block:
    """The forward pass beside PyTorch."""
    rows: list[list[str]] = []
    used: list[Line] = []
    for dtype in dtypes:
        batches = sorted({x["batch"] for x in lines if x["file"] == "forward" and x["dtype"] == dtype})
        for batch in batches:
            own = chosen(lines, "forward", device=device, dtype=dtype, batch=batch, network="vgg16")
            used += own.values()
            for subject, line in own.items():
                share = f"{line['of_convolution_now']:.0%}" if "of_convolution_now" in line else ""
                rate = number(line["rate"])
                rows.append([subject, dtype, str(batch), rate, ratio(line), number(line["gflop_s"]), share])
    if not rows:
        return not_yet("jaxcam bench forward")
    head = ["", "dtype", "batch", "img/s", "speed over jaxcam", "GFLOP/s", "of the best convolution"]
    return [*table(head, rows), "", f"`bench/forward.py`: {where(used)}."]


def attribution(lines: list[Line], device: str = "CPU", dtype: str = "float32", batch: int = 8) -> Block:
    """Class activation maps beside the peers."""
    pick = lambda question: chosen(lines, "attribution", device=device, dtype=dtype, batch=batch, question=question)
    first, classes, several = pick("grad_cam"), pick("grad_cam_classes"), pick("cam_methods")
    if not first:
        return not_yet("jaxcam bench attribution")
    head = [f"one class an image, batch {batch}, {dtype}", "img/s", "speed over jaxcam's Grad-CAM"]
    block = table(head, [[name, number(line["rate"]), ratio(line)] for name, line in first.items()])
    differences = next(iter(first.values())).get("map_difference")
    if isinstance(differences, dict) and differences:
        block += ["", f"The maps of all differ by at most {max(differences.values()):.0e} of their range."]
    more = [[n, number(x["rate"]), ratio(x)] for part in (classes, several) for n, x in part.items()]
    more = [row for row in more if row[0] != "jaxcam forward"]
    if more:
        block += ["", *table(["in one program", "img/s", "speed over jaxcam's forward pass"], more)]
    return [*block, "", f"`bench/attribution.py`: {where([*first.values(), *classes.values(), *several.values()])}."]


def methods(lines: list[Line], device: str = "CPU", dtype: str = "float32") -> Block:
    """The cost of every method in forwards."""
    own = chosen(lines, "methods", device=device, dtype=dtype)
    own.pop("forward", None)
    if not own:
        return not_yet("jaxcam bench methods")
    rows = []
    for name, line in sorted(own.items(), key=lambda pair: pair[1]["by_formula_default"]):
        measured = number(line["measured"]) if "measured" in line else "within the spread"
        rows.append(
            [name, measured, *(number(line[key]) for key in ("by_formula", "by_formula_default", "told_default"))]
        )
    head = ["method", "measured", "by formula", "by formula, default settings", "told by `explain`"]
    samples, side = next((line["samples"], line["shape"][0]) for line in own.values())
    said = f"One image of {side}x{side}, {dtype}; measured with {samples} samples or steps ({4 * samples} masks)."
    said += " The formula counts the pass for the logits beside the method's own; XLA merges the two."
    said += f" `bench/methods.py`: {where(own.values())}."
    return [*table(head, rows), "", said]


def occlusion(lines: list[Line], device: str = "CPU", dtype: str = "float32") -> Block:
    """Occlusion beside brute force and captum."""
    rows: list[list[str]] = []
    used: list[Line] = []
    differences = []
    for network, window, stride in (("vgg16", 32, 16), ("vgg16", 16, 8), ("resnet50", 32, 16), ("resnet50", 16, 8)):
        setting = {"network": network, "window": window, "stride": stride, "dtype": dtype}
        own = chosen(lines, "occlusion", device=device, **setting)
        used += own.values()
        for name, line in own.items():
            positions = number(line["positions"])
            longer = ratio(line, inverted=True)
            rows.append([f"{network}, {window}/{stride}", positions, name, number(line["median_s"]), longer])
            differences += [line["difference"]] if "difference" in line else []
    if not rows:
        return not_yet("jaxcam bench occlusion")
    head = ["network, window/stride", "windows", "", "seconds a map", "times as long as incremental"]
    block = table(head, rows)
    ranks = [line["rank_correlation"] for line in used if "rank_correlation" in line]
    said = f"The incremental evaluation differs from brute force by at most {max(differences):.0e} of the maximum."
    said += f" Coarse to fine is an approximation: rank correlation {min(ranks):.2f}." if ranks else ""
    return [*block, "", *([said] if differences else []), f"`bench/occlusion.py`: {where(used)}."]


def surrogates(lines: list[Line], device: str = "CPU", dtype: str = "float32") -> Block:
    """LIME, KernelSHAP and RISE beside captum."""
    rows: list[list[str]] = []
    used: list[Line] = []
    for question in ("lime", "kernel_shap", "rise"):
        own = chosen(lines, "surrogates", device=device, dtype=dtype, question=question)
        used += own.values()
        rows += [[name, number(line["rate"]), ratio(line)] for name, line in own.items()]
    if not rows:
        return not_yet("jaxcam bench surrogates")
    return [*table(["", "samples/s", "speed over jaxcam"], rows), "", f"`bench/surrogates.py`: {where(used)}."]


def training(lines: list[Line], device: str = "CPU", dtype: str = "float32", batch: int = 8) -> Block:
    """Training steps beside Keras and PyTorch."""
    rows: list[list[str]] = []
    used: list[Line] = []
    pick = lambda question: chosen(lines, "training", device=device, dtype=dtype, batch=batch, question=question)
    titles = {"frozen_step": "base frozen", "block5_step": "block 5 and the head", "full_step": "everything"}
    for question, title in titles.items():
        own = pick(question)
        used += own.values()
        for name, line in own.items():
            rows.append([title, name, number(line["rate"]), ratio(line)])
    if not rows:
        return not_yet("jaxcam bench training")
    block = table(["what moves", "", "img/s", "speed over jaxcam's step"], rows)
    kept, flops = pick("cached_epoch").get("jaxcam on kept features"), pick("step_flops")
    said = [f"Batch {batch}, {dtype}; the losses of all agree before anything is timed."]
    if kept is not None and "ratio" in kept:
        said.append(f"On kept features an epoch of the head runs {kept['ratio']:.0f} times as fast as end to end.")
    if flops:
        counts = [f"{x['subject'].split('_')[0].split()[-1]} {x['ratio']:.3f}" for x in flops.values()]
        said.append(f"Operations over those of a forward pass, by XLA's count: {', '.join(counts)}.")
    return [*block, "", *said, f"`bench/training.py`: {where(used)}."]


def loading(lines: list[Line]) -> Block:
    """Pictures in."""
    small, large = (chosen(lines, "loading", question=f"loading {size}") for size in ("500x375", "1600x1200"))
    if not small:
        return not_yet("jaxcam bench loading")
    rows = [[n, number(x["rate"]), number(large[n]["rate"]) if n in large else ""] for n, x in small.items()]
    last = next(iter(small.values()))
    head = ["images a second, 224x224 out", "JPEG 500x375", "JPEG 1600x1200"]
    said = (
        f"The loaders have {last['workers']} workers. `bench/loading.py`: {where([*small.values(), *large.values()])}."
    )
    return [*table(head, rows), "", said]


def whole_sets(lines: list[Line]) -> Block:
    """The scan, and a whole set from files to maps."""
    block = []
    for line in chosen(lines, "scan").values():
        pictures, wrong = number(line["pictures"]), sum(line["wrong"].values())
        block.append(
            f"`jaxcam data scan` looked at {pictures} pictures in {line['median_s']:.0f} s and found"
            f" {line['recall_all']:.1%} of {number(line['pairs'])} planted copies; {wrong} of the pairs it reported"
            f" were none (`bench/scan.py`: {where([line])})."
        )
    return [*(block or not_yet("jaxcam bench scan")), *wholeset(lines)]


def compilation(lines: list[Line], device: str = "CPU", dtype: str = "float32") -> Block:
    """Compile time and the folder of compiled programs."""
    rows: list[list[str]] = []
    used: list[Line] = []
    for name in ("forward", "grad_cam", "occlusion"):
        own = chosen(lines, "compilation", device=device, dtype=dtype, question=f"compile {name}")
        used += own.values()
        if own:
            rows.append([name, *(number(own[kind]["median_s"]) for kind in ("nothing kept", "kept programs"))])
    if not rows:
        return not_yet("jaxcam bench compilation")
    head = ["seconds to trace and compile", "nothing kept", "kept by an earlier process"]
    return [*table(head, rows), "", f"`bench/compilation.py`: {where(used)}."]


def scaling(lines: list[Line], device: str = "CPU", dtype: str = "float32") -> Block:
    """Several devices."""
    own = chosen(lines, "scaling", device=device, dtype=dtype)
    if not own:
        return not_yet("jaxcam bench scaling")
    rows = [[name, number(line["rate"]), ratio(line)] for name, line in own.items()]
    kind = "host devices of the same cores" if device == "CPU" else "devices"
    head = [f"Grad-CAM over {kind}", "img/s", "speed over one"]
    return [*table(head, rows), "", f"`bench/scaling.py`: {where(own.values())}."]


def startup(lines: list[Line]) -> Block:
    """Seconds until a command has done its work."""
    own = chosen(lines, "startup")
    if not own:
        return not_yet("jaxcam bench startup")
    rows = [[f"`{name}`", number(line["median_s"])] for name, line in own.items()]
    return [*table(["whole process", "seconds"], rows), "", f"`bench/startup.py`: {where(own.values())}."]


def filters(lines: list[Line]) -> Block:
    """Patterns that channels respond to, beside the book's loop."""
    files = sorted({x["question"] for x in lines if x["file"] == "filters" and x["question"].startswith("filter")})
    if not files:
        return not_yet("jaxcam bench filters")
    block: Block = []
    for question in files:
        own = chosen(lines, "filters", question=question)
        one = next(iter(own.values()))
        rows = [[name, number(line["median_s"]), number(line["cpu_s"]), ratio(line)] for name, line in own.items()]
        head = [
            f"{one['channels']} channels of {question.split()[-1]}, {one['size']}x{one['size']}, {one['steps']} steps",
            "seconds",
            "processor seconds",
            f"speed over {one.get('ratio_to') or next(x['ratio_to'] for x in own.values() if 'ratio_to' in x)}",
        ]
        block += [*table(head, rows), "", f"`bench/filters.py`: {where(own.values())}.", ""]
    return block[:-1]


def export(lines: list[Line]) -> Block:
    """Size of an exported program, and seconds to its first answer."""
    own = chosen(lines, "export")
    if not own:
        return not_yet("jaxcam bench export")
    mib = lambda line, part: f"{line[f'{part}_bytes'] / 2**20:.2f}" if f"{part}_bytes" in line else ""
    rows = [
        [name, number(line["median_s"]), mib(line, "program"), mib(line, "weights"), ratio(line)]
        for name, line in own.items()
    ]
    one = next(iter(own.values()))
    head = [f"{one['network']}, process start to answer", "seconds", "program MiB", "weights MiB", "speed over predict"]
    most = max(one["differences"].values())
    told = f"The exported program's numbers differ from `predict`'s and `explain`'s by at most {most:.0e}."
    return [*table(head, rows), "", f"{told} `bench/export.py`: {where(own.values())}."]


def convolutions(lines: list[Line]) -> Block:
    """Networks with jaxcam's forms of convolutions, and with XLA's."""
    found = [x for x in lines if x["file"] == "convolutions"]
    if not found:
        return not_yet("jaxcam bench convolutions")
    rows: list[list[str]] = []
    every: list[Line] = []
    for network in dict.fromkeys(x["network"] for x in found):
        for question, word in (("forward", "forward"), ("gradient", "gradient of the images")):
            own = chosen(found, "convolutions", question=question, network=network)
            every += own.values()
            rates = [number(own[name]["rate"]) for name in ("jaxcam", "convolution")]
            rows.append([f"{network}, {word}", *rates, ratio(own["convolution"])])
    head = ["img/s", "jaxcam's form", "XLA's convolution", "speed of the latter over the former"]
    most = max(x["difference"] for x in every if x["question"] == "forward")
    told = f"The logits differ by at most {most:.0e} of the maximum."
    return [*table(head, rows), "", f"{told} `bench/convolutions.py`: {where(every)}."]


def accelerator(lines: list[Line]) -> Block:
    """Everything that was measured on a GPU."""
    there = [x for x in lines if "subject" in x and not x.get("device", "CPU").startswith("CPU")]
    if not there:
        return [
            "No GPU was available so far: nothing is claimed for one. `python bench/everything.py` on one measures it."
        ]
    both: Any = {"device": "GPU"}
    batches = lambda file: sorted({x["batch"] for x in there if x["file"] == file})
    blocks = [ceilings(there, "GPU"), forward(there, "GPU", ("bfloat16", "float32"))]
    for dtype in ("bfloat16", "float32"):
        blocks += [attribution(there, **both, dtype=dtype, batch=batch) for batch in batches("attribution")]
        blocks += [one(there, **both, dtype=dtype) for one in (methods, occlusion, surrogates)]
        blocks += [training(there, **both, dtype=dtype, batch=batch) for batch in batches("training")]
        blocks += [one(there, **both, dtype=dtype) for one in (wholeset, compilation, scaling)]
    measured = [block for block in blocks if not block[0].startswith("(Not measured")]
    return [line for block in measured for line in (*block, "")][:-1]


def wholeset(lines: list[Line], device: str = "CPU", dtype: str = "float32") -> Block:
    """From JPEG files to maps on disk."""
    own = chosen(lines, "wholeset", device=device, dtype=dtype, network="vgg16")
    whole = own.get("whole set to disk")
    if whole is None:
        return not_yet("jaxcam bench wholeset")
    alone = number(own["grad_cam"]["rate"])
    return [
        f"From {whole['images']} JPEG files to maps on disk, VGG16, batch {whole['batch']}, {dtype}:"
        f" {number(whole['rate'])} img/s, where Grad-CAM alone makes {alone}"
        f" (`bench/wholeset.py`: {where([whole])})."
    ]
