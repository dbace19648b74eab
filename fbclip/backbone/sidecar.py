"""The checksum beside a file of weights: `<file>.sha256`, as sha256sum writes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fbclip.errors import WeightsError
from fbclip.files import file_sha256, write_atomically

TRUSTED = "# taken on trust: nobody stated this digest"
MAX_BYTES = 1 << 16


@dataclass(frozen=True)
class WeightsDigest:
    """The sha256 that a file was compared with, and whether somebody only vouched for it."""

    sha256: str
    trusted: bool = False


def read_digest(path: Path) -> WeightsDigest | None:
    """What stands beside the file, which must match it; None where nothing does. Raises WeightsError."""
    sidecar = _beside(path)
    if not sidecar.is_file():
        return None
    if sidecar.stat().st_size > MAX_BYTES:
        raise WeightsError(f"{sidecar}: larger than {MAX_BYTES} bytes")
    text = sidecar.read_text(encoding="utf-8", errors="replace")
    words = text.split()
    return WeightsDigest(check_digest(path, words[0] if words else ""), TRUSTED in text)


def check_digest(path: Path, expected: str) -> str:
    """The file's sha256; raises WeightsError where it is another one."""
    actual = file_sha256(path)
    if actual != expected.lower():
        raise WeightsError(
            f"{path}: sha256 is {actual[:12]}…, expected {expected[:12]}…; the file is damaged or foreign"
        )
    return actual


def has_digest(path: Path, expected: str | None) -> bool:
    """Whether the file has `expected`, or, without one, what stands beside it."""
    if expected is not None:
        return file_sha256(path) == expected
    try:
        return read_digest(path) is not None
    except WeightsError:
        return False


def write_digest(path: Path, sha256: str, trusted: bool) -> None:
    """Atomically; raises OSError."""
    lines = [f"{sha256}  {path.name}", *([TRUSTED] if trusted else [])]
    write_atomically(_beside(path), ("\n".join(lines) + "\n").encode())


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
