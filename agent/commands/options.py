"""What the user may say to each command: one request, whose fields are its options; and what commands share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.privacy.log_format import LogFormat
from fbclip.errors import ConfigError

if TYPE_CHECKING:
    from agent.config.line import LineSection
    from agent.config.sections import Config

ConfigOption = Annotated[Path, typer.Option("-c", "--config", help="configuration file")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON for machines")]
LogFormatOption = Annotated[LogFormat, typer.Option("--log-format", help="text for people, json for collectors")]
DEFAULT_CONFIG = Path("agent.yaml")


@dataclass(frozen=True)
class RunRequest:
    """`agent run`."""

    config: ConfigOption = DEFAULT_CONFIG
    log_format: LogFormatOption = LogFormat.TEXT


@dataclass(frozen=True)
class CheckRequest:
    """`agent check`."""

    config: ConfigOption = DEFAULT_CONFIG
    as_json: JsonOption = False


@dataclass(frozen=True)
class InspectRequest:
    """`agent inspect`."""

    paths: Annotated[list[Path], typer.Argument(help="images, or folders of them")]
    profile: Annotated[Path | None, typer.Option(help="profile; without one there is a score but no verdict")] = None
    backbone: Annotated[str, typer.Option(help="embedded or ViT-L-14-336")] = "embedded"
    weights: Annotated[Path | None, typer.Option(help="local file of the backbone's weights")] = None
    adapter: Annotated[Path | None, typer.Option(help="adapter directory")] = None
    memory: Annotated[Path | None, typer.Option(help="directory of the memory that the profile names")] = None
    device: Annotated[str, typer.Option(help="auto, cpu or cuda[:N]")] = "auto"
    save: Annotated[Path | None, typer.Option(help="folder for images with heat map and regions")] = None
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a file")] = False
    private: Annotated[bool, typer.Option("--private", help="name files by their number in name order only")] = False
    export: Annotated[Path | None, typer.Option(help="export that the profile was measured with")] = None


@dataclass(frozen=True)
class StatusRequest:
    """`agent status`."""

    config: ConfigOption = DEFAULT_CONFIG
    as_json: JsonOption = False


@dataclass(frozen=True)
class EventsRequest:
    """`agent events`."""

    config: ConfigOption = DEFAULT_CONFIG
    line: Annotated[str | None, typer.Option(help="this line only")] = None
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20
    as_json: JsonOption = False


@dataclass(frozen=True)
class ResolveRequest:
    """`agent resolve`."""

    reference: Annotated[str, typer.Argument(help="as messages, page and notes of a private line give it")]
    config: ConfigOption = DEFAULT_CONFIG


@dataclass(frozen=True)
class RequeueRequest:
    """`agent requeue`."""

    file: Annotated[
        Path | None, typer.Argument(help="in done or failed of a line, or one that stayed in its hot folder")
    ] = None
    everything: Annotated[bool, typer.Option("--all", help="every file in failed")] = False
    line: Annotated[str | None, typer.Option(help="of this line only")] = None
    config: ConfigOption = DEFAULT_CONFIG
    as_json: JsonOption = False


@dataclass(frozen=True)
class ReconcileRequest:
    """`agent reconcile`."""

    config: ConfigOption = DEFAULT_CONFIG
    as_json: JsonOption = False


@dataclass(frozen=True)
class CollectRequest:
    """`agent collect`."""

    line: Annotated[str, typer.Option(help="name of the line in the configuration")]
    out: Annotated[Path, typer.Option(help="new folder for the images")]
    units: Annotated[int, typer.Option(min=1, help="how many normal units")] = 400
    unit: Annotated[
        str | None,
        typer.Option(
            help="what makes a new unit: gap:2s, trigger or change (of picture); "
            "default: change for cameras and videos, every file of a folder"
        ),
    ] = None
    frames_per_unit: Annotated[
        int, typer.Option(min=1, max=100, help="frames to keep of a unit; its largest z counts, as when it is judged")
    ] = 3
    every: Annotated[int, typer.Option(min=1, help="look at one of so many frames only")] = 1
    idle: Annotated[float, typer.Option(min=0, help="a folder without news for so many seconds is at its end")] = 30
    config: ConfigOption = DEFAULT_CONFIG


@dataclass(frozen=True)
class CtlRequest:
    """`agent ctl`."""

    verb: Annotated[str, typer.Argument(help="reload, enable, disable, profile, threshold, ack, feedback or trigger")]
    line: Annotated[str | None, typer.Option(help="of enable, disable, profile, threshold, trigger")] = None
    profile: Annotated[str | None, typer.Option(help="file, in the configuration's folder or below")] = None
    rollback: Annotated[bool, typer.Option("--rollback", help="back to the profile or threshold before")] = False
    threshold: Annotated[str | None, typer.Option(help="of threshold: a number, or profile for the profile's")] = None
    event: Annotated[str | None, typer.Option(help="event_id, of ack")] = None
    inspection: Annotated[int | None, typer.Option(help="id of the inspection, of feedback")] = None
    label: Annotated[str | None, typer.Option(help="normal or anomalous, of feedback")] = None
    part: Annotated[str | None, typer.Option(help="of trigger: comes back with the verdict")] = None
    config: ConfigOption = DEFAULT_CONFIG
    as_json: JsonOption = False


@dataclass(frozen=True)
class InitRequest:
    """`agent init`."""

    folder: Annotated[Path, typer.Argument(help="where agent.yaml is to be; made if it is not there")] = Path()
    samples: Annotated[bool, typer.Option("--samples", help="with sample images, profiles and lines that judge")] = (
        False
    )


@dataclass(frozen=True)
class BackupRequest:
    """`agent backup`."""

    out: Annotated[Path, typer.Option(help="new archive, such as agent.tar")]
    pictures: Annotated[bool, typer.Option("--pictures", help="with the saved pictures")] = False
    config: ConfigOption = DEFAULT_CONFIG


@dataclass(frozen=True)
class RestoreRequest:
    """`agent restore`."""

    archive: Annotated[Path, typer.Argument(help="what `agent backup` wrote")]
    replace: Annotated[bool, typer.Option("--replace", help="in place of what is there; a database is moved aside")] = (
        False
    )
    config: ConfigOption = DEFAULT_CONFIG


@dataclass(frozen=True)
class FleetStatusRequest:
    """`agent fleet status`."""

    config: ConfigOption = DEFAULT_CONFIG
    wait: Annotated[float, typer.Option(min=1, max=600, help="seconds that the broker has for its answer")] = 10
    as_json: JsonOption = False


@dataclass(frozen=True)
class FleetServeRequest:
    """`agent fleet serve`."""

    config: ConfigOption = DEFAULT_CONFIG
    listen: Annotated[str, typer.Option(help="HOST:PORT of the page")] = "127.0.0.1:8089"
    every: Annotated[float, typer.Option(min=1, max=3600, help="seconds from one look at the broker to the next")] = 10


@dataclass(frozen=True)
class FeedbackRequest:
    """`agent feedback`."""

    inspection: Annotated[int, typer.Argument(help="id of the inspection, as the page and messages name it")]
    label: Annotated[str, typer.Argument(metavar="ok|anomaly", help="what it really was")]
    note: Annotated[str | None, typer.Option(help="anything worth knowing of it")] = None
    by: Annotated[str | None, typer.Option(help="who says so; without it the account's name")] = None
    config: ConfigOption = DEFAULT_CONFIG
    as_json: JsonOption = False


@dataclass(frozen=True)
class SchemaRequest:
    """`agent schema`."""

    out: Annotated[Path, typer.Option(help="folder for the files")]


@dataclass(frozen=True)
class ExportFeedbackRequest:
    """`agent export`."""

    out: Annotated[Path, typer.Option(help="new folder for the data set")]
    line: Annotated[str | None, typer.Option(help="this line only")] = None
    config: ConfigOption = DEFAULT_CONFIG
    as_json: JsonOption = False


def section_of(config: Config, line: str, path: Path) -> LineSection:
    """The line that `--line` names in the configuration read from `path`; raises ConfigError where there is none."""
    for section in config.lines:
        if section.name == line:
            return section
    raise ConfigError(f"--line {line}: no such line in {path}")


def json_values(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the store for JSON: datetimes become RFC 3339 text."""
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in row.items()}
