import pytest
from hypothesis import given
from hypothesis import strategies as st

from spt_explain.diffusion.classes import CLASS_NAMES
from spt_explain.diffusion.mixture import parse_mixture
from spt_explain.errors import SptError


def test_classes_and_shares_are_read() -> None:
    assert parse_mixture("subfbm") == {"SubFBM": 1.0}
    assert parse_mixture("SubFBM:0.3,BM:0.7") == {"SubFBM": 0.3, "BM": 0.7}
    assert parse_mixture("bm:1, suplw:3") == {"BM": 0.25, "SupLW": 0.75}
    assert parse_mixture("BM,SUBCTRW") == {"BM": 0.5, "SubCTRW": 0.5}
    assert parse_mixture("ALL") == dict.fromkeys(CLASS_NAMES, 1 / 8)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SubFBN", "Did you mean SubFBM?"),
        ("BM,", "an empty name is no class: expected SubATTM"),
        ("BM,bm", "BM is named twice"),
        ("BM:0.5,SubFBM", "not SubFBM"),
        ("BM:0", "'BM:0' was not understood"),
        ("BM:x", "above 0"),
        ("BM:", "above 0"),
        ("BM:inf", "above 0"),
        ("all,BM", "'all' is no class"),
        ("immobile", "immobile=SHARE"),
        ("tension", "'tension' is no class"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, said: str) -> None:
    with pytest.raises(SptError) as refused:
        parse_mixture(text)
    assert said in str(refused.value)


@given(st.text(max_size=20))
def test_any_text_is_a_mixture_or_refused(text: str) -> None:
    try:
        shares = parse_mixture(text)
    except SptError:
        return
    assert sum(shares.values()) == pytest.approx(1)
    assert set(shares) <= set(CLASS_NAMES)
