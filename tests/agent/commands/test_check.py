"""`agent check` names each part that would not run."""

import socket

import pytest
import yaml

from agent.commands.check import check_all
from agent.commands.inspect import inspect_files
from agent.config.sections import Config, ModelSection
from agent.pipeline.detector_loading import load_detector
from fbclip.artefacts.profile import Guarantee
from fbclip.artefacts.sees import FoundShare, Sees
from tests.factories.lines import FUSION, a_profile, remember, section, write_profile
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
        taken = {"listen": f"127.0.0.1:{mute.getsockname()[1]}", "slots": {"belt": 0}}
        plc = {"modbus": taken, "opcua": {"listen": "127.0.0.1:0"}}
        config = Config(
            agent={"data_dir": tmp_path / "var"}, mqtt={"url": "embedded://127.0.0.1:0"},
            web={"listen": "127.0.0.1:0"}, model={"device": "cpu"}, lines=lines, plc=plc,
        )  # fmt: skip
        found = {check.part: check.problem for check in check_all(config)}
    camera.close()
    assert found["line belt: source"] is None
    assert "address in SILENT: " in found["line lost: source"]
    assert "cannot be listened on: Address already in use" in found["plc.modbus"]
    assert found["plc.opcua"] is None
    assert found["line desk: source"] == "line desk: device 1023: cannot be opened"
    assert "s3cret" not in str(found) + "".join(capfd.readouterr())
    assert capture_processes() == set()


@pytest.mark.parametrize(
    ("edit", "promise"),
    [
        (lambda data: data, "at most 1% of normal units alarm (95% sure)"),
        (lambda data: data | {"threshold": 100.0}, "none (edited)"),
        (lambda data: {k: v for k, v in data.items() if k != "seal"},
         "at most 1% of normal units alarm (95% sure) (unsealed)"),
    ],
)  # fmt: skip
def test_check_inspect_and_log_say_what_a_profile_promises(tmp_path, caplog, edit, promise):
    detector = load_detector(ModelSection(device="cpu"))
    given = {"guarantee": Guarantee(false_alarm_rate=0.01, confidence=0.95)}
    row = FoundShare(what="large", found=29, total=30, low=0.83, high=1)
    calibration = a_profile(detector).calibration.model_copy(update=given)
    write_profile(tmp_path, calibration=calibration, sees=Sees(confidence=0.95, sizes=(row,), kinds=()))
    path = tmp_path / "p.yaml"
    path.write_text(yaml.safe_dump(edit(yaml.safe_load(path.read_text()))))
    config = Config(
        agent={"data_dir": tmp_path / "var"}, mqtt={"url": "embedded://127.0.0.1:0"}, web={"listen": "127.0.0.1:0"},
        model={"device": "cpu"}, lines=(section(tmp_path),),
    )  # fmt: skip
    checks = list(check_all(config))
    (check,) = (check for check in checks if check.part == "line belt: profile")
    assert (check.problem, check.guarantee) == (None, promise)
    # What it finds was measured at another threshold than that of an edited one.
    finds = "ok     line belt: finds 29 of 30 large painted defects"
    assert (finds in [check.text for check in checks]) == (promise != "none (edited)")
    assert check.text == f"ok     line belt: profile; guarantee: {promise}"
    assert ("edited after it was sealed" in caplog.text) == (promise == "none (edited)")
    (answer,) = inspect_files(detector, path, [tmp_path / "none.png"], None)
    assert answer.guarantee == promise
