import signal
import threading

import pytest

from spt_explain.training.interrupts import Interrupts


def test_the_first_is_noted_and_the_second_obeyed():
    with Interrupts() as interrupts:
        assert not interrupts.asked
        signal.raise_signal(signal.SIGINT)
        assert interrupts.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_someone_elses_handler_is_left_alone():
    heard = []
    signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
        assert heard == [1]
        assert not interrupts.asked
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_it_works_in_another_thread():
    entered = []

    def work():
        with Interrupts() as interrupts:
            entered.append(interrupts.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [False]
