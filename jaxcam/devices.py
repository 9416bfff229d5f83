"""Devices: one mesh axis `data`; batches are split over it, parameters are everywhere.

Several processes (hosts) join with `join`. Training runs one program over all devices of all processes (`mesh`); work
that has no sums over images, such as making maps, runs in every process for itself (`own_mesh`).
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from jaxcam.errors import UserError

POLL_SECONDS = 0.2


@cache
def mesh() -> Mesh:
    """All devices in one row."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


@cache
def own_mesh() -> Mesh:
    """This process' devices in one row; the same as `mesh` where there is one process."""
    if jax.process_count() == 1:
        return mesh()
    own = jax.local_devices()
    return jax.make_mesh((len(own),), ("data",), axis_types=(AxisType.Auto,), devices=own)


def padded(rows: int, *, on: Mesh | None = None) -> int:
    """`rows` rounded up so that they divide over the devices."""
    devices = (on or mesh()).size
    return -(-rows // devices) * devices


def shard(batch: Any, *, on: Mesh | None = None) -> Any:
    """Put a tree of arrays on the devices, split along the first axis; a copy is under way when this returns."""
    return jax.device_put(batch, NamedSharding(on or mesh(), PartitionSpec("data")))


def replicate(tree: Any, *, on: Mesh | None = None) -> Any:
    """Put a tree of arrays on every device; without `on`, all processes must hold the same values."""
    sharding = NamedSharding(on or mesh(), PartitionSpec())
    if on is not None or jax.process_count() == 1:
        return jax.device_put(tree, sharding)
    # Not device_put: it would send every array to the other processes to compare them.
    host = jax.device_get(tree)

    def place(array: Any) -> jax.Array:
        # Copies: devices that share their memory with the host must not share one array's.
        return jax.make_array_from_callback(np.shape(array), sharding, lambda part: np.array(array)[part])

    return jax.tree.map(place, host)


def everywhere() -> NamedSharding:
    """The same values on every device of all processes."""
    return NamedSharding(mesh(), PartitionSpec())


def rows_split() -> NamedSharding:
    """Rows of a global batch over all devices of all processes."""
    return NamedSharding(mesh(), PartitionSpec("data"))


def own_rows(rows: int) -> Int[np.ndarray, " m"]:
    """Which rows of a global batch of that many this process brings; `rows` must divide over the devices."""
    if jax.process_count() == 1:
        return np.arange(rows)
    parts = rows_split().addressable_devices_indices_map((rows,)).values()
    return np.unique(np.concatenate([np.arange(rows)[part] for part in parts]))


def assemble(batch: Any) -> Any:
    """Put a tree of arrays on the devices of all processes, each bringing its `own_rows` of the global batch.

    A copy is under way when this returns.
    """
    if jax.process_count() == 1:
        return shard(batch)
    sharding = rows_split()
    return jax.tree.map(lambda array: jax.make_array_from_process_local_data(sharding, array), batch)


def told(value: Any) -> Any:
    """The first process' tree of arrays in every process, as numpy arrays; the others give one of the same shapes."""
    if jax.process_count() == 1:
        return value
    from jax.experimental import multihost_utils

    return jax.tree.map(np.asarray, multihost_utils.broadcast_one_to_all(value))


def told_json(value: Any) -> Any:
    """The first process' JSON value in every process (numbers exactly)."""
    if jax.process_count() == 1:
        return value
    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    size = int(told(np.asarray(len(text), np.int32)))
    return json.loads(told(text if is_first() else np.zeros(size, np.uint8)).tobytes())


def pad_rows(array: np.ndarray, rows: int) -> np.ndarray:
    """`array` with zero rows added at the end."""
    missing = rows - len(array)
    return array if missing == 0 else np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])


def join(*, coordinator: str | None = None, processes: int | None = None, process_id: int | None = None) -> None:
    """Make this process one of several; call it before anything is computed. Without any value it does nothing.

    `coordinator` is HOST:PORT of process 0, the same in every process; or `auto`: everything is found from the
    surroundings (Slurm, Open MPI, Kubernetes, cloud TPU, or JAX's own JAX_COORDINATOR_ADDRESS with the numbers given).
    Raises `UserError` for values that do not belong together.
    """
    if coordinator is None and processes is None and process_id is None:
        return
    if coordinator is None or (coordinator != "auto" and (processes is None or process_id is None)):
        raise UserError("several processes need --coordinator HOST:PORT, --processes and --process-id, or auto alone")
    if processes is not None and process_id is not None and not 0 <= process_id < processes:
        raise UserError(f"--process-id is {process_id}; it counts from 0 to {processes - 1}")
    if coordinator != "auto" and not coordinator.rpartition(":")[2].isdigit():
        raise UserError(f"--coordinator is {coordinator!r}; it must be HOST:PORT, such as localhost:12345")
    if jax.distributed.is_initialized():
        return
    address = None if coordinator == "auto" else coordinator
    try:
        jax.distributed.initialize(address, processes, process_id)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"the processes cannot be joined: {' '.join(str(error).split())}") from error


def barrier(name: str, *, ready: Callable[[], bool] | None = None) -> None:
    """Wait until every process has come here; with `ready` first until that is true, asked now and then.

    What the processes wait for long should stand in `ready` (something that all of them can see, such as a file): a
    collective operation gives up after half a minute on CPUs.
    """
    if jax.process_count() == 1:
        return
    from jax.experimental import multihost_utils

    while ready is not None and not ready():
        time.sleep(POLL_SECONDS)
    multihost_utils.sync_global_devices(name)


def keep_compiled(folder: str | Path | None = None) -> Path | None:
    """Keep compiled programs on disk, so that the next process need not compile them again; returns the folder.

    By default a folder of the user's cache (`XDG_CACHE_HOME`, else `~/.cache`) whose name holds the version of jaxlib
    and what the processor can do: programs of another version or processor must not be loaded. JAXCAM_COMPILED=off
    switches it off, another value is the folder. A JAX_COMPILATION_CACHE_DIR that is set is left as it is.
    """
    wanted = os.environ.get("JAXCAM_COMPILED", "")
    if wanted == "off" or jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        return None
    path = Path(folder or wanted or _cache_folder())
    jax.config.update("jax_compilation_cache_dir", str(path))
    return path


def _cache_folder() -> Path:
    import jaxlib

    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
    kind = hashlib.sha256(flags.encode()).hexdigest()[:8]
    return base / "jaxcam" / f"compiled-{jaxlib.__version__}-{platform.machine()}-{kind}"


def is_first() -> bool:
    """Whether this process is the one that speaks and finishes what all have done."""
    return jax.process_index() == 0
