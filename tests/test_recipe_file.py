import pytest
from pydantic import Field

from spt_explain.errors import SptError
from spt_explain.recipe_file import RecipeFile, Strict


class Inner(Strict):
    rate: float = Field(1.0, gt=0)


class Example(RecipeFile):
    name: str = "example"
    inner: Inner = Field(default_factory=Inner)


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path):
    path = tmp_path / "a.toml"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_text('name = "µ"\n[inner]\nrate = 2\n', encoding=encoding)
        assert Example.load(path) == Example(name="µ", inner=Inner(rate=2))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nam = 1", "nam: Extra inputs"),
        ("[inner]\nrate = 0", r"inner\.rate: .*greater than 0"),
        ("[inner]\nrate = inf", r"inner\.rate: .*finite"),
        ("name = ", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tmp_path, text, said):
    path = tmp_path / "a.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SptError, match=said) as caught:
        Example.load(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SptError, match="was not found"):
        Example.load(tmp_path / "none.toml")
    with pytest.raises(SptError, match="not valid TOML"):
        Example.load(tmp_path)
