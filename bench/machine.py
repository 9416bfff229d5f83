"""What a benchmark's line says of the machine: processor, versions, commit, load, memory, and its measured ceilings."""

import functools
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
RUN = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {os.getpid()}"
"""what the lines of one process have in common"""
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def machine() -> dict[str, Any]:
    """Device, threads, load and versions, as they are now."""
    about: dict[str, Any] = {"device": f"CPU {processor()}", "cores": os.cpu_count(), "threads": threads()}
    backend = accelerator()
    if backend is not None:
        about |= {"device": f"{backend.platform.upper()} {backend.device_kind}", "host": processor()}
    if "jax" in sys.modules:
        import jax

        about |= {"devices": jax.device_count()}
        precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
        about |= {"matmul_precision": precision} if precision else {}
    if "torch" in sys.modules:
        about |= {"torch_threads": sys.modules["torch"].get_num_threads()}
    about |= {"load_1min": round(os.getloadavg()[0], 2), "python": platform.python_version()}
    return about | {"versions": versions(), **commit(), "run": RUN}


def accelerator() -> Any | None:
    """The first device, if JAX is in use and it is no CPU."""
    if "jax" not in sys.modules:
        return None
    import jax

    return None if jax.default_backend() == "cpu" else jax.devices()[0]


def threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def processor() -> str:
    """Model name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        if models:
            return models[0]
    return platform.processor() or platform.machine()


@functools.cache
def versions() -> dict[str, str]:
    """Of the packages that are there."""
    found = {}
    for name in ("jax", "jaxlib", "flax", "keras", "torch", "captum", "grad-cam", "numpy", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@functools.cache
def commit() -> dict[str, Any]:
    """The commit, and whether files other than results differ from it."""
    git = functools.partial(subprocess.run, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    try:
        head = git(["git", "rev-parse", "--short", "HEAD"]).stdout.strip()
        changed = git(["git", "status", "--porcelain", "--untracked-files=no", "--", "..", ":!results"]).stdout.strip()
    except OSError:
        return {"commit": ""}
    return {"commit": head, "dirty": bool(changed)}


def ceilings(dtype: str) -> dict[str, float]:
    """GFLOP/s of matrix multiplication and convolution and GB/s of copies, by `ceilings.py`; empty if not measured.

    The newest lines of this device, this number of threads and this dtype; of several libraries the fastest.
    """
    file = RESULTS / "ceilings.jsonl"
    lines = [json.loads(text) for text in file.read_text().splitlines()] if file.exists() else []
    now = machine()
    same = [x for x in lines if all(x.get(key) == now[key] for key in ("device", "threads")) and x["dtype"] == dtype]
    found: dict[str, float] = {}
    if same:
        for line in same:
            if line["run"] == same[-1]["run"]:
                found[line["kind"]] = max(line["rate"], found.get(line["kind"], 0.0))
    return found


class Elsewhere:
    """How busy others keep the processors, from here to `cores`."""

    def __init__(self) -> None:
        self.started = self._now()

    def cores(self) -> float | None:
        """Cores that other processes used on average; None where that is not told."""
        now = self._now()
        if now is None or self.started is None or now[0] <= self.started[0]:
            return None
        wall, busy, own = (after - before for after, before in zip(now, self.started, strict=True))
        return round(max(0.0, (busy - own) / wall), 2)

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        stat = Path("/proc/stat")
        if not stat.exists():
            return None
        values = [int(value) for value in stat.read_text().splitlines()[0].split()[1:]]
        busy = sum(values[:3]) + sum(values[5:7])  # user, nice, system, interrupts: neither idle nor waiting
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        return time.perf_counter(), busy / os.sysconf("SC_CLK_TCK"), own


class Memory:
    """Peak resident memory of this process from here to `found`; on an accelerator its own peak so far, too."""

    def __init__(self) -> None:
        try:
            CLEAR.write_text("5")  # Linux: the peak begins anew
            self.before = _status("VmRSS")
        except OSError:
            self.before = None

    def found(self) -> dict[str, Any]:
        """MiB at the peak, and how much of them was not there before."""
        about: dict[str, Any] = {}
        peak = _status("VmHWM")
        if peak is not None and self.before is not None:
            about = {"peak_mib": round(peak), "peak_growth_mib": round(max(0.0, peak - self.before))}
        device = accelerator()
        stats = device.memory_stats() if device is not None else None
        if stats and "peak_bytes_in_use" in stats:
            about["device_peak_so_far_mib"] = round(stats["peak_bytes_in_use"] / 2**20)
        return about


def _status(name: str) -> float | None:
    """MiB of a line of /proc/self/status."""
    try:
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) / 1024
