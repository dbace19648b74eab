"""Which files an agent needs to be the same again on another machine. Weights of a backbone can be fetched again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from agent.config.sections import Config
from agent.config.services import TlsSection
from agent.mqtt.home_assistant import NOTED
from agent.privacy.references import KEY_NAME
from agent.steering.overrides import FILE_NAME as STEERING_NAME
from agent.steering.overrides import load_overrides
from agent.store.access import file_of

PICTURES = "pictures"
# Beside the database: what operators changed, the key of references, what Home Assistant was told.
DATA_NAMES = (STEERING_NAME, KEY_NAME, NOTED)


def database_of(config: Config) -> Path | None:
    """The file of the database; None where a server has it, whose backup is the server's."""
    return file_of(config.store.url or f"sqlite:///{config.agent.data_dir.absolute()}/agent.db")


def artefacts(config: Config) -> list[Path]:
    """Profiles with all that lies beside them under their name, memories, adapters, the broker's certificates.

    Also of lines that operators gave another profile. A private key is not among them.
    """
    found: dict[Path, None] = {}
    for profile in _profiles(config):
        found.update(dict.fromkeys(_files([profile, *_beside(profile)])))
    found.update(dict.fromkeys(_files(_named(config))))
    return list(found)


def pictures(config: Config) -> list[Path]:
    """The saved pictures."""
    return list(_files([config.agent.data_dir / PICTURES]))


def belongs(path: Path, config: Config) -> bool:
    """Whether a file outside the configuration's folder is one that the configuration itself names."""
    beside = any((path.parent == p.parent and _is_of(path.name, p)) or p.parent / f"{p.stem}.history" == path.parent
                 for p in _profiles(config))  # fmt: skip
    return beside or any(path == named or named in path.parents for named in _named(config))


def _named(config: Config) -> list[Path]:
    """What the configuration names besides profiles: files, and folders of files."""
    tls = config.mqtt.tls or TlsSection()
    lines = [path for line in config.lines for path in (line.adapter, line.memory)]
    return [path for path in (config.model.adapter, config.model.export, *lines, tls.ca, tls.cert) if path is not None]


def _profiles(config: Config) -> list[Path]:
    named = [path for line in config.lines for path in (line.profile, line.shadow_profile)]
    chosen = [
        choice.profile
        for override in load_overrides(config.agent.data_dir).lines.values()
        for choice in (override.choice, *override.before)
    ]
    return [path for path in (*named, *chosen) if path is not None]


def _beside(profile: Path) -> Iterator[Path]:
    """Reference picture, mask and earlier versions carry the profile's name."""
    if profile.parent.is_dir():
        for path in profile.parent.iterdir():
            if _is_of(path.name, profile) and (path.is_file() or path.suffix == ".history"):
                yield path


def _is_of(name: str, profile: Path) -> bool:
    return name == profile.name or name.startswith(f"{profile.stem}.")


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.is_file() and not p.is_symlink())
        elif path.is_file():
            yield path
