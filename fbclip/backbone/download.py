"""One file over HTTP: resumed where it was cut short, bounded, compared with its sha256, and whole or not there."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from fbclip.errors import WeightsError

MAX_BYTES = 16 << 30
CHUNK = 1 << 20
Progress = Callable[[int, int | None], None]
"""Hears of bytes done and of all bytes, None where the server does not say."""


@dataclass(frozen=True)
class HttpLimits:
    """`silence_s`: the longest wait for the next byte."""

    silence_s: float = 30.0
    max_bytes: int = MAX_BYTES


class _Careful(urllib.request.HTTPRedirectHandler):
    """Follows to https, or to the scheme that was asked for, and to nothing else."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(newurl).scheme not in {"https", urlsplit(req.full_url).scheme}:
            raise urllib.error.URLError(f"leads to {urlsplit(newurl).scheme}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing: a hub states the digest in the answer that redirects."""

    def redirect_request(self, *_: Any) -> None:
        return None


def stated_sha256(url: str, limits: HttpLimits = HttpLimits()) -> str | None:
    """The sha256 that the server states for the file, None where it states none. Raises WeightsError."""
    opener = urllib.request.build_opener(_Stay)
    try:
        with opener.open(_request(url, method="HEAD"), timeout=limits.silence_s) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as error:
        if not 300 <= error.code < 400:
            raise WeightsError(_reason(error)) from error
        headers = error.headers
    except (OSError, http.client.HTTPException) as error:
        raise WeightsError(_reason(error)) from error
    for name in ("X-Linked-Etag", "ETag"):
        digest = (headers.get(name) or "").removeprefix("W/").strip('"').lower()
        if re.fullmatch(r"[0-9a-f]{64}", digest):
            return digest
    return None


def download(
    url: str, target: Path, sha256: str | None, progress: Progress = lambda *_: None, limits: HttpLimits = HttpLimits()
) -> str:
    """The file at `target`, and its sha256. Raises WeightsError, then `target` is as it was.

    What was received is kept for the next try, under the digest that it is to have; without one it starts anew.
    """
    part = target.with_name(f".{target.name}.{(sha256 or 'unknown')[:12]}.part")
    with part.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise WeightsError(f"{target.name} is being fetched by another process") from error
        if sha256 is None:
            stream.truncate(0)
        try:
            _receive(url, stream, part, progress, limits)
        except (OSError, http.client.HTTPException) as error:
            raise WeightsError(_reason(error)) from error
        stream.flush()
        os.fsync(stream.fileno())
        with part.open("rb") as whole:
            found = hashlib.file_digest(whole, "sha256").hexdigest()
        if sha256 is not None and found != sha256:
            part.unlink()
            raise WeightsError(f"sha256 is {found[:12]}…, expected {sha256[:12]}…; the file is damaged or foreign")
        part.replace(target)
    return found


def _request(url: str, **parts: Any) -> urllib.request.Request:
    if urlsplit(url).scheme not in {"http", "https"}:
        raise WeightsError("is no address of http or https")
    return urllib.request.Request(url, **parts)  # noqa: S310 (checked above)


def _receive(url: str, stream: IO[bytes], part: Path, progress: Progress, limits: HttpLimits) -> None:
    """Append what is missing; raises OSError, HTTPException or WeightsError."""
    have = part.stat().st_size
    request = _request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.build_opener(_Careful).open(request, timeout=limits.silence_s)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # Nothing is left to receive, or what is there is longer than the file: the digest tells.
        return
    with answer:
        if answer.status != 206 or not (answer.headers.get("Content-Range") or "").startswith(f"bytes {have}-"):
            stream.truncate(0)
            have = 0
        length = answer.headers.get("Content-Length") or ""
        total = have + int(length) if length.isdecimal() and len(length) < 16 else None
        _check_room(part, total, have, limits)
        while chunk := answer.read(CHUNK):
            have += len(chunk)
            if have > limits.max_bytes:
                raise WeightsError(f"larger than {limits.max_bytes >> 20} MiB")
            stream.write(chunk)
            progress(have, total)
    stream.flush()
    if total is not None and have < total:
        raise WeightsError(f"cut short after {have} of {total} bytes; the next try goes on from there")


def _check_room(part: Path, total: int | None, have: int, limits: HttpLimits) -> None:
    if total is None:
        return
    if total > limits.max_bytes:
        raise WeightsError(f"larger than {limits.max_bytes >> 20} MiB")
    free = shutil.disk_usage(part.parent).free
    if total - have > free:
        raise WeightsError(f"{part.parent} has {free >> 20} MiB free, {(total - have) >> 20} MiB are missing")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    cause = getattr(error, "reason", None) or error
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    return " ".join(str(cause).split()) or type(cause).__name__
