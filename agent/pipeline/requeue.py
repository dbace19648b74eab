"""Files that an operator wants judged again go back into their hot folder, where they are new."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.config.line import LineSection
from agent.config.source import FolderSource
from agent.errors import AgentError
from agent.sources.disposition import judged_sha256, move_into
from agent.sources.folder_filter import FolderFilter
from agent.sources.path_text import to_text
from agent.sources.settling import list_folder
from agent.store.ledger import Ledger
from fbclip.images.side_files import is_side_file

# Rows of files that were left in their folder, in one transaction.
_AT_ONCE = 500


class RequeueError(AgentError):
    """What cannot be judged again, and why."""


@dataclass(frozen=True)
class Requeued:
    """How many files of each line went back; `failed`: those that could not, by their reason. `name`: of the one that
    was named, None on a private line."""

    counts: Mapping[str, int]
    failed: Mapping[str, int]
    name: str | None = None

    @property
    def text(self) -> str:
        """One line."""
        what = "" if self.name is None else f" ({to_text(Path(self.name))!r})"
        parts = [
            f"line {line}: files to be judged again: {count}{what}" for line, count in self.counts.items() if count
        ]
        parts += [f"{count} files cannot be moved back: {why}" for why, count in self.failed.items()]
        return "; ".join(parts) or "there is nothing to judge again"


def requeue_file(sections: Sequence[LineSection], ledger: Ledger, path: Path, line: str | None = None) -> Requeued:
    """One file out of `done` or `failed` of a line, or one that was left in its hot folder.

    Raises RequeueError where it is none of these, OSError where it cannot be moved.
    """
    if not path.is_absolute():
        raise RequeueError("file: must be an absolute path")
    for section, source in _folders(sections, line):
        real = Path(os.path.realpath(path.parent)) / path.name
        for out in (source.done_dir, source.failed_dir):
            inner = _inside(real, out)
            if inner is not None:
                if not real.is_file() or real.is_symlink() or is_side_file(real.name):
                    raise RequeueError(f"line {section.name}: there is no such judged file")
                if out == source.done_dir:
                    ledger.forget_content(section.name, judged_sha256(real))
                if source.after == "move":
                    _put_back(real, (source.path / inner).parent)
                    ledger.look_anew()
                elif not ledger.judge_again(section.name, to_text(source.path / inner)):
                    raise RequeueError(f"line {section.name}: the file that this is a copy of has no verdict")
                return Requeued({section.name: 1}, {}, None if section.is_private else real.name)
        inner = _inside(real, source.path)
        if inner is not None:
            if not ledger.judge_again(section.name, to_text(source.path / inner)):
                raise RequeueError(f"line {section.name}: the file has no verdict, or is on its way already")
            return Requeued({section.name: 1}, {}, None if section.is_private else real.name)
    raise RequeueError("file: lies in no hot folder, and in no done or failed of one")


class FailedRequeue:
    """Every file in `failed` of one line, or of all, a part at a time: tens of thousands take minutes, and whoever
    follows commands has others to follow. Each file is moved by itself, so what was not reached stays in `failed`."""

    def __init__(
        self,
        sections: Sequence[LineSection],
        ledger: Ledger,
        line: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises RequeueError where there is no such folder. Nothing is moved yet."""
        self._ledger = ledger
        self._monotonic = monotonic
        self._counts: dict[str, int] = {}
        self._failed: dict[str, int] = {}
        self._steps = self._all(list(_folders(sections, line)))

    @property
    def so_far(self) -> Requeued:
        return Requeued(dict(self._counts), dict(self._failed))

    def go_on(self, seconds: float = math.inf) -> bool:
        """Move for so long at most; true once all were moved that can be. Raises StoreError."""
        until = self._monotonic() + seconds
        for _ in self._steps:
            if self._monotonic() >= until:
                self._ledger.look_anew()
                return False
        self._ledger.look_anew()
        return True

    def _all(self, folders: Sequence[tuple[LineSection, FolderSource]]) -> Iterator[None]:
        for section, source in folders:
            self._counts[section.name] = 0
            settled = self._ledger.superseded(section.name)
            for path in _failed_files(source):
                self._put_back(section, source, path, settled)
                yield
            while count := self._ledger.judge_failed_again(section.name, _AT_ONCE):
                self._counts[section.name] += count
                yield

    def _put_back(
        self, section: LineSection, source: FolderSource, path: Path, settled: Mapping[int, frozenset[str]]
    ) -> None:
        try:
            known = settled.get(path.stat().st_size) if settled else None
            if known and judged_sha256(path) in known:
                # Another was chosen in its place, which only its own name undoes.
                return
            _put_back(path, (source.path / path.relative_to(source.failed_dir)).parent)
        except OSError as error:
            why = error.strerror or type(error).__name__
            self._failed[why] = self._failed.get(why, 0) + 1
        else:
            self._counts[section.name] += 1


def _folders(sections: Sequence[LineSection], line: str | None) -> Iterator[tuple[LineSection, FolderSource]]:
    found = [(one, one.source) for one in sections if isinstance(one.source, FolderSource) and line in (None, one.name)]
    if not found:
        raise RequeueError("there is no line with a folder" if line is None else f"line {line}: has no folder")
    yield from found


def _failed_files(source: FolderSource) -> list[Path]:
    """Those that the line would take; copies of files that stay in the hot folder are none."""
    if source.after != "move" or not source.failed_dir.is_dir():
        return []
    wanted = FolderFilter(source.include, source.ignore)
    return [
        path
        for path in sorted(list_folder(source.failed_dir, source.recursive).files)
        if wanted.takes(path.relative_to(source.failed_dir))
    ]


def _inside(real: Path, folder: Path) -> Path | None:
    """The path below the folder; None where it is not below."""
    root = Path(os.path.realpath(folder))
    return real.relative_to(root) if real != root and real.is_relative_to(root) else None


def _put_back(path: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Many at once: a loss of power may leave a file under both names, and it is judged all the same.
    move_into(path, folder, durable=False)
