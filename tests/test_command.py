"""The command `ksim`."""

import ksim
from ksim.__main__ import main


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ksim {ksim.__version__}\n"


def test_help_names_every_command(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert "ksim --version" in text
    for command in ("launch", "plan", "curves"):
        assert f"\n  {command} " in text
