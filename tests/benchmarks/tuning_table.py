"""What tuning brings on labelled sets: `python -m tests.benchmarks.tuning_table FOLDER...`.

Each set in MVTec's layout: zero-shot; tuned from its normal training images alone; tuned with labels, where the test
images are cut into two halves by the digest of their bytes and each half is evaluated with the adapter that was tuned
on the other. The tuned adapter is measured whether or not `calibrate tune` would keep it; its decision stands beside.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from calibrate.datasets import read_data

NUMBERS = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro")


def calibrate(*options: object) -> dict[str, Any]:
    """One command with --json, as a user would run it."""
    command = [str(option) for option in options]
    done = subprocess.run([sys.executable, "-c", "from calibrate.cli import main; main()", *command, "--json"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode:
        raise SystemExit(f"calibrate {' '.join(command)}: {done.stderr.strip().splitlines()[-1]}")
    return dict(json.loads(done.stdout))


def halves(data: Path, out: Path) -> tuple[Path, Path]:
    """Copies of the test images with their masks, in two sets; units are single images here."""
    for name in ("one", "two"):
        (out / name).mkdir(parents=True)
    for label in (False, True):
        samples = [s for s in read_data(data).samples if s.split == "test" and s.label is label]
        for number, sample in enumerate(sorted(samples, key=lambda s: s.sha256)):
            target = out / ("one", "two")[number % 2]
            kind = sample.path.parent.name
            for source, folder in ((sample.path, f"test/{kind}"), (sample.mask, f"ground_truth/{kind}")):
                if source is not None:
                    (target / folder).mkdir(parents=True, exist_ok=True)
                    shutil.copy(source, target / folder / source.name)
    return out / "one", out / "two"


def measure(data: Path, work: Path, rate: float, epochs: int) -> list[tuple[str, dict[str, Any], str]]:
    tuning = ("--learning-rate", rate, "--epochs", epochs, "--keep")
    rows = [("zero-shot", calibrate("evaluate", data, "--out", work / "zero")["mean"], "")]
    found = calibrate("tune", data, "--out", work / "good", *tuning)
    run = calibrate("evaluate", data, "--out", work / "good-run", "--adapter", work / "good")
    rows.append(("tuned, normal images only", run["mean"], found["decision"]))
    folds, decisions = [], []
    one, two = halves(data, work / "halves")
    for own, other in ((one, two), (two, one)):
        adapter = work / f"labels-{own.name}"
        decisions.append(calibrate("tune", own, "--out", adapter, "--split", "test", *tuning)["decision"])
        folds.append(calibrate("evaluate", other, "--out", work / f"run-{own.name}", "--adapter", adapter)["mean"])
    mean = {k: None if folds[0][k] is None else (folds[0][k] + folds[1][k]) / 2 for k in NUMBERS}
    rows.append(("tuned with labels, two halves", mean, " / ".join(decisions)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    write = sys.stdout.write
    write(f"| set | adapter | {' | '.join(n.replace('_', ' ') for n in NUMBERS)} | tune decides |\n|---|---|")
    write("---|" * len(NUMBERS) + "---|\n")
    for folder in arguments.folders:
        with tempfile.TemporaryDirectory() as work:
            for name, mean, decision in measure(folder, Path(work), arguments.learning_rate, arguments.epochs):
                cells = ["n/a" if mean[k] is None else f"{mean[k]:.3f}" for k in NUMBERS]
                write(f"| {folder.name} | {name} | {' | '.join(cells)} | {decision} |\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
