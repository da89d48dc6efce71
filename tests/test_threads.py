import threading

import pytest

from spt_explain.threads import in_order


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_results_come_in_order(jobs):
    assert list(in_order(lambda i: i * i, range(50), jobs=jobs)) == [i * i for i in range(50)]


@pytest.mark.parametrize("jobs", [1, 3])
def test_no_more_is_taken_than_may_wait(jobs):
    taken, given = [], []

    def items():
        for i in range(40):
            taken.append(i)
            yield i

    for i in in_order(lambda i: i, items(), jobs=jobs, ahead=4):
        given.append(i)
        assert len(taken) - len(given) <= 4


@pytest.mark.parametrize("jobs", [1, 3])
def test_an_error_comes_in_its_turn_and_what_has_not_begun_is_dropped(jobs):
    begun = []

    def work(i):
        begun.append(i)
        if i == 2:
            raise ValueError(i)
        return i

    seen = []
    with pytest.raises(ValueError, match="2"):
        seen.extend(in_order(work, range(1000), jobs=jobs))
    assert len(begun) < 1000


def test_with_one_job_the_calling_thread_does_it_all():
    threads = set(in_order(lambda _: threading.get_ident(), range(5), jobs=1))
    assert threads == {threading.get_ident()}
