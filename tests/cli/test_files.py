"""Places that cannot be read or written are named before any work is done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from windtunnel.cli.files import check_new_folder, check_readable, check_writable
from windtunnel.errors import InvalidInputError


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for bad in (tmp_path, tmp_path / "none" / "x", file / "x"):
        with pytest.raises(InvalidInputError):
            check_writable(bad, "--html")
    for bad in (file, file / "x", tmp_path):
        with pytest.raises(InvalidInputError):
            check_new_folder(bad, "--deploy")
    check_new_folder(tmp_path / "a" / "b", "--deploy")
    (tmp_path / "empty").mkdir()
    check_new_folder(tmp_path / "empty", "--deploy")


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


def test_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for bad in (pipe, Path(os.devnull)):
        with pytest.raises(InvalidInputError, match="no ordinary file"):
            check_writable(bad, "--output")
    assert pipe.is_fifo()
