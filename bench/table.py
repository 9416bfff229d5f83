"""Turn `bench/results` into tables: print them, or write them into the README.

    python bench/table.py                    # the newest line of every question, subject and setting
    python bench/table.py --write            # the README's blocks anew
    python bench/table.py --check            # exit status 1 where the README says something else
    python bench/table.py --plots plots      # one drawing a question: rates with their spread

A block stands in the README between `<!-- bench: NAME -->` and `<!-- end -->`; what is in between is made here and
nowhere else. `CLAIMS` are the sentences with measured numbers that stand outside of blocks.
"""

import argparse
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import figures_audit
import figures_speed
from lines import Line, chosen, load, newest, number, ratio, table

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"(<!-- bench: ([\w-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

BLOCKS: dict[str, Callable[[list[Line]], list[str]]] = {
    "ceilings": figures_speed.ceilings,
    "forward": figures_speed.forward,
    "attribution": figures_speed.attribution,
    "methods": figures_speed.methods,
    "occlusion": figures_speed.occlusion,
    "surrogates": figures_speed.surrogates,
    "training": figures_speed.training,
    "loading": figures_speed.loading,
    "whole-sets": figures_speed.whole_sets,
    "compilation": figures_speed.compilation,
    "scaling": figures_speed.scaling,
    "startup": figures_speed.startup,
    "filters": figures_speed.filters,
    "export": figures_speed.export,
    "convolutions": figures_speed.convolutions,
    "gpu": figures_speed.accelerator,
    "audit": figures_audit.audit,
    "audit-cost": figures_audit.audit_cost,
    "audit-story": figures_audit.audit_story,
    "story-drawn": partial(figures_audit.story, name="drawn"),
    "story-bart-vs-homer": partial(figures_audit.story, name="bart-vs-homer"),
}


def prepared_over_plain(lines: list[Line]) -> bool:
    """Prepared arrays are read at least 100 times as fast as plain Pillow reads JPEG files."""
    own = chosen(lines, "loading", question="loading 500x375")
    return own["jaxcam loader, prepared"]["rate"] >= 100 * own["plain Pillow, 1 thread"]["rate"]


def drawn_story(lines: list[Line]) -> bool:
    """The picture's four networks: right on every validation picture, two of them wrong on nearly all swapped ones."""
    story = figures_audit.the(lines, "story-drawn")
    if story is None:
        return False
    results = story["results"]
    wrong = [one for one in results if one["swapped_accuracy"] <= 0.15]
    return len(results) == 4 and len(wrong) == 2 and all(one["validation_accuracy"] == 1 for one in results)


CLAIMS: dict[str, Callable[[list[Line]], bool]] = {
    "decoded once; read again 100 times as fast": prepared_over_plain,
    "All are right on every validation picture. Two of\nthem read the background": drawn_story,
}
"""sentences of the README outside of blocks, and what must hold for them"""


def written(text: str, lines: list[Line]) -> str:
    """The README with every block made anew; ValueError for a name that no block has."""

    def block(match: re.Match[str]) -> str:
        if match[2] not in BLOCKS:
            raise ValueError(f"README: no block {match[2]!r}; there are: {', '.join(BLOCKS)}")
        return "\n".join([match[1].rstrip("\n"), "", *BLOCKS[match[2]](lines), "", match[4]])

    return BLOCK.sub(block, text)


def everything(lines: list[Line]) -> list[str]:
    """The newest lines as one Markdown table."""
    rows = []
    for line in newest(lines):
        setting = [f"{line[key]}" for key in ("network", "dtype") if key in line]
        setting += [f"batch {line['batch']}"] if "batch" in line else []
        setting += [f"window {line['window']}/{line['stride']}"] if "window" in line else []
        against = f"{ratio(line)} of {line['ratio_to']}" if ratio(line) else ""
        share = ", ".join(f"{value:.0%} of {kind}" for kind, value in line.get("of_ceiling", {}).items())
        rate = f"{number(line['rate'])} {line['unit']}"
        rows.append([line["question"], line["subject"], ", ".join(setting), rate, against, share])
    return table(["question", "subject", "setting", "rate", "ratio", "of the ceilings"], rows)


def plots(lines: list[Line], folder: Path) -> list[Path]:
    """One SVG a question: the rate of every subject in its newest setting, with the fastest and slowest round."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups: dict[str, list[Line]] = {}
    for line in newest(lines):
        if line.get("median_s") and "min_s" in line:
            batch = f", batch {line['batch']}" if "batch" in line else ""
            window = f", {line['window']}/{line['stride']}" if "window" in line else ""
            groups.setdefault(f"{line['question']}{window}{batch}, {line.get('dtype', '')}", []).append(line)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for title, own in groups.items():
        figure, axes = pyplot.subplots(figsize=(7, 0.6 + 0.32 * len(own)), layout="constrained")
        for place, line in enumerate(reversed(own)):
            factor = line["rate"] * line["median_s"]
            slow, fast = factor / line["max_s"], factor / line["min_s"]
            ours = line["subject"].startswith("jaxcam")
            axes.barh(place, line["rate"], color="#b3410e" if ours else "#8a94a0")
            axes.plot([slow, fast], [place, place], color="black", linewidth=1)
        axes.set_yticks(range(len(own)), [line["subject"] for line in reversed(own)])
        axes.set_xlabel(own[0]["unit"])
        axes.set_title(title.strip(", "), fontsize=10)
        files.append(folder / (re.sub(r"\W+", "-", title.strip(", ")) + ".svg"))
        figure.savefig(files[-1])
        pyplot.close(figure)
    return files


def main() -> int:
    """Print, write or check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--readme", type=Path, default=README)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--plots", type=Path)
    options = parser.parse_args()
    lines = load(options.results)
    if options.plots:
        print("\n".join(str(file) for file in plots(lines, options.plots)))
        return 0
    if not (options.write or options.check):
        print("\n".join(everything(lines)))
        return 0
    text = options.readme.read_text()
    now = written(text, lines)
    if options.write:
        options.readme.write_text(now)
    wrong = [sentence for sentence, holds in CLAIMS.items() if sentence not in text or not holds(lines)]
    for sentence in wrong:
        print(f"README: not so, or not there any more (CLAIMS in bench/table.py): {sentence!r}")
    if options.check and now != text:
        print("README: blocks differ from bench/results; run python bench/table.py --write")
    return int(bool(wrong) or (options.check and now != text))


if __name__ == "__main__":
    sys.exit(main())
