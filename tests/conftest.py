"""Fixtures that every folder of tests may ask for."""

from __future__ import annotations

import pytest
import torch

from fbclip.detector import Detector
from tests.factories.models import tiny_detector

# Threads that wait for each other on busy cores cost these tiny models more than they bring.
torch.set_num_threads(1)


@pytest.fixture
def detector() -> Detector:
    """Two tiny adapters on one tiny backbone."""
    return tiny_detector()
