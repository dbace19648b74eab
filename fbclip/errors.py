"""Everything that this product raises on purpose: one tree, one branch a package.

InspectError           its text is one line for the user; what caused it is kept for the log
├── ConfigError        wrong usage or configuration, of any command: exit code 2
├── FbclipError        the detector
│   ├── ImageError       bytes that are no usable image (`reason` is a stable short word)
│   │   └── SkippedScan    a scan that holds no image to be judged, and is none the worse for it
│   ├── WeightsError     missing, damaged or foreign weights
│   ├── AdapterError     a checkpoint or adapter of the wrong kind or shape
│   ├── MemoryBankError  a memory of normal images that is damaged, or made for another model
│   ├── ProfileError     an unreadable profile, or one made for another model
│   ├── ExportError      an export that cannot be made, is damaged, or was made of another model or by another version
│   └── InferenceError   what computes failed; a RuntimeError, too
│       ├── DeviceMemoryError  its memory ran out; fewer images at once may fit
│       └── DeviceLostError    its device vanished; only a new process may find it again
├── CalibrateError     the offline tool, see calibrate/errors.py
└── AgentError         the daemon, see agent/errors.py
"""


class InspectError(Exception):
    """Base of all errors of the product; its text is one line for the user and holds no secret."""


class ConfigError(InspectError):
    """A value that a user gave, in a file or on the command line, and that cannot be."""


class FbclipError(InspectError):
    """Base of the detector's errors."""


class ImageError(FbclipError):
    """A file or array that cannot be judged.

    `reason` is a short stable word for logs and messages, e.g. `truncated`; it never holds a file name.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class SkippedScan(ImageError):
    """A DICOM object that is no image of a patient: a report, a waveform, a plan, a segmentation, our own output."""


class WeightsError(FbclipError):
    """Weights that are missing, damaged, or not those that were asked for."""


class AdapterError(FbclipError):
    """An adapter or checkpoint that is damaged or was made for another backbone."""


class MemoryBankError(FbclipError):
    """A memory of normal images that is damaged or was made for another backbone."""


class ProfileError(FbclipError):
    """A profile that is unreadable or was made for another model than would run."""


class ExportError(FbclipError):
    """An export that cannot be made or run, is damaged, or was made of something else."""


class InferenceError(FbclipError, RuntimeError):
    """A runtime that failed while it computed; torch's own failures are RuntimeErrors, so this is one as well."""


class DeviceMemoryError(InferenceError):
    """The memory of the device, or of the machine, is too small for so many images at once."""


class DeviceLostError(InferenceError):
    """The device does not answer any more: nothing that this process asks of it will succeed."""
