"""Names that lie beside images and are none: the one list of the hot folder and of `calibrate`.

Told by name alone, because a system that leaves such files opens and locks them as well.
"""

from __future__ import annotations

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"})

# Whoever writes under such a name renames the file when it is whole.
_UNFINISHED_SUFFIXES = (
    *(".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".opdownload", ".download", ".upload"),
    *(".uploading", ".incomplete", ".inprogress", ".writing", ".copying", ".aria2", ".swp", ".swx", ".lock", "~"),
)
_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "icon\r"})
# What Windows and macOS keep in a second stream of a file, where a copy made a file of it.
_SYSTEM_SUFFIXES = (":zone.identifier", ".zone.identifier", ":zone.identifier:$data", ":afp_afpinfo", ":afp_resource")
# What cameras and their software write beside an image.
_COMPANION_SUFFIXES = (".json", ".xml", ".xmp", ".trg", ".md5", ".sha1", ".sha256", ".ini", ".lnk", ".url")
_SYSTEM_FOLDERS = frozenset(
    {
        *("@eadir", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "recycler", "system volume information"),
        *("__macosx", "lost+found"),
    }
)


def is_unfinished(name: str) -> bool:
    """Hidden, or on its way: a transfer that is not over, an editor's copy, an Office lock."""
    lower = name.lower()
    wrapped = lower.startswith("#") and lower.endswith("#") and len(lower) > 1
    return lower.startswith((".", "~$")) or lower.endswith(_UNFINISHED_SUFFIXES) or wrapped


def is_system_file(name: str) -> bool:
    """Left by an operating system or a file server."""
    lower = name.lower()
    return lower in _SYSTEM_FILES or lower.endswith(_SYSTEM_SUFFIXES)


def is_side_file(name: str) -> bool:
    """A system's, or one that tells of an image or of its arrival."""
    return is_system_file(name) or name.lower().endswith(_COMPANION_SUFFIXES)


def is_system_folder(name: str) -> bool:
    """Where a system keeps thumbnails, deleted files or snapshots: copies of images that nobody handed in."""
    return name.lower() in _SYSTEM_FOLDERS
