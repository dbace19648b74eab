"""One thread, and a few generated images."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from calibrate.embedded.pretraining.generated_images import GeneratedImages, ImageRecipe, load_or_generate
from calibrate.surfaces.families import TRAIN_FAMILIES


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Layers this small are slower on two threads, much slower while the cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> GeneratedImages:
    return load_or_generate(tmp_path_factory.mktemp("data"), "tiny", ImageRecipe(12, 64, 5, TRAIN_FAMILIES))
