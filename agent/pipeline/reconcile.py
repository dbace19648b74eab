"""Does what the ledger says of a line's files agree with itself, with the verdicts, and with what lies on the disk."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.config.line import LineSection
from agent.config.source import FolderSource
from agent.privacy.references import References
from agent.records import Disposition, FileState
from agent.sources.disposition import judged_sha256
from agent.sources.folder_filter import FolderFilter
from agent.sources.path_text import to_path, to_text
from agent.sources.settling import Stamp, list_folder
from agent.store.reader import FileFacts, Reader
from fbclip.images.side_files import is_side_file

_WAITING = frozenset({FileState.PENDING, FileState.CLAIMED})
_JUDGED = frozenset({FileState.DONE, FileState.FAILED})


@dataclass(frozen=True)
class Misfit:
    """A file that does not fit, and why; `file` is a reference, or a number, on a private line."""

    file: str
    what: str


@dataclass(frozen=True)
class Reconciliation:
    """One line. arrived = done + failed + skipped + pending + claimed; `states` has a word for each row.

    `agents`: whose rows these are, where several empty the folder; such a line has one name in all of them.
    `waiting`: files in the hot folder that are not in the ledger yet. `in_done`, `in_failed`: files there.
    `taken_away`: judged files that lie in none of the folders any more. `older`: files from before the oldest row.
    """

    line: str
    arrived: int
    states: Mapping[str, int]
    waiting: int
    in_done: int
    in_failed: int
    taken_away: int
    older: int
    misfits: tuple[Misfit, ...]
    agents: tuple[str, ...] = ()


def reconcile(
    section: LineSection, source: FolderSource, reader: Reader, references: References | None
) -> Reconciliation:
    """Look at one line, also while its agent runs. Raises StoreError, and OSError where the folder cannot be read."""
    rows = list(reader.file_rows(section.name, shared=source.shared))
    disk = _Disk(source)
    names = _names(section, references)
    suspects = [row.id for row in rows if _moving_misfit(row, source, disk)]
    # A file may have been judged or moved between the two looks: what was strange is looked at once more.
    again = {row.id: row for row in reader.file_rows(section.name, suspects, source.shared)} if suspects else {}
    disk_now = _Disk(source) if suspects else disk
    misfits = [
        Misfit(names(row), what)
        for row in again.values()
        if (what := _moving_misfit(row, source, disk_now)) is not None
    ]
    misfits += _verdict_misfits(rows, reader, section.name, names)
    placed = _compare_outputs(rows, disk, section.is_private)
    states = Counter(row.state for row in rows)
    known = sum(states[state] for state in FileState)
    misfits += [Misfit("-", f"{len(rows) - known} rows are in no known state")] if known != len(rows) else []
    judged = sum(row.disposition == Disposition.FINISHED and row.reason != "gone" for row in _latest(rows))
    entered = {row.path for row in rows if row.disposition != Disposition.FINISHED}
    return Reconciliation(
        line=section.name,
        arrived=len(rows),
        states={state.value: states[state] for state in FileState},
        waiting=sum(to_text(path) not in entered for path in disk.hot),
        in_done=len(disk.done),
        in_failed=len(disk.failed),
        taken_away=max(0, judged - placed.matched) if source.after == "move" else 0,
        older=placed.older,
        misfits=(*misfits, *placed.misfits),
        agents=tuple(sorted({row.agent for row in rows})) if source.shared else (),
    )


class _Disk:
    """What lies in the three folders; those of the results may not be there yet."""

    def __init__(self, source: FolderSource) -> None:
        wanted = FolderFilter(source.include, source.ignore)
        found = list_folder(source.path, source.recursive).files
        self.hot = {path: stamp for path, stamp in found.items() if wanted.takes(path.relative_to(source.path))}
        self.done = _outputs(source.done_dir)
        self.failed = _outputs(source.failed_dir)


def _outputs(folder: Path) -> Mapping[Path, Stamp]:
    if not folder.is_dir():
        return {}
    files = list_folder(folder, recursive=True).files
    return {path: stamp for path, stamp in files.items() if not _is_result(path)}


def _is_result(path: Path) -> bool:
    """What the agent wrote beside a file."""
    return is_side_file(path.name) or path.name.endswith(".overlay.png")


def _moving_misfit(row: FileFacts, source: FolderSource, disk: _Disk) -> str | None:
    """Of a file that is not at its end: it must lie where it was."""
    there = to_path(row.path) in disk.hot or to_path(row.path).exists()
    if row.state in _WAITING and not there:
        return f"{row.state}, and is not in the hot folder"
    if row.disposition == Disposition.PENDING and source.after == "move" and not there:
        outputs = [*disk.done.values(), *disk.failed.values()]
        if not any((stamp.size, stamp.mtime_ns) == (row.size, row.mtime_ns) for stamp in outputs):
            return f"{row.state}, not moved yet, and in no folder"
    return None


def _verdict_misfits(
    rows: Sequence[FileFacts], reader: Reader, line: str, names: Callable[[FileFacts], str]
) -> Iterable[Misfit]:
    """Each judged file has one inspection, its own or that of its series; older ones may have been pruned."""
    first = {agent: reader.first_inspection(line, agent) for agent in {row.agent for row in rows}}
    for row in rows:
        # A late slice brings its series back, and the same slice may be the worst again.
        if row.verdicts > 1 and row.inspection_id is None:
            yield Misfit(names(row), f"was judged {row.verdicts} times")
        elif row.state in _JUDGED and not row.verdicts and row.inspection_id is None:
            since = first[row.agent]
            if since is not None and row.added >= since:
                yield Misfit(names(row), f"{row.state}, and there is no inspection of it")
        elif row.verdicts and row.state not in _JUDGED:
            yield Misfit(names(row), f"{row.state}, and there is an inspection of it")


@dataclass(frozen=True)
class _Placed:
    matched: int
    older: int
    misfits: tuple[Misfit, ...]


def _compare_outputs(rows: Sequence[FileFacts], disk: _Disk, private: bool) -> _Placed:
    """Every file in done and failed must have been judged so. A move keeps size and time; where a file system did not,
    the digest tells."""
    by_stamp: dict[tuple[int, int], set[str]] = defaultdict(set)
    by_digest: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        by_stamp[row.size, row.mtime_ns].add(row.state)
        by_digest[row.sha256].add(row.state)
    oldest = min((row.added.timestamp() for row in rows), default=float("inf"))
    matched = older = 0
    misfits: list[Misfit] = []
    done, failed = frozenset({FileState.DONE, FileState.SKIPPED}), frozenset({FileState.FAILED})
    for where, files, right in (("done", disk.done, done), ("failed", disk.failed, failed)):
        for path, stamp in files.items():
            states = by_stamp.get((stamp.size, stamp.mtime_ns), set()) or by_digest.get(judged_sha256(path), set())
            if states & right:
                matched += 1
            elif not states and path.stat().st_ctime < oldest:
                older += 1
            else:
                what = f"lies in {where}, and is {'/'.join(sorted(states)) or 'not in the database'}"
                misfits.append(Misfit("a file" if private else to_text(path), what))
    return _Placed(matched, older, tuple(misfits))


def _latest(rows: Sequence[FileFacts]) -> Iterable[FileFacts]:
    """A file that came again is where its last row says."""
    return {(row.path, row.size, row.mtime_ns): row for row in rows}.values()


def _names(section: LineSection, references: References | None) -> Callable[[FileFacts], str]:
    def name(row: FileFacts) -> str:
        if not section.is_private:
            return row.path
        return references.of(section.name, row.path, row.sha256) if references and row.sha256 else f"file {row.id}"

    return name
