"""The picture limits of a profile in words, the same for both tools. Pure."""

from __future__ import annotations

from fbclip.picture_health.limits import PictureLimits


def picture_summary(limits: PictureLimits | None) -> str:
    """Without a full stop: what is rejected, what is promised of that, and whether `moved` is looked for."""
    if limits is None:
        return "blur, light and place of pictures are not checked, for want of limits"
    kinds = "blurred, dimmed or too bright" if limits.moved is None else "blurred, dimmed, too bright or moved"
    promise = (
        f"with {limits.confidence:.0%} confidence at most {limits.bound:.1%} of normal units are rejected as {kinds} "
        f"(measured on {limits.n_units:,} units)"
    )
    if limits.moved is None:
        return f"{promise}; not checked for having moved: {limits.not_moved_because}"
    return f"{promise}; moved from {limits.moved.size:.1%} of the longer side"
