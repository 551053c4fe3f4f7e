import pytest

from groundup.monitoring.config import PolicyConfig
from groundup.monitoring.policy import counted, due

POLICY = PolicyConfig(violations=2, windows=3)


def results(pattern: str) -> list[dict[str, object]]:
    """Return one window per sign, x with an alarm, named by its place."""
    return [{"window": str(i), "violation": sign == "x"} for i, sign in enumerate(pattern)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", []),
        (".", []),
        ("x", []),
        ("xx", ["0", "1"]),
        ("x.x", ["0", "2"]),
        ("x..x", []),
        ("xxx..", []),  # it was due before
        ("x.xx", ["2", "3"]),
    ],
)
def test_two_of_the_last_three(pattern: str, expected: list[str]) -> None:
    assert due(results(pattern), [], POLICY) == expected


def test_windows_of_an_earlier_firing_do_not_count_again() -> None:
    fired = [{"windows": ["0", "1"]}]
    assert due(results("xx"), fired, POLICY) == []
    assert due(results("xxx"), fired, POLICY) == []
    assert due(results("xxx.x"), fired, POLICY) == ["2", "4"]
    assert [window["window"] for window in counted(results("xxx.x"), fired, POLICY)] == ["2", "3", "4"]


def test_each_alarm_is_used_at_most_once_in_a_long_history() -> None:
    pattern = "x.xx..xxxx.x.xx"
    firings: list[dict[str, list[str]]] = []
    used: list[str] = []
    for length in range(1, len(pattern) + 1):
        so_far = results(pattern[:length])
        if windows := due(so_far, firings, POLICY):
            used += windows
            firings.append(
                {"windows": [str(window["window"]) for window in counted(so_far, firings, POLICY)]}
            )
    assert len(used) == len(set(used)) and all(pattern[int(window)] == "x" for window in used)
    assert len(firings) == 4
