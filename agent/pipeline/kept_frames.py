"""The last frames in memory, so that the picture of one that was ok can still be kept when somebody says it was not."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from agent.errors import StoreError
from agent.pipeline.evidence import EvidenceWriter
from agent.pipeline.judged import Judged

MOST_BYTES = 96 << 20


class KeptFrames:
    """Hears of every inspection; `keep` writes the picture of one, from any thread.

    `name_images` enters them in its row. Bounded by the bytes of the frames; the oldest goes first.
    """

    def __init__(
        self,
        evidence: EvidenceWriter,
        name_images: Callable[[int, str | None, str | None], None],
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """`evidence`: a writer of its own, which only the thread that calls `keep` uses."""
        self._evidence = evidence
        self._name_images = name_images
        self._most = most_bytes
        self._lock = threading.Lock()
        self._frames: OrderedDict[int, Judged] = OrderedDict()
        self._bytes = 0

    def inspected(self, judged: Judged) -> None:
        image = judged.frame.image
        if judged.row is None or image is None or judged.inspection.image_ref is not None:
            return
        with self._lock:
            self._frames[judged.row] = judged
            self._bytes += image.nbytes
            while self._bytes > self._most:
                _, old = self._frames.popitem(last=False)
                self._bytes -= 0 if old.frame.image is None else old.frame.image.nbytes

    def find(self, inspection_id: int) -> Judged | None:
        """None where it is gone, or was written when it was judged."""
        with self._lock:
            return self._frames.get(inspection_id)

    def keep(self, inspection_id: int) -> bool:
        """Whether its picture was here and is kept now; one that is written already needs nothing."""
        judged = self.find(inspection_id)
        if judged is None:
            return False
        decision = judged.inspection.decision
        refs = self._evidence.save(judged.frame, judged.margins, judged.placement, judged.limits, decision)
        if refs.image_ref is None:
            return False
        try:
            self._name_images(inspection_id, refs.image_ref, refs.overlay_ref)
        except StoreError:
            return False
        return True
