"""How long to wait before the next try: twice as long each time, up to a cap, never exactly the same."""

from __future__ import annotations

import random
from collections.abc import Callable

# More doublings than these exceed any cap, and in time a float.
MOST_DOUBLINGS = 32


class Backoff:
    """Delays of `first_s`, twice that and so on up to `cap_s`, each shortened by chance to between half and all of it.

    Without the chance, all agents of a plant would come back to a restarted broker in the same moment.
    """

    def __init__(self, first_s: float, cap_s: float, chance: Callable[[], float] = random.random) -> None:
        """`chance` gives numbers in 0..1."""
        self._first_s = first_s
        self._cap_s = cap_s
        self._chance = chance
        self._tries = 0

    def delay(self) -> float:
        """Seconds until the next try."""
        full = min(self._cap_s, self._first_s * 2.0 ** min(self._tries, MOST_DOUBLINGS))
        self._tries += 1
        return full * (0.5 + 0.5 * self._chance())

    def reset(self) -> None:
        """It works again: the next delay is the first one."""
        self._tries = 0
