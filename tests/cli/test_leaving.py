import sys
import threading

import pytest

from spt_explain import cli
from spt_explain.errors import SptError
from spt_explain.threads import thread_pool, threads_busy


class Left(Exception):  # noqa: N818 - it stands for the end of the process
    pass


@pytest.fixture
def left(monkeypatch):
    """What `os._exit` was called with, instead of the end of the tests."""
    codes = []

    def leave(code):
        codes.append(code)
        raise Left

    monkeypatch.setattr(cli.os, "_exit", leave)
    return codes


def main_that_raises(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(cli.group, "main", fail)


@pytest.mark.parametrize(("error", "code"), [(SptError("no"), 2), (KeyboardInterrupt(), 130)])
def test_who_leaves_after_an_error_does_not_wait_for_threads(
    monkeypatch, capsys, left, error, code
):
    monkeypatch.setattr(cli.sys, "argv", ["spt-explain"])
    monkeypatch.setattr(cli.atexit, "register", lambda *_: None)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    monkeypatch.delitem(sys.modules, "spt_explain.report.figure_processes", raising=False)
    main_that_raises(monkeypatch, error)
    enough = threading.Event()
    with thread_pool(1) as pool:
        pool.submit(enough.wait)
        assert threads_busy()
        try:
            with pytest.raises(Left):
                cli.main()
            with pytest.raises(SystemExit) as plain:  # a caller's process is not ours to end
                cli.main([])
        finally:
            enough.set()
    assert left == [code]
    assert plain.value.code == code
    assert not threads_busy()
    with pytest.raises(SystemExit):
        cli.main()
    assert left == [code]
