"""What this machine's processor is: its name, its cores that may be used, and what it is slow at."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from fbclip.backbone.config import Precision, RuntimeName

_FAST: dict[Precision, frozenset[str]] = {
    "bfloat16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "float16": frozenset({"avx512_fp16", "amx_fp16", "fphp", "asimdhp"}),
    "int8": frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}),
}
"""Any of these instructions, as /proc/cpuinfo of x86 and ARM names them, makes the precision worth it."""
_OWN_THREADS_FROM = 4


@lru_cache(maxsize=1)
def _facts(path: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """Of the first processor; empty where the system has no such file."""
    try:
        first = path.read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def processor_name() -> str:
    """As /proc/cpuinfo gives it."""
    return _facts().get("model name", "unknown processor")


def cores() -> int:
    """Those that this process may use: by its affinity, and by its share of a container's."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        found = min(found, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        # No such file, or "max": no limit.
        pass
    return found


def inference_threads(asked: int | None) -> int:
    """`asked`, or all cores, less one for decoding, recording and the page where there are enough."""
    if asked is not None:
        return asked
    found = cores()
    return found - 1 if found >= _OWN_THREADS_FROM else found


def slow_precision(runtime: RuntimeName, precision: Precision) -> str | None:
    """Why `precision` is likely to be slower than float32 here, in a line; None where nothing says so."""
    wanted, facts = _FAST.get(precision), _facts()
    have = set((facts.get("flags") or facts.get("features") or "").split())
    if wanted is None or not have or wanted & have:
        return None
    return (
        f"precision {precision} ({runtime}): this processor ({processor_name()}) has no instructions for it, so it is "
        "likely to be slower than float32; `fbclip bench --runtime all` tells"
    )
