"""The saved images on disk: how much they take, and which go first when they are too many.

What somebody has judged is kept: the next calibration learns from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import or_, select, update

from agent.store.engine import Database
from agent.store.schema import HAS_FEEDBACK, inspections
from fbclip.decision import Verdict

FOLDER = "pictures"
IMAGES_A_TURN = 100
# Of each kind the oldest goes first; the images of anomalies go last.
_ORDER = (Verdict.OK, Verdict.REJECTED, Verdict.UNCERTAIN, Verdict.ANOMALY)


def bytes_of_pictures(data_dir: Path) -> int:
    """What all images take, by their sizes; what vanishes meanwhile counts nothing."""
    return sum(size for _, size in _files(data_dir / FOLDER))


def remove_oldest(database: Database, data_dir: Path, too_much: int, in_time: Callable[[], bool]) -> tuple[int, int]:
    """Remove images until `too_much` bytes are freed or the time is up; returns images and bytes. Raises StoreError."""
    images, freed = 0, 0
    for verdict in _ORDER:
        while freed < too_much and in_time():
            rows = _oldest(database, verdict)
            if not rows:
                break
            done = []
            for number, refs in rows:
                if freed >= too_much:
                    break
                gone = [remove(data_dir, ref) for ref in refs]
                images += sum(size > 0 for size in gone)
                freed += sum(gone)
                done.append(number)
            with database.transaction() as connection:
                some = inspections.c.id.in_(done)
                connection.execute(update(inspections).where(some).values(image_ref=None, overlay_ref=None))
    return images, freed


def remove_unnamed(database: Database, data_dir: Path, run: str, too_much: int, in_time: Callable[[], bool]) -> int:
    """Remove images of earlier runs that no row names, as after the loss of a database; returns bytes freed.

    Only when others have to go too: whoever set a database aside may want its images. Raises StoreError.
    """
    freed = 0
    for path, size in sorted(_files(data_dir / FOLDER)):
        if freed >= too_much or not in_time():
            break
        owner, _, number = path.stem.removesuffix("-overlay").rpartition("-")
        if owner == run or not number.isdigit():
            continue
        # By the unique key, which has an index; the line is the name of the folder above the day's.
        key = (inspections.c.run == owner) & (inspections.c.line == path.parent.parent.name)
        query = select(inspections.c.id).where(key, inspections.c.frame_seq == int(number))
        with database.transaction() as connection:
            if connection.execute(query).first() is None and remove(data_dir, str(path.relative_to(data_dir))):
                freed += size
    return freed


def remove(data_dir: Path, ref: str) -> int:
    """Bytes freed; 0 if the image was gone or cannot be removed. A folder that becomes empty goes too."""
    path = data_dir / ref
    try:
        size = path.stat().st_size
        path.unlink()
    except OSError:
        return 0
    try:
        path.parent.rmdir()
    except OSError:
        return size
    return size


def _oldest(database: Database, verdict: Verdict) -> list[tuple[int, tuple[str, ...]]]:
    kept = or_(inspections.c.image_ref.is_not(None), inspections.c.overlay_ref.is_not(None))
    query = (
        select(inspections.c.id, inspections.c.image_ref, inspections.c.overlay_ref)
        .where(database.own(inspections), inspections.c.verdict == verdict, kept, ~HAS_FEEDBACK)
        .order_by(inspections.c.id)
        .limit(IMAGES_A_TURN)
    )
    with database.transaction() as connection:
        rows = connection.execute(query).all()
    return [(row.id, tuple(ref for ref in (row.image_ref, row.overlay_ref) if ref)) for row in rows]


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _files(Path(entry.path))
                else:
                    yield Path(entry.path), entry.stat(follow_symlinks=False).st_size
    except OSError:
        return
