"""`agent check` names each part that would not run."""

import socket

from agent.commands.check import check_all
from agent.config.sections import Config
from tests.factories.lines import FUSION, remember, section, write_profile
from tests.factories.streams import JpegCamera, capture_processes, jpeg


def test_check_names_what_is_wrong_with_a_memory(tmp_path):
    memory = remember(tmp_path / "m", range(2))
    write_profile(tmp_path, memory=memory.id, fusion=FUSION)
    other = remember(tmp_path / "other", range(2), backbone_sha256="0" * 64)

    def problems(folder) -> dict[str, str | None]:
        config = Config(
            agent={"data_dir": tmp_path / "var"}, mqtt={"url": "embedded://127.0.0.1:0"},
            web={"listen": "127.0.0.1:0"}, model={"device": "cpu"}, lines=(section(tmp_path, memory=folder),),
        )  # fmt: skip
        return {check.part: check.problem for check in check_all(config)}

    normal = problems(tmp_path / "m")
    assert normal["model"] is None
    assert normal["line belt: profile"] is None
    assert other.id[:12] in problems(tmp_path / "other")["line belt: profile"]
    assert str(tmp_path / "none") in problems(tmp_path / "none")["line belt: profile"]


def test_cameras_are_opened_as_a_run_opens_them_and_no_address_is_told(tmp_path, monkeypatch, capfd):
    write_profile(tmp_path)
    camera = JpegCamera(jpeg)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        silent = f"http://operator:s3cret@127.0.0.1:{mute.getsockname()[1]}/user=a&password=s3cret"
        monkeypatch.setenv("SILENT", silent)
        monkeypatch.setattr("agent.sources.camera.OPEN_S", 0.5)
        sources = {"belt": {"url": camera.url}, "lost": {"url_env": "SILENT"}, "desk": {"device": 1023}}
        lines = tuple(
            section(tmp_path, name=name, source={"type": "camera", **source}, mode="learning", profile=None)
            for name, source in sources.items()
        )
        config = Config(
            agent={"data_dir": tmp_path / "var"}, mqtt={"url": "embedded://127.0.0.1:0"},
            web={"listen": "127.0.0.1:0"}, model={"device": "cpu"}, lines=lines,
        )  # fmt: skip
        found = {check.part: check.problem for check in check_all(config)}
    camera.close()
    assert found["line belt: source"] is None
    assert "address in SILENT: " in found["line lost: source"]
    assert found["line desk: source"] == "line desk: device 1023: cannot be opened"
    assert "s3cret" not in str(found) + "".join(capfd.readouterr())
    assert capture_processes() == set()
