"""The kernel's table says which file system holds a path, and whether others write there unheard."""

from pathlib import Path

import pytest

from agent.sources.mounts import mount_of

TABLE = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /mnt/line rw,relatime shared:5 - nfs4 server:/line rw,vers=4.2
31 30 0:41 / /mnt/line/local rw - tmpfs tmpfs rw
32 22 0:42 / /mnt/with\\040space rw master:1 - fuse.sshfs host: rw
33 22 0:43 / /mnt/stick rw - fuseblk /dev/sdb1 rw
34 22 0:44 / /mnt/line/local rw - cifs //server/x rw
torn line
"""


@pytest.mark.parametrize(
    ("path", "point", "kind", "remote"),
    [
        ("/home/x", "/", "ext4", False),
        ("/mnt/line/in", "/mnt/line", "nfs4", True),
        ("/mnt/line", "/mnt/line", "nfs4", True),
        ("/mnt/lines", "/", "ext4", False),
        ("/mnt/with space/in", "/mnt/with space", "fuse.sshfs", True),
        ("/mnt/stick/in", "/mnt/stick", "fuseblk", False),
        # A later mount hides an earlier one at the same point.
        ("/mnt/line/local/in", "/mnt/line/local", "cifs", True),
    ],
)
def test_the_deepest_and_latest_mount_holds_a_path(path, point, kind, remote):
    found = mount_of(Path(path), TABLE)
    assert (found.point, found.kind, found.remote) == (Path(point), kind, remote)


def test_the_real_table_knows_this_folder(tmp_path):
    assert mount_of(tmp_path) is not None and mount_of(tmp_path, "") is None
