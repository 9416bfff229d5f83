"""Print the newest line of every question, subject and batch of `bench/results` as a Markdown table."""

import json
from pathlib import Path


def main() -> None:
    """Read every `*.jsonl` and print."""
    newest: dict[tuple, dict] = {}
    for file in sorted((Path(__file__).parent / "results").glob("*.jsonl")):
        for line in file.read_text().splitlines():
            entry = json.loads(line)
            newest[entry["question"], entry["subject"], entry.get("batch")] = entry
    print("| question | subject | batch | dtype | rate | ratio |\n|---|---|--:|---|--:|--:|")
    for entry in newest.values():
        ratio = f"{entry['ratio']} of {entry['ratio_to']}" if "ratio" in entry else "–"
        rate = f"{entry['rate']} {entry['unit']}"
        cells = (entry["question"], entry["subject"], entry.get("batch", ""), entry.get("dtype", ""), rate, ratio)
        print("| " + " | ".join(str(cell) for cell in cells) + " |")


if __name__ == "__main__":
    main()
