"""Honest timing: subjects take turns in one process, medians are taken, and a line says on what machine."""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


class Seconds(list[float]):
    """Wall seconds of a subject's calls; `cpu` holds the processor seconds of the same calls, all threads together."""

    def __init__(self) -> None:
        super().__init__()
        self.cpu: list[float] = []


def interleaved(subjects: Mapping[str, Callable[[], Any]], *, rounds: int, warm_up: int = 2) -> dict[str, Seconds]:
    """Seconds of every call of every subject, in turns A B C A B C; each callable blocks until its result is there."""
    for call in subjects.values():
        for _ in range(warm_up):
            call()
    seconds = {name: Seconds() for name in subjects}
    for _ in range(rounds):
        for name, call in subjects.items():
            started, busy = time.perf_counter(), time.process_time()
            call()
            seconds[name].append(time.perf_counter() - started)
            seconds[name].cpu.append(time.process_time() - busy)
    return seconds


def record(
    question: str, seconds: Mapping[str, Seconds], *, per_call: int, unit: str, reference: str, **facts: Any
) -> list[dict[str, Any]]:
    """One line a subject; the ratio is the median over rounds of reference seconds / own seconds.

    A ratio is left out where it lies within the spread of the rounds, for then it says nothing.
    """
    lines = []
    for name, own in seconds.items():
        line: dict[str, Any] = {"question": question, "subject": name, **facts}
        median = statistics.median(own)
        line |= {"median_s": round(median, 4), "min_s": round(min(own), 4), "max_s": round(max(own), 4)}
        line |= {"cpu_s": round(statistics.median(own.cpu), 4)}
        line |= {"rounds": len(own), "rate": round(per_call / median, 3), "unit": unit}
        if name != reference:
            ratios = sorted(r / o for r, o in zip(seconds[reference], own, strict=True))
            low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
            if not low <= 1 <= high:
                line |= {"ratio_to": reference, "ratio": round(statistics.median(ratios), 3)}
        lines.append(line | machine())
    return lines


def machine() -> dict[str, Any]:
    """Processor, threads, load and versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = models[0] if models else model
    packages = {}
    for name in ("jax", "jaxlib", "flax", "keras", "torch", "captum", "grad-cam", "numpy"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "device": f"CPU {model}",
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": packages,
        "commit": commit.stdout.strip(),
    }


def write(name: str, lines: list[dict[str, Any]]) -> None:
    """Append the lines to `results/NAME.jsonl` and print them."""
    RESULTS.mkdir(exist_ok=True)
    with open(RESULTS / f"{name}.jsonl", "a") as file:
        for line in lines:
            file.write(json.dumps(line) + "\n")
            print(f"{line['subject']:28} {line['rate']:8.3f} {line['unit']}   ratio {line.get('ratio', '-')}")
