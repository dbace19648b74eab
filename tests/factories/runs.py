"""Folders as `calibrate evaluate` writes them, made up."""

import csv
import json
from collections import Counter

import numpy as np
from PIL import Image, ImageDraw

from calibrate.evaluation.compare import read_compared
from calibrate.evaluation.evaluated_images import COLUMNS
from calibrate.evaluation.numbers import METRICS

THRESHOLD, UNCERTAIN = 1.53, 1.1
KINDS = ("scratch", "stain", "dent")


def sample_rows(seed=3, classes=("tile",), normal=120, anomalous=80):
    """Rows of samples.csv: normal z around 0, anomalous ones around 3, dents close to the normal ones."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(normal + anomalous):
        is_anomalous = i >= normal
        kind = KINDS[i % 3] if is_anomalous else ""
        z = rng.normal({"scratch": 3.4, "stain": 2.6, "dent": 1.7}[kind], 0.8) if is_anomalous else rng.normal(0, 0.55)
        verdict = "anomaly" if z > THRESHOLD else "uncertain" if z > UNCERTAIN else "ok"
        margin = 0.4 * z - 0.3 + rng.normal(0, 0.05)
        label = "defective" if is_anomalous else "good"
        path = f"test/{kind or 'good'}/{i:03d}.png"
        score = 1 / (1 + np.exp(-margin))
        rows.append([path, classes[i % len(classes)], label, kind, f"u{i:03d}", margin, score, z, verdict, f"{i:064x}"])
    return rows


def rank_curves(rows, class_name):
    """ROC and PR of the rows' z, point by point."""
    mine = sorted((r for r in rows if r[1] == class_name), key=lambda r: -r[7])
    anomalous = np.cumsum([r[2] == "defective" for r in mine])
    normal = np.arange(1, len(mine) + 1) - anomalous
    roc = [
        [0.0, 0.0],
        *([float(f), float(t)] for f, t in zip(normal / normal[-1], anomalous / anomalous[-1], strict=True)),
    ]
    pr = [[0.0, 1.0], *([float(t / anomalous[-1]), float(t / (t + f))] for t, f in zip(anomalous, normal, strict=True))]
    pro = [[x / 50, 1 - (1 - x / 50) ** 4] for x in range(51)]
    return {"roc": roc, "pr": pr, "pro": pro}


def verdict_counts(rows):
    """Units by verdict; here every row is a unit."""
    return dict(Counter(r[8] for r in rows))


def run_document(rows, **changes):
    kinds = sorted({r[3] for r in rows if r[3]})
    names = list(dict.fromkeys(r[1] for r in rows))
    metrics = {
        "image_auroc": 0.9731,
        "image_ap": 0.9622,
        "image_f1_max": 0.91,
        "pixel_auroc": 0.981,
        "pixel_ap": 0.61,
        "pixel_f1_max": 0.6,
        "pixel_aupro": 0.9123,
    }
    normal = sum(r[2] == "good" for r in rows)
    calibration = {
        "method": "order-statistic",
        "unit": "file",
        "n_good": 299,
        "n_constants": 74,
        "n_bad": 0,
        "exceedances": 0,
        "target": 0.01,
        "confidence": 0.95,
        "uncertain_target": 0.05,
        "guarantee": {"false_alarm_rate": 0.01, "confidence": 0.95},
        "quantiles": {"0.5": 0.02, "1": THRESHOLD},
        "data_sha256": "ab" * 32,
    }
    return {
        "schema": "calibrate.evaluation/1",
        "created": "2026-11-24T10:20:30Z",
        "data": {
            "name": "ceramic tiles, week 47",
            "layout": "mvtec",
            "data_sha256": "cd" * 32,
            "n_good": normal,
            "n_defective": len(rows) - normal,
            "n_units": len(rows),
            "skipped": ["test/dent/777.png: truncated"],
        },
        "model": {
            "backbone": "ViT-L-14-336",
            "backbone_sha256": "ef" * 32,
            "adapter": "12" * 32,
            "device": "cpu",
            "precision": "float32",
            "size": 518,
        },
        "framing": {"roi": None, "tiling": None, "ignore_mask": False},
        "profile": {
            "id": "34" * 32,
            "line": "tiles",
            "threshold": THRESHOLD,
            "uncertain_above": UNCERTAIN,
            "map_limits": [-0.64, 0.68],
            "calibration": calibration,
        },
        "classes": dict.fromkeys(names, metrics),
        "mean": metrics,
        "confusion": {
            "units": {name: verdict_counts(r for r in rows if r[2] == name) for name in ("good", "defective")}
        },
        "kinds": {
            name: {k: verdict_counts(r for r in rows if r[1] == name and r[3] == k) for k in kinds} for name in names
        },
        "curves": {name: rank_curves(rows, name) for name in names},
        "worst": [
            *(
                {
                    "file": f"worst/{i:02d}_false_alarm.jpg",
                    "path": f"test/good/{i:03d}.png",
                    "kind": "false_alarm",
                    "score": 2.1 - i / 10,
                }
                for i in range(1, 4)
            ),
            *(
                {
                    "file": f"worst/{i:02d}_miss.jpg",
                    "path": f"test/dent/{i:03d}.png",
                    "kind": "miss",
                    "score": 0.1 + i / 10,
                }
                for i in range(4, 7)
            ),
        ],
        "notes": ["test/good/004.png: the same image as test/good/003.png; left out"],
        "definition": "exact",
        "command": ["calibrate", "evaluate", "data/tiles 47", "--profile", "tiles.yaml", "--out", "run"],
        "versions": {"python": "3.11.9", "torch": "2.8.0", "fbclip-inspect": "0.1.0"},
    } | changes


def write_run(folder, rows, data):
    (folder / "worst").mkdir(parents=True)
    (folder / "evaluation.json").write_text(json.dumps(data), encoding="utf-8")
    with (folder / "samples.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    for i, about in enumerate(data["worst"]):
        image = Image.effect_noise((480, 240), 20).convert("RGB")
        draw = ImageDraw.Draw(image)
        draw.ellipse((60 + 10 * i, 80, 120 + 10 * i, 150), fill=(60, 50, 45))
        draw.ellipse((300 + 10 * i, 80, 360 + 10 * i, 150), fill=(202, 42, 4))
        image.save(folder / about["file"], quality=80)
    return folder


def write_margins(folder, margins, labels, units=None, classes=None, definition="exact"):
    """A run's two files, as far as runs are compared; margins of None are images that could not be judged."""
    folder.mkdir()
    names = classes or ["all"] * len(labels)
    numbers = dict.fromkeys(METRICS, 0.5)
    data = {
        "schema": "calibrate.evaluation/1",
        "definition": definition,
        "model": {"adapter": "ab" * 32},
        "classes": dict.fromkeys(names, numbers),
        "mean": {**numbers, "pixel_ap": None},
    }
    (folder / "evaluation.json").write_text(json.dumps(data))
    with (folder / "samples.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for k, (margin, label) in enumerate(zip(margins, labels, strict=True)):
            unit = f"u{k}" if units is None else units[k]
            kind = "defective" if label else "good"
            shown = "" if margin is None else repr(float(margin))
            writer.writerow([f"{k}.png", names[k], kind, "", unit, shown, "", "", "", f"{k:064x}"])
    return folder


def shifted_margins(seed, shift, n=60):
    """2n margins, the second half anomalous and `shift` higher."""
    noise = np.random.default_rng(seed).normal(size=2 * n)
    return noise + shift * (np.arange(2 * n) >= n), np.arange(2 * n) >= n


def margin_pair(tmp_path, first, second, labels, **more):
    """Two runs over the same images, as they are compared."""
    return [read_compared(write_margins(tmp_path / n, m, labels, **more)) for n, m in (("one", first), ("two", second))]
