"""A sequence of image files, played like a video: which files it has, in which order, and one after the other."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.sources.capture_process import CaptureCancelled, CaptureFailed, Opened, Taken
from fbclip.errors import ImageError
from fbclip.images.decode_process import DecodeProcess, DecodingCancelled
from fbclip.images.header import MAX_BYTES
from fbclip.images.side_files import IMAGE_SUFFIXES, is_unfinished

_COUNTER = re.compile(r"%0?(\d*)d")
_WILD = frozenset("*?[")


@dataclass(frozen=True)
class ImageSequence:
    """`files` in the order in which they are played; `choice` says in words which these are."""

    files: tuple[Path, ...]
    choice: str


def find_sequence(path: Path) -> ImageSequence | None:
    """The images that `path` names: a folder, a name with a counter as `part_%04d.png`, or one with wildcards.

    None where it names a single file, which is a video. Raises OSError where its folder cannot be read.
    """
    if path.is_file():
        # Also one with such a sign in its name.
        return None
    if path.is_dir():
        found = _ordered(file for file in path.iterdir() if _is_image(file))
        return ImageSequence(found, f"{len(found)} images of a folder, in the natural order of their names")
    if counter := _COUNTER.search(path.name):
        return _counted(path, counter)
    if _WILD & set(path.name):
        found = _ordered(file for file in path.parent.glob(path.name) if _is_image(file))
        return ImageSequence(found, f"{len(found)} images of a pattern, in the natural order of their names")
    return None


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts `part_9` before `part_10`: runs of digits by their value, the rest as it is written."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((0, int(part[:400]), part) if part.isascii() and part.isdigit() else (1, 0, part) for part in parts)


def _counted(path: Path, counter: re.Match[str]) -> ImageSequence:
    """All files of the pattern by number, also after a gap, at which FFmpeg would end without a word."""
    width = int(counter.group(1) or 1)
    before, after = path.name[: counter.start()], path.name[counter.end() :]
    name = re.compile(re.escape(before) + rf"([0-9]{{{width},18}})" + re.escape(after))
    numbers = {}
    for file in path.parent.iterdir():
        if (found := name.fullmatch(file.name)) and file.is_file():
            numbers[int(found.group(1))] = file
    files = tuple(numbers[number] for number in sorted(numbers))
    gaps = max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0
    missing = f"; {gaps} numbers between the first and the last are missing" if gaps else ""
    return ImageSequence(files, f"{len(files)} images of a pattern, in the order of their numbers{missing}")


def _ordered(files: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(sorted(files, key=lambda file: (natural_key(file.name), file.name)))


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES and not is_unfinished(file.name) and file.is_file()


class SequenceCapture:
    """Reads the files as a hot folder does: decoded in a process that may be killed, or with the reason why not."""

    def __init__(self, find: Callable[[], ImageSequence], cancelled: Callable[[], bool]) -> None:
        """`find` is asked at each opening: a file that came meanwhile is played too. It may raise CaptureFailed."""
        self._find = find
        self._files: Iterator[Path] = iter(())
        self._cancelled = cancelled
        self._decoder = DecodeProcess()

    @property
    def alive(self) -> bool:
        return False

    def open(self) -> Opened:
        files = self._find().files
        if not files:
            raise CaptureFailed("holds no image")
        self._files = iter(files)
        return Opened(frames=len(files))

    def next(self) -> Taken | None:
        file = next(self._files, None)
        if file is None:
            return None
        try:
            with file.open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
            return Taken(time.monotonic(), self._decoder.decode(data, self._cancelled).only())
        except DecodingCancelled as error:
            raise CaptureCancelled from error
        except ImageError as error:
            return Taken(time.monotonic(), reason=error.reason)
        except FileNotFoundError:
            return Taken(time.monotonic(), reason="gone")
        except OSError as error:
            raise CaptureFailed(f"a file cannot be read: {error.strerror}") from error

    def close(self) -> bool:
        self._decoder.close()
        return True
