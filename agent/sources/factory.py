"""Sources and sinks of a line from its configuration."""

from __future__ import annotations

from collections.abc import Callable

from agent.config.line import LineSection
from agent.config.source import CameraSource, DicomSource, FolderSource, VideoSource
from agent.privacy.quiet_log import protect
from agent.sources.base import Sink, Source
from agent.sources.camera import Camera
from agent.sources.dicom_receiver import DicomReceiver
from agent.sources.folder import Folder
from agent.sources.folder_lock import FolderLocks
from agent.sources.ledger import FileLedger
from agent.sources.mounts import MountMemory
from agent.sources.series_ledger import SeriesMemory
from agent.sources.sinks import BlockingQueue, NewestSlot, Tally
from agent.sources.video import Video
from fbclip.images.window import DEFAULT_WINDOW, Window


def build_sink(section: LineSection, tally: Tally, notify: Callable[[], None]) -> Sink:
    """Newest frame wins for a live line, else a queue that makes the source wait. Triggered ones have a gate."""
    return NewestSlot(tally, notify) if section.is_live else BlockingQueue(tally, notify=notify)


def build_source(
    section: LineSection,
    sink: Sink,
    ledger: FileLedger,
    window: Callable[[], Window] = lambda: DEFAULT_WINDOW,
    locks: FolderLocks | None = None,
    series: SeriesMemory | None = None,
    mounts: MountMemory | None = None,
) -> Source:
    """The source that a line names; nothing is opened yet. `window`: what its files are decoded by. `locks`: of the hot
    folders, None for who takes no file away. `series`, `mounts`: see
    `Folder`."""
    source = section.source
    if isinstance(source, CameraSource):
        return Camera(section.name, source, sink)
    if isinstance(source, VideoSource):
        return Video(section.name, source, sink)
    assert isinstance(source, FolderSource)
    if section.is_private:
        protect(source.folders)
    folder = Folder(section.name, source, sink, ledger, None, None, window, locks, series, mounts)
    return DicomReceiver(section.name, source, folder) if isinstance(source, DicomSource) else folder
