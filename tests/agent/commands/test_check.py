"""`agent check` names each part that would not run."""

from agent.commands.check import check_all
from agent.config.sections import Config
from tests.factories.lines import FUSION, remember, section, write_profile


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
