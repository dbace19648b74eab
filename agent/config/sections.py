"""agent.yaml as a whole, as frozen models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from agent.config.base import ConfigPath, Name, Section
from agent.config.line import LineSection
from agent.config.plc import PlcSection
from agent.config.services import MetricsSection, MqttSection, StoreSection, WebSection, with_password
from agent.config.source import DicomSource, FolderSource
from fbclip.backbone.config import Precision, RuntimeName


class AgentSection(Section):
    """Who the agent is and where it keeps what it writes."""

    name: Name = "agent"
    data_dir: Annotated[ConfigPath, Field(validate_default=True)] = Path("var")


class ModelSection(Section):
    """`backbone: embedded` is the model inside the package; any other is a CLIP ViT of open_clip by its name."""

    backbone: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "embedded"
    weights: ConfigPath | None = None
    adapter: ConfigPath | None = None
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d{1,3})?)$")] = "auto"
    precision: Precision = "float32"
    runtime: RuntimeName = "torch"
    export: ConfigPath | None = None
    batch: Annotated[int, Field(ge=1, le=256)] = 8
    threads: Annotated[int | None, Field(ge=1, le=256)] = None

    @model_validator(mode="after")
    def _runs(self) -> ModelSection:
        if self.runtime == "torch" and self.export is not None:
            raise ValueError("export is not what torch runs; set runtime: onnxruntime or openvino with it")
        if self.runtime == "torch" and self.precision == "int8":
            raise ValueError("precision int8 is that of an export; set runtime and export with it")
        if self.runtime != "torch" and self.export is None:
            raise ValueError(f"runtime {self.runtime} needs export, a folder that `fbclip export` made")
        return self


class Config(Section):
    """The whole file. Lines that would read or write the same folder contradict each other."""

    agent: AgentSection = AgentSection()
    model: ModelSection = ModelSection()
    mqtt: MqttSection = MqttSection()
    store: StoreSection = StoreSection()
    web: WebSection = WebSection()
    metrics: MetricsSection = MetricsSection()
    plc: PlcSection = PlcSection()
    lines: Annotated[tuple[LineSection, ...], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _spools(cls, data: Any) -> Any:
        """A DICOM receiver's folder lies in the data directory unless told otherwise."""
        if not isinstance(data, dict) or not isinstance(data.get("lines"), list | tuple):
            return data
        agent = data.get("agent")
        data_dir = agent.get("data_dir", "var") if isinstance(agent, dict) else "var"
        return {**data, "lines": [_with_spool(line, data_dir) for line in data["lines"]]}

    @model_validator(mode="after")
    def _distinct(self) -> Config:
        names = [line.name for line in self.lines]
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise ValueError(f"line names must differ: {', '.join(sorted(twice))}")
        self._check_folders()
        doors = [(line.source.listen, line.source.port) for line in self.lines if isinstance(line.source, DicomSource)]
        if len(set(doors)) != len(doors):
            raise ValueError("two lines receive DICOM at the same address and port")
        self._check_private()
        self._check_shared()
        unknown = set(() if self.plc.modbus is None else self.plc.modbus.slots) - set(names)
        if unknown:
            raise ValueError(f"plc.modbus.slots names lines that there are not: {', '.join(sorted(unknown))}")
        if not self.web.loopback and self.web.is_open:
            raise ValueError("web.listen is not loopback: set web.token_env")
        return self

    def _check_folders(self) -> None:
        """By where their links lead: what is written must not be read again, and each file has one line."""
        sources = {line.name: line.source for line in self.lines if isinstance(line.source, FolderSource)}
        watched = {name: _real(source.path) for name, source in sources.items()}
        if len(set(watched.values())) != len(watched):
            raise ValueError("two lines watch the same folder")
        for line in self.lines:
            if line.name in sources:
                for out in filter(None, (*sources[line.name].folders[1:], line.dicom_outputs)):
                    if any(_real(out).is_relative_to(folder) for folder in watched.values()):
                        raise ValueError(f"line {line.name}: {out.name} lies inside a watched folder")
        for name, folder in watched.items():
            inner = [other for other, inside in watched.items() if folder in inside.parents]
            if sources[name].recursive and inner:
                raise ValueError(f"line {inner[0]}: its folder lies inside that of line {name}, which is recursive")

    def _check_private(self) -> None:
        """Names of files stand in the database, so it must be where nobody else can look."""
        private = [line.name for line in self.lines if line.is_private]
        if not private:
            return
        if self.store.url is not None:
            raise ValueError(
                f"line {private[0]}: privacy: phi needs the database in agent.data_dir, from which no name leaves the "
                "machine; take store.url away"
            )
        data_dir = self.agent.data_dir
        for line in self.lines:
            source = line.source
            own = isinstance(source, DicomSource)
            if isinstance(source, FolderSource) and not own and data_dir in source.path.parents:
                raise ValueError(
                    f"line {line.name}: its folder lies in agent.data_dir, which privacy: phi of line {private[0]} "
                    "closes to other accounts; watch a folder elsewhere"
                )

    def _check_shared(self) -> None:
        """Agents that empty one folder tell each other on a server which files they have."""
        shared = [line.name for line in self.lines if isinstance(line.source, FolderSource) and line.source.shared]
        if shared and (self.store.url is None or not self.store.url.startswith("postgres")):
            raise ValueError(
                f"line {shared[0]}: source.shared needs a PostgreSQL server that all agents of the folder use; name it "
                "as store.url: postgresql://HOST/DATABASE"
            )

    @property
    def store_url(self) -> str:
        """With its password: not for people. Raises ConfigError where the variable that holds it is not set."""
        url = self.store.url or f"sqlite:///{self.agent.data_dir.absolute()}/agent.db"
        return url if self.store.password_env is None else with_password(url, self.store.password_env)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _with_spool(line: Any, data_dir: Any) -> Any:
    source = line.get("source") if isinstance(line, dict) else None
    if not isinstance(source, dict) or source.get("type") != "dicom" or "path" in source:
        return line
    return {**line, "source": {**source, "path": f"{data_dir}/received/{line.get('name')}/in"}}
