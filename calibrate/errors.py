"""Everything that `calibrate` raises on purpose.

CalibrateError
├── DataError         a data set that cannot be used; names the file
├── RefusedError      the data cannot carry what was asked for; says what it can carry
└── TrainingError     training that went wrong: a loss that is not finite, a damaged checkpoint
"""


class CalibrateError(Exception):
    """Base of all errors of this package; its text is one line for the user."""


class DataError(CalibrateError):
    """A data set, or a file of it, that cannot be used."""


class RefusedError(CalibrateError):
    """A wish that the data at hand cannot support."""


class TrainingError(CalibrateError):
    """Training that cannot go on."""
