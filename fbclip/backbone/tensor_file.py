"""A file of tensors that torch has saved, read without running any code in it."""

from __future__ import annotations

from pathlib import Path

import torch

from fbclip.errors import AdapterError


def read_tensor_file(path: Path) -> object:
    """What it holds, on the CPU; raises AdapterError for whatever is no file of tensors only."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise AdapterError(f"{path}: no such file") from error
    except Exception as error:  # garbage makes the reader of tensors raise whatever its bytes lead to
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AdapterError(f"{path}: not a readable checkpoint of tensors only: {first}") from error
