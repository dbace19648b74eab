"""The one list of names that are no images."""

import pytest

from fbclip.images.side_files import is_side_file, is_system_file, is_system_folder, is_unfinished


@pytest.mark.parametrize("name", ["a.png", "A.TIFF", "lock.png", "~a.png", "#1.png", "json.bmp", "tmp.jpg"])
def test_images_are_taken(name):
    assert not (is_unfinished(name) or is_side_file(name))


@pytest.mark.parametrize("name", [".a.png", "a.png.filepart", "a.png.CRDOWNLOAD", "a.png~", "~$a.png", "#a.png#"])
def test_unfinished(name):
    assert is_unfinished(name)


@pytest.mark.parametrize("name", ["Thumbs.db", "DESKTOP.INI", "a.png:Zone.Identifier"])
def test_files_of_systems(name):
    assert is_system_file(name) and is_side_file(name)


@pytest.mark.parametrize("name", ["a.json", "a.png.xmp", "lot.trg"])
def test_files_that_tell_of_images(name):
    assert is_side_file(name) and not is_system_file(name)


def test_folders_of_systems():
    assert all(map(is_system_folder, ("@eaDir", "$RECYCLE.BIN", "System Volume Information", "__MACOSX")))
    assert not is_system_folder("good")
