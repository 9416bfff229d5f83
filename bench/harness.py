"""Honest timing: subjects take turns in one process, medians are taken, and a line says on what machine.

A benchmark is a file of this folder: it takes its options from `arguments`, times with `interleaved`, makes one line a
subject with `record`, and prints and keeps them with `write`. `programs.py` compiles and counts, `machine.py` tells
about the machine.
"""

import argparse
import importlib.util
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from machine import RESULTS, Elsewhere, Memory, ceilings, machine

__all__ = ["RESULTS", "Seconds", "arguments", "interleaved", "machine", "missing", "record", "write"]
FEWEST = 3
"""rounds below which there is no spread to speak of, and so no ratio"""


class Seconds(list[float]):
    """Wall seconds of a subject's calls, and what was seen beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.cpu: list[float] = []
        """processor seconds of the same calls, all threads together"""
        self.warm_up: list[float] = []
        """wall seconds of the calls before; the first compiles, where the subject does that by itself"""
        self.facts: dict[str, Any] = {}
        """load before and after, cores that others used, peak memory"""


def arguments(doc: str | None, *, rounds: int, warm_up: int = 1) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"turns of every subject (default {rounds})")
    parser.add_argument("--warm-up", type=int, default=warm_up, help=f"calls before these (default {warm_up})")
    parser.add_argument("--quick", action="store_true", help="tiny shapes, one round: does it work? Keeps no line")
    parser.add_argument("--results", type=Path, help="folder for the lines (default: bench/results)")
    return parser


def missing(*packages: str) -> list[str]:
    """Which of the packages are not installed: their subjects are left out, and the lines say so."""
    return [name for name in packages if importlib.util.find_spec(name) is None]


def interleaved(subjects: Mapping[str, Callable[[], Any]], *, rounds: int, warm_up: int = 2) -> dict[str, Seconds]:
    """Seconds of every call of every subject, in turns A B C A B C; each callable blocks until its result is there."""
    seconds = {name: Seconds() for name in subjects}
    before = os.getloadavg()[0]
    for name, call in subjects.items():
        for _ in range(warm_up):
            started = time.perf_counter()
            call()
            seconds[name].warm_up.append(time.perf_counter() - started)
    elsewhere = Elsewhere()
    for place in range(rounds):
        for name, call in subjects.items():
            memory = Memory() if place == 0 else None
            started, busy = time.perf_counter(), time.process_time()
            call()
            seconds[name].append(time.perf_counter() - started)
            seconds[name].cpu.append(time.process_time() - busy)
            if memory is not None:
                seconds[name].facts |= memory.found()
    about = {"load": [round(before, 2), round(os.getloadavg()[0], 2)], "others_cores": elsewhere.cores()}
    for own in seconds.values():
        own.facts |= {"warm_up": warm_up} | about
        if own.warm_up:
            own.facts["first_call_s"] = round(own.warm_up[0], 4)
    return seconds


def record(
    question: str,
    seconds: Mapping[str, Seconds],
    *,
    per_call: float | Mapping[str, float],
    unit: str,
    reference: str,
    each: Mapping[str, Mapping[str, Any]] | None = None,
    **facts: Any,
) -> list[dict[str, Any]]:
    """One line a subject.

    `ratio` is the median over rounds of reference seconds / own seconds, `ratio_range` its middle half. There is no
    ratio, but the reason why, where that spread is larger than the difference, and for fewer than three rounds.
    `each` has facts of single subjects (`programs.Program.facts`); where there is a `gflop` of a call among them, the
    line also tells the rate, and its share of what `ceilings.py` measured on the same machine in the same dtype.
    """
    lines = []
    for name, own in seconds.items():
        line: dict[str, Any] = {"question": question, "subject": name, **facts, **dict((each or {}).get(name, {}))}
        median = statistics.median(own)
        calls = per_call[name] if isinstance(per_call, Mapping) else per_call
        line |= {"median_s": significant(median), "min_s": significant(min(own)), "max_s": significant(max(own))}
        low, high = middle_half(own)
        line |= {"spread_s": significant(high - low), "cpu_s": significant(statistics.median(own.cpu))}
        line |= {"rounds": len(own), "rate": round(calls / median, 3), "unit": unit, **own.facts}
        if name != reference:
            line |= {"ratio_to": reference} | ratio_of(seconds[reference], own)
        if line.get("gflop"):
            line |= share_of_ceiling(line, median)
        # Where the work is done in other processes they tell the device.
        lines.append(line | machine() | ({"device": facts["device"]} if "device" in facts else {}))
    return lines


def ratio_of(reference: list[float], own: list[float]) -> dict[str, Any]:
    """Ratio of paired rounds, or why there is none."""
    ratios = [r / o for r, o in zip(reference, own, strict=True)]
    if len(ratios) < FEWEST:
        return {"no_ratio": f"too few rounds, {len(ratios)}, to tell a spread"}
    median, (low, high) = statistics.median(ratios), middle_half(ratios)
    found: dict[str, Any] = {"ratio_range": [significant(low), significant(high)]}
    if high - low > abs(median - 1) or low <= 1 <= high:
        spread, difference = significant(high - low, 2), significant(abs(median - 1), 2)
        return found | {"no_ratio": f"the spread, {spread}, is not less than the difference, {difference}"}
    return found | {"ratio": significant(median)}


def share_of_ceiling(line: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """GFLOP/s by formula, and over the machine's rates of convolutions and matrix multiplications."""
    reached = line["gflop"] / seconds
    found = ceilings(line.get("dtype", "float32"))
    shares = {kind: round(reached / rate, 3) for kind, rate in found.items() if kind != "copy"}
    return {"gflop_s": significant(reached)} | ({"of_ceiling": shares, "ceilings": found} if shares else {})


def middle_half(values: list[float]) -> tuple[float, float]:
    """First and third quartile, interpolated."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def significant(value: float, digits: int = 4) -> float:
    """Rounded to so many digits."""
    return float(f"{value:.{digits}g}")


def write(
    name: str, lines: list[dict[str, Any]], options: argparse.Namespace | None = None, *, results: Path | None = None
) -> None:
    """Append the lines to `results/NAME.jsonl` and print them; with `--quick` they are kept only if `--results` is."""
    folder = results or getattr(options, "results", None)
    if folder is None and not getattr(options, "quick", False):
        folder = RESULTS
    for line in lines:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            with open(folder / f"{name}.jsonl", "a") as file:
                file.write(json.dumps(line) + "\n")
        print(told(line), flush=True)


def told(line: Mapping[str, Any]) -> str:
    """A line for the terminal."""
    words = f"{line['subject']:34} {line['rate']:10.3f} {line['unit']}"
    if line.get("median_s") is not None and "spread_s" in line:
        words += f"  {line['median_s']:.4g} s (spread {line['spread_s']:.2g})"
    if "ratio" in line:
        words += f"  {line['ratio']} of {line['ratio_to']}"
        words += " ({} to {})".format(*line["ratio_range"]) if "ratio_range" in line else ""
    elif "no_ratio" in line:
        words += f"  no ratio to {line['ratio_to']}: {line['no_ratio']}"
    if "of_ceiling" in line:
        words += "  " + ", ".join(f"{share:.0%} of {kind}" for kind, share in line["of_ceiling"].items())
    return words
