from pathlib import Path

import pytest

from groundup.errors import BadInput
from groundup.files import write_json
from groundup.monitoring.results import NEEDED, read_results


def test_results_are_read_in_the_order_in_which_they_were_checked(tmp_path: Path) -> None:
    times = {"b": "2026-11-02", "a": "2026-11-03", "c": "2026-11-01"}
    for window, day in times.items():
        facts = {"window": window, "checked": f"{day}T04:00:00.000+00:00"}
        write_json(tmp_path / f"{window}.json", dict.fromkeys(NEEDED) | facts)
    (tmp_path / "firings.jsonl").write_text("{}\n")
    assert [result["window"] for result in read_results(tmp_path)] == ["c", "b", "a"]
    assert read_results(tmp_path / "nothing") == []


@pytest.mark.parametrize("content", ["{", "[]", '{"window": "a"}', "1"])
def test_other_files_are_refused_in_one_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(BadInput, match=r"a\.json holds no result of the monitor"):
        read_results(tmp_path)
