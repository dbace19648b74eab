"""What was published of these methods, to be read beside what is measured here. Nothing in it was measured here.

Data sets are recognised by the names that they are given on the command line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fbclip.peers.config import FBCLIP

_FBCLIP = "FB-CLIP, arXiv 2603.19608"
_ANOMALYCLIP = "AnomalyCLIP, arXiv 2310.18961"
_AFCLIP = "AF-CLIP, logs of its release"
_WINCLIP = "WinCLIP, arXiv 2303.14814"
_ACCURATE = "WinCLIP made anew, README of Accurate-WinCLIP-pytorch"
_EDM = "README of EDMPrompt, which ran it again"
_FB_TABLE = f"{_FBCLIP}, its table of others"


@dataclass(frozen=True)
class PublishedRow:
    """Numbers in 0..1 as the source prints them, zero-shot; None where it has none. row: of our table."""

    row: str
    source: str
    image_auroc: float | None
    image_ap: float | None
    pixel_auroc: float | None
    pixel_aupro: float | None


_ROWS: tuple[tuple[str, str, str, str], ...] = (
    ("mvtec", FBCLIP, "92.4 96.6 91.9 85.7", _FBCLIP),
    ("mvtec", "mstff", "82.0 91.4 84.0 68.0", _FBCLIP),
    ("mvtec", "mstff-mvfbe", "92.2 96.5 91.7 84.5", _FBCLIP),
    ("mvtec", "bs-alone", "44.8 72.7 70.7 38.3", _FBCLIP),
    ("mvtec", "vanilla", "67.1 84.0 65.2 32.9", f"{_FBCLIP}, row Base, whose code is not released"),
    ("mvtec", "vanilla", "74.1 87.6 38.4 11.3", f"{_ANOMALYCLIP}, row CLIP, not checked again"),
    ("mvtec", "winclip", "91.8 96.5 85.1 64.6", _WINCLIP),
    ("mvtec", "winclip", "90.4 95.6 82.3 61.9", _ACCURATE),
    ("mvtec", "anomalyclip", "91.5 96.2 91.1 81.4", _ANOMALYCLIP),
    ("mvtec", "afclip", "92.9 96.8 92.3 85.7", _AFCLIP),
    ("mvtec", "faprompt", "90.8 94.9 90.6 81.6", _EDM),
    ("visa", FBCLIP, "89.5 90.7 96.3 91.4", _FBCLIP),
    ("visa", "vanilla", "66.4 71.5 46.6 14.8", f"{_ANOMALYCLIP}, row CLIP, not checked again"),
    ("visa", "winclip", "78.1 81.2 79.6 56.8", _WINCLIP),
    ("visa", "winclip", "75.5 78.7 73.2 51.0", _ACCURATE),
    ("visa", "anomalyclip", "82.1 85.4 95.5 87.0", _ANOMALYCLIP),
    ("visa", "afclip", "88.5 89.9 96.2 88.7", _AFCLIP),
    ("visa", "faprompt", "84.6 86.8 95.9 87.7", _FB_TABLE),
    ("visa", "faprompt", "83.3 85.9 95.6 85.8", _EDM),
    ("realiad", FBCLIP, "80.6 78.4 95.9 88.2", _FBCLIP),
    ("mpdd", FBCLIP, "- - 96.9 91.1", _FBCLIP),
    ("clinicdb", FBCLIP, "- - 87.2 73.5", _FBCLIP),
    ("btad", "afclip", "94.3 95.3 94.4 78.4", _AFCLIP),
    ("dtd", "afclip", "97.9 99.1 98.6 93.8", _AFCLIP),
    ("dagm", "afclip", "98.7 94.6 97.1 93.1", _AFCLIP),
    ("brainmri", "afclip", "95.2 96.3 - -", _AFCLIP),
    ("br35h", "afclip", "96.7 96.5 - -", _AFCLIP),
    ("isic", "afclip", "- - 94.8 89.6", _AFCLIP),
    ("clinicdb", "afclip", "- - 87.1 70.0", _AFCLIP),
    ("colondb", "afclip", "- - 83.2 67.9", _AFCLIP),
    ("kvasir", "afclip", "- - 84.5 57.5", _AFCLIP),
)
"""Set, row, then image AUROC, image AP, pixel AUROC and AUPRO in percent, and where they stand."""


def published_rows(data_set: str, rows: list[str]) -> list[PublishedRow]:
    """Of the rows that were measured, on the set with this name; none of a set that none of these names is in."""
    word = re.sub(r"[^a-z0-9]", "", data_set.lower())
    known = [name for name in dict.fromkeys(name for name, *_ in _ROWS) if name in word]
    if len(known) != 1:
        return []
    return [
        PublishedRow(row, source, *(None if text == "-" else float(text) / 100 for text in numbers.split()))
        for name, row, numbers, source in _ROWS
        if name == known[0] and row in rows
    ]
