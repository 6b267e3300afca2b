"""What verifies needs all of the configuration: `sources release` believes nobody where a secret is not set."""

import pytest
from cli_program import TEXT, FakeProgram


def test_release_needs_the_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    program = FakeProgram(text=TEXT.replace("hunter2-hunter2", "${NOT_SET}"))
    assert program.cli("sources", "release", "shop") == 1
    assert "the environment variable NOT_SET is not set" in capsys.readouterr().err
    assert program.cli("sources", "rejections", "shop") == 0
    assert program.cli("sources", "list") == 0
