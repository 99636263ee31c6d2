"""A ledger's file while a run writes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_triton.ledger import read_ledger
from pytest_triton.ledger.locked_file import FileUnusable, LockedFile
from pytest_triton.reports.ledger_writer import LedgerWriter
from support.ledger_strategies import job


def test_second_run_on_one_ledger_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    first, second = (LedgerWriter(path, job(name)) for name in ("one", "two"))
    first.start()
    with pytest.raises(FileUnusable, match="written by another run"):
        second.start()
    first._write()
    with pytest.raises(FileUnusable) as caught:
        second.start()
    assert "--triton-ledger" in caught.value.fix
    first.close(0)
    second.start()
    second.close(0)
    assert {one.name for one in read_ledger(path).jobs} == {"one", "two"}
    assert os.listdir(tmp_path) == ["ledger.json"]


def test_lock_ends_with_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "file"
    code = (
        "import sys; from pathlib import Path\n"
        "from pytest_triton.ledger.locked_file import LockedFile\n"
        f"file = LockedFile(Path({str(path)!r})); file.open(); file.write('x')\n"
        "print('held', flush=True); sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(FileUnusable):
            LockedFile(path).open()
    finally:
        holder.kill()
        holder.communicate()
    file = LockedFile(path)
    file.open()
    file.write("y")
    file.close()
    assert path.read_text() == "y"


def test_file_that_is_no_ledger_is_unlocked_and_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    path.write_text('{"mine": 1}')
    for _ in range(2):
        with pytest.raises(Exception, match="no ledger"):
            LedgerWriter(path, job()).start()
    assert path.read_text() == '{"mine": 1}'


def test_new_file_has_the_usual_permissions_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    file = LockedFile(tmp_path / "deep" / "file")
    file.open()
    file.write("x")
    assert file.path.stat().st_mode == plain.stat().st_mode
    file.path.chmod(0o640)
    file.write("y")
    file.close()
    assert file.path.stat().st_mode & 0o777 == 0o640


def test_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="can't be written"):
        LockedFile(tmp_path).open()


def test_file_that_is_opened_again_is_locked_again(tmp_path: Path) -> None:
    file = LockedFile(tmp_path / "file")
    for text in ("one", "two"):
        file.open()
        with pytest.raises(FileUnusable):
            LockedFile(file.path).open()
        file.write(text)
        with pytest.raises(FileUnusable):
            LockedFile(file.path).open()
        file.close()
        file.close()
    assert file.path.read_text() == "two"
    other = LockedFile(file.path)
    other.open()
    other.close()
