"""The items of a JSON object's lists one by one, so that a list of any length takes the memory of one item."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from calibrate.errors import DataError

CHUNK = 1 << 16
MAX_ITEM = 1 << 20
"""Characters of one item; more is no entry of a list of images."""
_DECODER = json.JSONDecoder()


def object_items(path: Path) -> Iterator[tuple[str, Any]]:
    """(key, item) for each item of a list, (key, value) for any other value of the object in `path`, in order.

    Raises DataError, one line that names the file, for what is no such JSON, OSError.
    """
    try:
        with path.open(encoding="utf-8-sig") as stream:
            yield from _members(_Text(stream))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no valid JSON object of lists: {error}") from error


class _Text:
    """A window on a text, from where it was read to where the next chunk begins."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._rest, self._at, self._ended = stream, "", 0, False

    def peek(self) -> str:
        """The next character that is no blank; empty at the end."""
        while True:
            while self._at < len(self._rest) and self._rest[self._at].isspace():
                self._at += 1
            if self._at < len(self._rest) or not self._more():
                return self._rest[self._at : self._at + 1]

    def take(self, *expected: str) -> str:
        """The next character, which must be one of these."""
        found = self.peek()
        if found not in expected or not found:
            raise ValueError(f"expected {' or '.join(expected)}, found {found or 'the end'}")
        self._at += 1
        return found

    def value(self) -> Any:
        """The next value, whole."""
        self.peek()
        while True:
            try:
                found, end = _DECODER.raw_decode(self._rest, self._at)
                # A number at the end of the window may go on behind it.
                if end < len(self._rest) or self._ended:
                    self._at = end
                    return found
            except ValueError:
                if self._ended:
                    raise
            if len(self._rest) - self._at > MAX_ITEM:
                raise ValueError(f"an item of more than {MAX_ITEM} characters")
            self._more()

    def _more(self) -> bool:
        chunk = self._stream.read(CHUNK)
        self._rest, self._at = self._rest[self._at :] + chunk, 0
        self._ended = not chunk
        return bool(chunk)


def _members(text: _Text) -> Iterator[tuple[str, Any]]:
    text.take("{")
    if text.peek() == "}":
        return
    while True:
        key = text.value()
        if not isinstance(key, str):
            raise ValueError(f"{key!r} is no key")
        text.take(":")
        if text.peek() == "[":
            yield from ((key, item) for item in _items(text))
        else:
            yield key, text.value()
        if text.take(",", "}") == "}":
            return


def _items(text: _Text) -> Iterator[Any]:
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        yield text.value()
        if text.take(",", "]") == "]":
            return
