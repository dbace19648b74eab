"""The kernel's table says which file system holds a path, and whether others write there unheard."""

from pathlib import Path

import pytest

from agent.sources.mounts import Mount, is_below, mount_of, planned_mount

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
        ("/srv/x", "/", "ext4", False),
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


FSTAB = """\
# <file system> <mount point> <type>
UUID=1-2 / ext4 defaults 0 1
UUID=3-4 none swap sw 0 0
//server/line\t/mnt/line\tcifs\tnoauto,credentials=/etc/secret 0 0
host: /mnt/with\\040space fuse.sshfs defaults 0 0
torn /mnt
"""


@pytest.mark.parametrize(
    ("path", "point", "kind"),
    [
        ("/srv/x", "/", "ext4"),
        ("/mnt/line/in", "/mnt/line", "cifs"),
        ("/mnt/with space", "/mnt/with space", "fuse.sshfs"),
    ],
)
def test_fstab_names_the_mount_that_a_path_should_be_on(path, point, kind):
    assert planned_mount(Path(path), FSTAB) == Mount(Path(point), kind)
    assert planned_mount(Path(path), "") is None


@pytest.mark.parametrize(
    ("now", "wanted", "below"),
    [
        (("/", "ext4"), ("/mnt/line", "nfs4"), True),
        # A disk of its own that is not mounted is missed as much as a share.
        (("/", "ext4"), ("/data", "ext4"), True),
        (("/mnt/line", "nfs"), ("/mnt/line", "nfs4"), False),
        (("/data", "xfs"), ("/data", "ext4"), False),
        (("/mnt/line/in", "tmpfs"), ("/mnt/line", "nfs4"), False),
        # A container, whose volume is there and the share below it is not; and a share that waits for its server.
        (("/mnt/line", "ext4"), ("/mnt/line", "nfs4"), True),
        (("/mnt/line", "autofs"), ("/mnt/line", "nfs4"), True),
        (("/", "overlay"), ("/", "ext4"), False),
    ],
)
def test_what_lies_under_a_mount_that_is_missing_is_told_from_the_mount(now, wanted, below):
    assert is_below(Mount(Path(now[0]), now[1]), Mount(Path(wanted[0]), wanted[1])) is below
