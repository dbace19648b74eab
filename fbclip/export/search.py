"""Which parts of a backbone int8 may reach: all of them where that moves maps little, else all but those that hurt.

Bounded: parts are tried in at most MOST_GROUPS groups, so there are never more than 2·MOST_GROUPS quantisations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

LIMIT = 0.1
"""Root mean square of how far maps move, in parts of their own spread: what a search settles for."""
MOST_GROUPS = 8

Measure = Callable[[Sequence[str]], float]
"""Parts that stay in float -> the error of all others in int8."""


@dataclass(frozen=True)
class Search:
    """in_float: parts that stay so; error: what is left; alone: group -> the error where it alone is int8, if asked."""

    in_float: tuple[str, ...]
    error: float
    alone: dict[str, float]


def search_float_parts(parts: Sequence[str], measure: Measure, note: Callable[[str], None]) -> Search:
    """Leave the part that hurts most in float, then the next, until LIMIT is kept; never all of them."""
    error = measure(())
    note(f"all in int8: maps move by {error:.3f} of their spread")
    if error <= LIMIT:
        return Search((), error, {})
    groups = grouped_parts(parts)
    alone = {}
    for group in groups:
        alone[group_name(group)] = measure([part for part in parts if part not in group])
        note(f"{group_name(group)} alone in int8: {alone[group_name(group)]:.3f}")
    best = Search((), error, alone)
    in_float: tuple[str, ...] = ()
    for group in sorted(groups, key=lambda one: -alone[group_name(one)])[:-1]:
        in_float = (*in_float, *group)
        error = measure(in_float)
        note(f"{', '.join(in_float)} in float: {error:.3f}")
        if error < best.error:
            best = Search(tuple(part for part in parts if part in in_float), error, alone)
        if error <= LIMIT:
            break
    return best


def grouped_parts(parts: Sequence[str]) -> list[tuple[str, ...]]:
    """Neighbours together, in at most MOST_GROUPS groups."""
    step = -(-len(parts) // MOST_GROUPS)
    return [tuple(parts[start : start + step]) for start in range(0, len(parts), step)]


def group_name(group: Sequence[str]) -> str:
    return group[0] if len(group) == 1 else f"{group[0]} to {group[-1]}"
