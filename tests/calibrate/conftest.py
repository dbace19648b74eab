"""What a threshold finds of painted defects is measured on few units here: each costs three images a profile."""

import pytest

from calibrate.threshold import sees


@pytest.fixture(autouse=True)
def few_painted_units(monkeypatch):
    monkeypatch.setattr(sees, "MAX_UNITS", 4)
