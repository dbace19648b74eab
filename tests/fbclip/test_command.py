"""How every command ends: a usage error is one line that names the way out, its exit code is 2."""

import pytest

from fbclip.cli import main


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["bench", "--precision", "float8"], "error: Invalid value for '--precision': 'float8' is not one of "),
        (["bench", "--fast"], "error: No such option: --fast"),
        (["bench", "--repeats", "0"], "error: Invalid value for '--repeats': "),
        (["bnch"], "error: No such command 'bnch'."),
    ],
)
def test_a_usage_error_is_one_line_that_names_the_way_out(monkeypatch, capsys, arguments, line):
    monkeypatch.setattr("sys.argv", ["fbclip", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(line)
    assert said.endswith("--help`.\n")
    assert said.count("\n") == 1
