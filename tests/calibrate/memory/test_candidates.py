"""However many images there are, their tokens share the room."""

import torch

from calibrate.datasets.reader import read_data
from calibrate.inference import Skips
from calibrate.memory import candidates
from fbclip.images.framing import Framing
from fbclip.images.tiling import Tiling
from fbclip.memory.features import MemoryConfig

CONFIG = MemoryConfig(layers=(2, 4))


def test_many_images_share_the_room_and_tiles_count(detector, normal, monkeypatch):
    monkeypatch.setattr(candidates, "MAX_CANDIDATES", 100)
    found = candidates.gather(detector, read_data(normal).samples, Framing(), CONFIG, 0, Skips(), lambda _: None)
    assert torch.bincount(found.owner).tolist() == [8] * 12
    monkeypatch.setattr(candidates, "MAX_CANDIDATES", 200_000)
    tiled = Framing(tiling=Tiling(columns=2, rows=1))
    assert (
        len(
            candidates.gather(detector, read_data(normal).samples[:1], tiled, CONFIG, 0, Skips(), lambda _: None).tokens
        )
        == 512
    )
