"""Run every question, each in a process of its own, ceilings first: what `make bench` does.

On a machine with an accelerator the same command runs the accelerator's list: large batches, bfloat16 and float32.
A question that fails is told at the end and the others still run; PyTorch, Keras and captum are left out where they are
not installed, and the lines say so. `--quick` runs all with tiny shapes and keeps nothing. `--list` shows the commands.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
PEERS = ("ceilings", "forward", "attribution", "occlusion", "surrogates", "training")
"""questions that know --no-peers"""
DTYPES = ("bfloat16", "float32")
PROCESSOR = (
    ("startup", 1.0),
    ("ceilings", 1.0),
    ("forward", 1.5),
    ("forward --dtypes bfloat16 --batches 8 --rounds 3", 1.0),
    ("attribution", 2.5),
    ("methods", 4.0),
    ("occlusion", 5.0),
    ("occlusion --window 16 --stride 8 --subjects incremental coarse captum --warm-up 0 --rounds 3", 6.5),
    ("occlusion --network resnet50 --window 32 --stride 16 --subjects incremental brute", 1.5),
    ("surrogates", 4.0),
    ("training --rounds 3", 3.0),
    ("convolutions", 4.0),
    ("filters", 1.0),
    ("export --rounds 3", 2.0),
    ("loading --rounds 5", 1.0),
    ("scan --pictures 4000", 1.0),
    ("wholeset --images 64 --rounds 3 --no-memory", 2.0),
    ("compilation --rounds 2", 1.0),
    ("scaling --rounds 3", 2.0),
)
"""questions with their options, and about how many minutes each takes on two cores"""
ACCELERATOR = (
    ("ceilings", 0.5),
    ("forward --dtypes bfloat16 float32", 2.0),
    ("attribution --dtypes bfloat16 float32", 5.0),
    *((f"methods --dtype {dtype} --size 224", 5.0) for dtype in DTYPES),
    *((f"occlusion --dtype {dtype} --window 32 --stride 16", 2.0) for dtype in DTYPES),
    *((f"occlusion --dtype {dtype} --window 16 --stride 8", 2.0) for dtype in DTYPES),
    ("surrogates --dtypes bfloat16 float32", 2.0),
    *((f"training --dtype {dtype} --batch 128", 2.0) for dtype in DTYPES),
    *((f"wholeset --dtype {dtype} --batch 128 --images 4096 --rounds 3 --no-memory", 2.0) for dtype in DTYPES),
    ("compilation --rounds 1 --dtype bfloat16", 1.0),
    ("scaling --dtype bfloat16 --batch 512 --rounds 1", 1.0),
)


def backend() -> str:
    """Asked in a process of its own: one that holds an accelerator would keep its memory from the others."""
    code = "import jax; print(jax.default_backend())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()[-1]


def main() -> int:
    """Run the list; exit status 1 where a question failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", help="questions by name")
    parser.add_argument("--skip", nargs="+", default=[], help="questions by name")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--quick", action="store_true", help="tiny shapes, one round: does it work? Keeps no line")
    parser.add_argument("--results", type=Path, help="folder for the lines (default: bench/results)")
    parser.add_argument("--accelerator", action="store_true", help="the accelerator's list, whatever is there")
    parser.add_argument("--list", action="store_true", help="show the commands and stop")
    options = parser.parse_args()
    on_processor = not options.accelerator and backend() == "cpu"
    chosen = [
        (words.split(), minutes)
        for words, minutes in (PROCESSOR if on_processor else ACCELERATOR)
        if words.split()[0] not in options.skip and (not options.only or words.split()[0] in options.only)
    ]
    if options.list:
        for words, minutes in chosen:
            print(f"python bench/{words[0]}.py {' '.join(words[1:]):70} # about {minutes:g} minutes")
        print(f"# about {sum(minutes for _, minutes in chosen):g} minutes")
        return 0
    failed = []
    for place, (words, minutes) in enumerate(chosen, start=1):
        command = [sys.executable, str(HERE / f"{words[0]}.py"), *words[1:]]
        command += ["--quick", "--rounds", "1"] if options.quick and words[0] != "scan" else []
        command += ["--quick"] if options.quick and words[0] == "scan" else []
        command += ["--results", str(options.results)] if options.results else []
        command += ["--no-peers"] if options.no_peers and words[0] in PEERS else []
        print(f"\n{place}/{len(chosen)} {' '.join(words)} (about {minutes:g} minutes)", flush=True)
        started = time.monotonic()
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(" ".join(words))
        print(f"{time.monotonic() - started:.0f} s", flush=True)
    for question in failed:
        print(f"failed: {question}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
