import time

import pytest

from spt_explain.clock import Clock, process_start


def test_every_second_has_one_name(monkeypatch):
    now = iter([10.0, 12.0, 15.0, 15.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    clock = Clock()
    clock.lap("reading")
    clock.lap("other", besides={"network": 2.0, "inputs": 0.5})
    clock.lap("reading")
    assert clock.seconds == {"reading": 2.5, "network": 2.0, "inputs": 0.5, "other": 0.5}
    assert sum(clock.seconds.values()) == pytest.approx(5.5)


def test_the_first_lap_may_have_begun_before():
    clock = Clock(started=time.perf_counter() - 100)
    clock.lap("start-up")
    assert clock.seconds["start-up"] == pytest.approx(100, abs=10)


def test_the_process_began_before_now_and_not_long_ago(monkeypatch):
    began = process_start()
    assert 0 < time.perf_counter() - began < 24 * 3600
    monkeypatch.setattr("spt_explain.clock.Path.read_text", lambda *_: "no such file")
    assert time.perf_counter() - process_start() == pytest.approx(time.process_time(), abs=1)
