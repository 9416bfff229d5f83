"""A process that examines files for the scan: `python -m jaxcam.data.scan.worker`.

It reads jobs from its standard input and answers on its standard output, each a length and a pickle. It ends with its
input, so it does not outlive the scan, and it takes no more memory than its limit.
"""

import contextlib
import os
import pickle
import signal
import struct
import sys
import warnings
from typing import IO, Any

LENGTH = struct.Struct("<I")


def write(stream: IO[bytes], message: Any) -> None:
    """One message, flushed."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(LENGTH.pack(len(body)) + body)
    stream.flush()


def read(stream: IO[bytes]) -> Any:
    """The next message; None at the end."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    body = stream.read(length)
    return pickle.loads(body) if len(body) == length else None


def limit_memory(spare: int) -> None:
    """Let this process grow by `spare` bytes and no more, where the system knows such a limit."""
    try:
        import resource

        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (now + spare, now + spare))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        return  # not Linux: the limits on a picture's size remain


def main(spare: int) -> None:
    """Answer jobs, which are lists of (number, path), file by file with (number, findings)."""
    jobs, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the scan itself ends this process
    from jaxcam.data.scan.examine import examine

    warnings.simplefilter("ignore")
    with open(os.devnull, "wb") as nothing:  # libtiff writes about broken files to stderr, past Python
        os.dup2(nothing.fileno(), 1)
        write(answers, "ready")
        os.dup2(nothing.fileno(), 2)
    limit_memory(spare)
    with contextlib.suppress(BrokenPipeError):
        while (batch := read(jobs)) is not None:
            for number, path in batch:
                write(answers, (number, examine(path)))


if __name__ == "__main__":
    main(int(sys.argv[1]))
