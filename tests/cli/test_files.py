"""Files are written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from windtunnel.cli.files import check_new_folder, check_readable, check_writable, write_whole
from windtunnel.errors import InvalidInputError


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("old")
    write_whole(file, "new µ", "--html")
    assert file.read_text(encoding="utf-8") == "new µ"
    assert list(tmp_path.iterdir()) == [file]
    assert stat.S_IMODE(file.stat().st_mode) & 0o600 == 0o600


def test_what_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "report.html"
    file.write_text("old")

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InvalidInputError, match="cannot be written: No space left on device"):
        write_whole(file, "new", "--html")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for bad in (tmp_path, tmp_path / "none" / "x", file / "x"):
        with pytest.raises(InvalidInputError):
            check_writable(bad, "--html")
    for bad in (file, file / "x"):
        with pytest.raises(InvalidInputError):
            check_new_folder(bad, "--deploy")
    check_new_folder(tmp_path / "a" / "b", "--deploy")
    check_new_folder(tmp_path, "--deploy")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for bad in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(InvalidInputError):
            check_readable(bad, "FILE")
    if os.geteuid() != 0:  # root reads everything
        secret = tmp_path / "secret.csv"
        secret.write_text("")
        secret.chmod(0)
        with pytest.raises(InvalidInputError, match="cannot be read"):
            check_readable(secret, "FILE")
