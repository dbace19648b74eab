"""Units of a line, one a day, so that the number of a unit can be read from its time."""

from datetime import UTC, datetime, timedelta

import numpy as np

from agent.drift.line_drift import DriftUnit
from fbclip.artefacts.drift_reference import drift_reference

DAY = timedelta(days=1)


def moment(number):
    return datetime(2026, 1, 1, tzinfo=UTC) + number * DAY


def a_reference(pictures=True, n=100):
    """z of 0..1, sharpness about -2, light about 100, displacement of 0..0.01."""
    z = np.arange(n) / n
    measures = {"sharpness": z - 2, "light": z + 100, "displacement": z / 100}
    return drift_reference(z, measures if pictures else {}, n)


def a_unit(number, anomaly=False, **values):
    usual = {"z": 0.5, "sharpness": -1.5, "light": 100.5, "displacement": 0.005}
    return DriftUnit(moment(number), usual | values, anomaly)
