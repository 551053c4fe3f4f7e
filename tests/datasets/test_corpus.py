from hypothesis import given
from hypothesis import strategies as st

from groundup.datasets.corpus import cut


@given(st.text(min_size=2), st.floats(0.01, 0.99))
def test_cut_loses_nothing_and_leaves_no_side_empty(text, val_fraction):
    train, val = cut({"id": "x", "messages": [text]}, val_fraction)
    assert train["messages"][0] + val["messages"][0] == text
    assert train["messages"][0] and val["messages"][0]


def test_cut_between_messages():
    train, val = cut({"id": "x", "messages": ["aaaa", "bbbb", "cc", "dd"]}, 0.3)
    assert (train["messages"], val["messages"]) == (["aaaa", "bbbb"], ["cc", "dd"])
