"""Valid files of text or bytes, damaged in ways that a hand, an editor or a disk damages them; the same for a seed."""

from __future__ import annotations

import json
from random import Random

_VALUES = (
    "", "~", "-1", "0", "1e999", ".nan", "99999999999999999999", "true", "[]", "{}", "[1, 2]", "{a: 1}", "text", "''",
    "'\\0'", "!!python/object/apply:os.getcwd []", "&a [*a]", "2026-01-01", "0x7fffffff", "\u202e", "x" * 70_000,
)  # fmt: skip
_BYTES = (
    b"\0",
    b"\xff",
    b"\n",
    b":",
    b"'",
    b'"',
    b"{",
    b"[",
    b"&",
    b"*",
    b"!",
    b"|",
    b"%",
    b"\t",
    b"-",
    b"#",
    b"\xe2\x80\xa8",
)


def mutant(random: Random, data: bytes) -> bytes:
    """One to three damages after each other."""
    for _ in range(random.choice((1, 1, 2, 3))):
        data = random.choice(_DAMAGES)(random, data)
    return data


def _cut(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _flipped(random: Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(random.choice((1, 4, 32)) if out else 0):
        out[random.randrange(len(out))] ^= 1 << random.randrange(8)
    return bytes(out)


def _inserted(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.choice(_BYTES) * random.choice((1, 2, 300)) + data[at:]


def _shuffled(random: Random, data: bytes) -> bytes:
    """Lines gone, twice there, or at another depth."""
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    match random.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(random.randrange(len(lines)), lines[at])
        case 2:
            lines[at] = b"  " + lines[at]
        case _:
            lines[at] = lines[at].lstrip()
    return b"\n".join(lines)


def _revalued(random: Random, data: bytes) -> bytes:
    """What stands behind a colon becomes something else."""
    lines = data.split(b"\n")
    keyed = [number for number, line in enumerate(lines) if b":" in line[:4096]]
    if keyed:
        at = random.choice(keyed)
        value = random.choice(_VALUES).encode()
        lines[at] = lines[at].split(b":", 1)[0] + b": " + value
    return b"\n".join(lines)


def _rejsoned(random: Random, data: bytes) -> bytes:
    """JSON with one value somewhere in it replaced, so that it stays JSON; other text as it was."""
    try:
        root = json.loads(data)
    except (ValueError, RecursionError):
        return data
    node = root
    while isinstance(node, dict | list) and node:
        key = random.choice(list(node)) if isinstance(node, dict) else random.randrange(len(node))
        if not (isinstance(node[key], dict | list) and node[key]) or random.random() < 0.2:
            node[key] = random.choice(
                (None, -1, 0, 2**40, 2**70, 1.5, float("nan"), "", "x" * 9000, [], {}, [[]], True)
            )
            break
        node = node[key]
    return json.dumps(root).encode()


def _deep(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.choice((b"[", b'{"a":', b"{a: ", b"- ")) * 5000 + data[at:]


_DAMAGES = (_cut, _flipped, _flipped, _inserted, _shuffled, _revalued, _revalued, _rejsoned, _deep)
