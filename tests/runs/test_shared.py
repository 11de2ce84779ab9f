"""A machine that does not share the store, its locks or the version says so before it makes anything."""

import fcntl
from dataclasses import replace

import pytest

from spillover.core.errors import SpilloverError, StorageError
from spillover.runs.shared import shared
from spillover.runs.store import Store


def test_a_shared_store_is_opened_and_its_sign_goes(tmp_path):
    with shared(Store(tmp_path)) as seen:
        assert seen.open().root == tmp_path
    assert not list((tmp_path / "locks").iterdir())


def test_another_folder_under_the_same_path(tmp_path):
    store = Store(tmp_path / "here")
    with shared(store) as seen:
        for elsewhere in (tmp_path / "nowhere", Store(tmp_path / "other").root):
            with pytest.raises(StorageError, match=r"does not see the run store at .*; set SPILLOVER_HOME"):
                replace(seen, root=elsewhere).open()
    assert not (tmp_path / "nowhere").exists()


def test_locks_that_are_not_shared(tmp_path, monkeypatch):
    with shared(Store(tmp_path)) as seen:
        monkeypatch.setattr(fcntl, "flock", lambda handle, how: None)
        with pytest.raises(StorageError, match="does not see locks that other nodes hold"):
            seen.open()


def test_another_version(tmp_path):
    with shared(Store(tmp_path)) as seen, pytest.raises(SpilloverError, match=r"has Spillover .*, not 99"):
        replace(seen, version="99").open()
