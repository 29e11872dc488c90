"""Files written whole or not at all, with the owner's wishes heeded."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from windtunnel.errors import WindtunnelError
from windtunnel.port.atomic import replaced, write_whole


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / ("n" * 252 + ".py")  # the longest name that a folder takes
    path.write_bytes(b"before")
    return path


def alone(file: Path) -> bool:
    return [p.name for p in file.parent.iterdir()] == [file.name]


def test_a_file_is_replaced_and_keeps_its_permissions(file: Path) -> None:
    file.chmod(0o640)
    assert replaced(file, b"before", b"after") == ""
    assert file.read_bytes() == b"after"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert alone(file)


def test_what_was_changed_meanwhile_stays(file: Path) -> None:
    assert "changed meanwhile" in replaced(file, b"something else", b"after")
    link = file.parent / "link.py"
    link.symlink_to(file)
    assert "changed meanwhile" in replaced(link, b"before", b"after"), "a link has come to lie there"
    assert file.read_bytes() == b"before"
    file.unlink()
    assert replaced(file, b"before", b"after") == "No such file or directory"


def test_what_is_read_only_stays(file: Path) -> None:
    file.chmod(0o444)
    assert "read-only" in replaced(file, b"before", b"after")
    assert file.read_bytes() == b"before"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_end_in_the_middle_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(_descriptor: int) -> None:
        raise error

    monkeypatch.setattr("os.fsync", fail)
    if isinstance(error, OSError):
        assert replaced(file, b"before", b"after") == "No space left on device"
        with pytest.raises(WindtunnelError, match="cannot be written: No space left"):
            write_whole(file, "after")
    else:
        with pytest.raises(KeyboardInterrupt):
            replaced(file, b"before", b"after")
    assert file.read_bytes() == b"before"
    assert alone(file)


def test_a_new_file_has_the_permissions_that_new_files_have(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        write_whole(tmp_path / "new", "\udcff")
    finally:
        os.umask(mask)
    assert (tmp_path / "new").read_text(encoding="utf-8") == "\\udcff"
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
