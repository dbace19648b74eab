"""Everything that fbclip raises on purpose.

FbclipError
├── ConfigError     a number of the method or a model description that cannot be
├── ImageError      bytes that are no usable image (`reason` is a stable short word)
├── WeightsError    missing, damaged or foreign weights
├── AdapterError    a checkpoint or adapter of the wrong kind or shape
├── MemoryBankError a memory of normal images that is damaged, or made for another model
└── ProfileError    an unreadable profile, or one made for another model
"""


class FbclipError(Exception):
    """Base of all errors of this package; its text is one line for the user."""


class ConfigError(FbclipError):
    """A value that the method or the model cannot work with."""


class ImageError(FbclipError):
    """A file or array that cannot be judged.

    `reason` is a short stable word for logs and messages, e.g. `truncated`; it never holds a file name.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class WeightsError(FbclipError):
    """Weights that are missing, damaged, or not those that were asked for."""


class AdapterError(FbclipError):
    """An adapter or checkpoint that does not fit the backbone."""


class MemoryBankError(FbclipError):
    """A memory of normal images that is damaged or does not fit the backbone."""


class ProfileError(FbclipError):
    """A profile that is unreadable or does not fit what would run."""
