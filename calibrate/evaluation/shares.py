"""Several processes score the images of one evaluation; the first one gets every result, in the order of the images.

Each takes whole batches, the same that one alone would make, so that the results are the very same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from calibrate.datasets.sample import Sample
from calibrate.inference import BATCH, Scored, Skipped, View
from calibrate.processes import ProcessGroup, joined, parted
from fbclip.decision import Prediction
from fbclip.images.geometry import Placement


@dataclass(frozen=True, eq=False)
class SharedView:
    """A view through which all processes look together."""

    view: View
    processes: ProcessGroup

    def score(
        self, samples: Sequence[Sample], advance: Callable[[int], None] = lambda _: None
    ) -> Iterator[Scored | Skipped]:
        """In the first process the result of every sample, in order; in the others none. All have to ask."""
        group = self.processes
        if group.count == 1:
            yield from self.view.score(samples, advance)
            return
        at_once = BATCH * group.count
        for start in range(0, len(samples), at_once):
            own = samples[start + BATCH * group.rank : start + min(at_once, BATCH * (group.rank + 1))]
            sent = group.collect(joined([packed(one) for one in self.view.score(own)]))
            results = (one for part in sent for one in parted(part))
            # The first process has everything, the others nothing.
            for sample, data in zip(samples[start : start + at_once] if group.first else (), results, strict=True):
                yield unpacked(data, sample)
            advance(len(samples[start : start + at_once]))


def packed(result: Scored | Skipped) -> bytes:
    """A result without its sample, as bytes."""
    if isinstance(result, Skipped):
        return joined([json.dumps({"reason": result.reason}).encode()])
    prediction, ignore = result.prediction, result.ignore
    about = {
        "margin": prediction.margin,
        "score": prediction.score,
        "shape": prediction.map.shape,
        "placement": asdict(result.placement),
        "ignored": ignore is not None,
        "fault": result.fault,
    }
    bits = b"" if ignore is None else np.packbits(ignore).tobytes()
    return joined([json.dumps(about).encode(), np.asarray(prediction.map, np.float32).tobytes(), bits])


def unpacked(data: bytes, sample: Sample) -> Scored | Skipped:
    """The inverse of `packed`."""
    head, *rest = parted(data)
    about = json.loads(head)
    if "reason" in about:
        return Skipped(sample, about["reason"])
    values, bits = rest
    shape = tuple(about["shape"])
    ignore = None
    if about["ignored"]:
        count = int(np.prod(shape))
        ignore = np.unpackbits(np.frombuffer(bits, np.uint8), count=count).astype(np.bool_).reshape(shape)
    prediction = Prediction(about["margin"], about["score"], np.frombuffer(values, np.float32).reshape(shape).copy())
    return Scored(sample, prediction, Placement(**about["placement"]), ignore, about["fault"])
