"""What `calibrate` raises on purpose: a branch of the tree in fbclip/errors.py.

CalibrateError
├── DataError         a data set that cannot be used; names the file
├── RefusedError      the data cannot carry what was asked for; says what it can carry
│   └── InfeasibleError (threshold/operating_point.py)  no threshold keeps both bounds
└── TrainingError     training that went wrong: a loss that is not finite, a damaged checkpoint
"""

from fbclip.errors import InspectError


class CalibrateError(InspectError):
    """Base of the offline tool's errors."""


class DataError(CalibrateError):
    """A data set, or a file of it, that cannot be used."""


class RefusedError(CalibrateError):
    """A request that the data at hand cannot support."""


class TrainingError(CalibrateError):
    """Training that cannot go on."""
