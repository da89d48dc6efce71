from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from spt_explain.report.names import numbered, with_parents


def test_a_number_takes_nobody_elses_name():
    paths = [Path(f"x/{name}.reasons") for name in ("a", "a", "a-2", "b", "A")]
    assert [path.name for path in numbered(paths, ".reasons")] == [
        "a.reasons", "a-3.reasons", "a-2.reasons", "b.reasons", "A-4.reasons",
    ]  # fmt: skip


@given(st.lists(st.sampled_from(["a", "A", "a-2", "a-2-2", "a-3", "b"]), max_size=12))
def test_no_two_are_one_file_and_the_first_keeps_its_name(names):
    paths = [Path("x") / f"{name}.csv" for name in names]
    found = numbered(paths, ".csv")
    assert len({path.name.casefold() for path in found}) == len(names)
    seen = set()
    for before, after in zip(paths, found, strict=True):
        assert after.suffix == ".csv"
        if before.name.casefold() not in seen:
            assert after == before
        seen.add(before.name.casefold())


def test_folders_go_in_front_of_the_name():
    names = ["/lab/x/a.csv", "../a.csv", "a.csv"]
    paths = [Path("out/a.csv.reasons")] * 3
    assert with_parents(names, paths, Path("out")) == [
        Path("out/lab_x_a.csv.reasons"), Path("out/up_a.csv.reasons"), Path("out/a.csv.reasons"),
    ]  # fmt: skip
