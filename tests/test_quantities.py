"""What people read. The parsers are tested where they are used, in tests/config."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.quantities import format_share


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0.0 %"),
        (0, 7, "0.0 %"),
        (1, 10**12, "< 0.1 %"),
        (999, 10**6, "< 0.1 %"),
        (1000, 10**6, "0.1 %"),
        (1, 3, "33.3 %"),
        (2, 3, "66.6 %"),
        (1, 10, "10.0 %"),
        (9999, 10**4, "99.9 %"),
        (10**18 - 1, 10**18, "99.9 %"),
        (10**18, 10**18, "100.0 %"),
    ],
)
def test_shares(part: int, whole: int, text: str) -> None:
    assert format_share(part, whole) == text


@given(st.integers(1, 1 << 63), st.data())
def test_all_is_all_and_something_is_something(whole: int, data: st.DataObject) -> None:
    part = data.draw(st.integers(0, whole))
    text = format_share(part, whole)
    assert (text == "100.0 %") == (part == whole)
    assert (text == "0.0 %") == (part == 0)
    assert float(text.removeprefix("< ").removesuffix(" %")) <= max(100 * part / whole, 0.1)
