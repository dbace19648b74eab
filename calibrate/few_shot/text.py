"""Few-shot curves as tables for people."""

from __future__ import annotations

from collections.abc import Mapping

from calibrate.few_shot.document import MEASURES, METHODS, Curve, Estimate

_HEADS = {"image": "AUROC of the image's number", "pixel": "AUROC of the map's pixels"}


def table(curve: Curve) -> str:
    """Markdown: one row a number of images, mean and 95% interval; without masks only of the images."""
    parts = [f"## {curve.name}"]
    for measure in MEASURES:
        rows = []
        for step in curve.steps:
            found = step.image if measure == "image" else step.pixel
            if found is not None:
                cells = [estimate_text(found[method]) for method in METHODS]
                rows.append(f"| {curve.label(step)} | {' | '.join(cells)} | {took_text(step.took)} |")
        if rows:
            head = f"| images | {' | '.join(METHODS)} | auto took |"
            rule = "|" + "---|" * (len(METHODS) + 2)
            parts.append("\n".join([f"{_HEADS[measure]}, 95% interval:", "", head, rule, *rows]))
    return "\n\n".join(parts) + "\n"


def estimate_text(found: Estimate) -> str:
    """Mean and interval, such as 0.790 (0.731..0.852)."""
    return f"{found.mean:.3f} ({found.low:.3f}..{found.high:.3f})"


def took_text(took: Mapping[str, int]) -> str:
    """What auto chose, and in how many memories where there are several."""
    return ", ".join(f"{use} {times}" if sum(took.values()) > 1 else use for use, times in took.items())
