"""`calibrate threshold`: good pictures of a line -> its profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from calibrate.bounds import supported_alpha
from calibrate.commands.options import (
    AdapterOption,
    BackboneOption,
    DeviceOption,
    JsonOption,
    UnitFromOption,
    WeightsOption,
    check_line_name,
)
from fbclip.errors import ConfigError
from fbclip.preprocess import Roi


def threshold(
    data: Annotated[Path, typer.Argument(help="folder of good pictures, or one with good/ or train/good/ inside")],
    line: Annotated[str, typer.Option(help="name of the line in agent.yaml")],
    out: Annotated[Path, typer.Option(help="profile to write, *.yaml")],
    false_alarm: Annotated[float, typer.Option(help="largest share of good units that may alarm")] = 0.01,
    confidence: Annotated[float, typer.Option(help="probability that this holds")] = 0.95,
    uncertain: Annotated[
        float | None, typer.Option(help="share of good units that may be uncertain; default 5 x false-alarm")
    ] = None,
    unit_from: UnitFromOption = None,
    roi: Annotated[str | None, typer.Option(help="x1,y1,x2,y2 as fractions of the frame")] = None,
    min_area: Annotated[int | None, typer.Option(help="smallest region in map pixels", min=1)] = None,
    pixel_only: Annotated[bool, typer.Option(help="judge by the map alone")] = False,
    best_effort: Annotated[bool, typer.Option(help="write a profile without a guarantee if need be")] = False,
    adapter: AdapterOption = None,
    backbone: BackboneOption = "embedded",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Good pictures -> a profile whose false-alarm rate is bounded; refused when they are too few."""
    from calibrate.line_profile import Request, make_profile
    from calibrate.pictures import read_good
    from calibrate.thresholds import Wish
    from fbclip.detector import open_detector
    from fbclip.profile import save_profile

    check_line_name(line)
    wish = Wish(false_alarm, confidence, min(0.5, 5 * false_alarm) if uncertain is None else uncertain)
    request = Request(line, data, wish, unit_from, _parse_roi(roi), min_area, pixel_only, best_effort)
    total = len(read_good(data, unit_from))
    detector = open_detector(backbone, weights, () if adapter is None else (adapter,), device)
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("judging good pictures", total=total)
        profile = make_profile(detector, next(iter(detector.smoothing)), request, lambda n: progress.advance(task, n))
    save_profile(profile, out)
    c = profile.calibration
    if as_json:
        typer.echo(json.dumps({"profile": str(out), "id": profile.id, **profile.model_dump(mode="json")}))
        return
    typer.echo(
        f"{out}: threshold {profile.threshold:.4f} from {c.n_good} good units ({c.n_constants} more set the scale)"
    )
    if c.guarantee is not None:
        typer.echo(
            f"guarantee: with {confidence:.0%} confidence at most {c.guarantee.false_alarm_rate:.2%} "
            f"of good units alarm ({c.exceedances} of {c.n_good} lie above the threshold)"
        )
    else:
        typer.echo(
            f"guarantee: none. {c.n_good} good units can only show that at most "
            f"{supported_alpha(c.n_good, confidence):.1%} alarm, with {confidence:.0%} confidence"
        )


def _parse_roi(text: str | None) -> Roi | None:
    from pydantic import ValidationError

    if text is None:
        return None
    try:
        x1, y1, x2, y2 = (float(v) for v in text.split(","))
        return Roi(x1=x1, y1=y1, x2=x2, y2=y2)
    except (ValueError, ValidationError):
        raise ConfigError(f"--roi {text!r} must be x1,y1,x2,y2 with 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1") from None
