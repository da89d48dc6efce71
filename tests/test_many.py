import json

import pytest

from spt_explain.errors import NotTracksError, SptError
from spt_explain.many import InputResult, Listener, Run
from spt_explain.readers import FoundInput


class Counted(Run[str, InputResult]):
    """Counts letters; what begins with a dot is no text, what is empty can't be counted."""

    made = InputResult
    done_in_words = "counted"

    def read(self, one):
        if one.name.startswith("."):
            raise NotTracksError(f"{one.name} is no text")
        return one.name

    def work(self, what, result):
        if what.startswith("0") or what == "a0":
            raise SptError(f"{what} holds a zero", exit_code=1)
        result.report["letters"] = len(what)

    def settings(self):
        return {"letters": "all"}


def go(*names, explicit=True, listener=None):
    return Counted([], listener).go([FoundInput(name, explicit) for name in names])


def test_one_that_fails_stops_no_other_and_all_are_heard_of():
    heard = []

    class Heard(Listener):
        def reading(self, name, index, total):
            heard.append((name, index, total))

        def finished(self, result):
            heard.append((result.name, result.done))

    results = go("ab", "a0", "abc", listener=Heard())
    assert [result.report.get("letters") for result in results] == [2, None, 3]
    assert [result.failed for result in results] == [False, True, False]
    assert heard == [
        ("ab", 0, 3), ("ab", True), ("a0", 1, 3), ("a0", False), ("abc", 2, 3), ("abc", True),
    ]  # fmt: skip


def test_what_holds_something_else_is_skipped_in_a_folder_and_refused_by_name():
    found = [FoundInput("a", True), FoundInput(".b", False), FoundInput(".c", True)]
    results = Counted([], None).go(found)
    assert [result.skipped for result in results] == [False, True, False]
    assert [result.failed for result in results] == [False, False, True]


def test_when_none_is_done_the_first_failure_says_why():
    with pytest.raises(SptError, match=r"^0 holds a zero$") as one:
        go("0")
    assert one.value.exit_code == 1
    with pytest.raises(SptError, match="none of 2 files could be counted; the first: 0 holds"):
        go("0", "00")
    with pytest.raises(SptError, match="is no text"):
        go(".a", explicit=False)


def test_the_provenance_holds_what_is_needed_to_run_it_again(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"abc")
    run = Counted(["spt-explain", "caf\udce9"], None)
    made = json.loads(json.dumps(run.provenance(run.go([FoundInput(str(path), True)]))))
    assert made["program"] == "spt-explain"
    assert made["command"] == ["spt-explain", "caf\\xe9"]
    assert made["letters"] == "all"
    (one,) = made["inputs"]
    assert one["path"] == str(path)
    assert one["bytes"] == 3
    # of "abc", FIPS 180-4, appendix B.1
    assert one["sha256"].startswith("ba7816bf8f01cfea")
    assert {"version", "created", "python", "platform", "numpy", "pandas"} <= set(made)
