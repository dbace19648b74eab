"""Which message makes the broker hang up: a broker may end the connection over one that it does not like.

It answers in the order of sending, so the oldest one without an answer is suspected. It is sent alone before it is
judged: where the network is bad, connections end over nothing.
"""

from __future__ import annotations

# The oldest message may stay unanswered by chance once.
DROPS_BEFORE_ALONE = 2

Key = int | str
"""An outbox row, or a retained topic."""


class Suspicion:
    """Counts the connections that ended over the same message."""

    def __init__(self) -> None:
        self._suspect: Key | None = None
        self._drops = 0
        self.accused: Key | None = None

    def lost(self, oldest: Key) -> Key | None:
        """A connection ended and `oldest` had no answer; returns it if that is proven to be its doing."""
        if self.accused is not None:
            guilty = self.accused if oldest == self.accused else None
            self.reset()
            return guilty
        self._drops = self._drops + 1 if oldest == self._suspect else 1
        self._suspect = oldest
        if self._drops >= DROPS_BEFORE_ALONE:
            self.accused = oldest
        return None

    def answered(self, key: Key) -> None:
        """The broker has answered it, be it with a refusal."""
        if key in (self._suspect, self.accused):
            self.reset()

    def reset(self) -> None:
        """Nobody is suspected."""
        self._suspect = self.accused = None
        self._drops = 0
