from pathlib import Path

import pytest

from groundup.datasets.catalogue import StudyDataConfig
from groundup.errors import BadInput
from groundup.text.jsonl import read_jsonl
from groundup.tracking import silent
from pipelines.study import download

CATALOGUE = """
mine: {role: spam, title: t, licence: l, citation: c, locations: [{url: 'file:own/mine.csv', reader: csv}]}
"""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyDataConfig:
    monkeypatch.chdir(tmp_path)
    Path("catalogue.yaml").write_text(CATALOGUE)
    Path("own").mkdir()
    Path("own/mine.csv").write_text("label,text\nham,hi\nspam,WIN\n")
    return StudyDataConfig(Path("catalogue.yaml"), datasets=("mine",))


def test_writes_the_canonical_file_of_the_dataset_by_its_name(data: StudyDataConfig) -> None:
    download.main(silent(), "mine", Path("own"), Path("raw/mine.jsonl"), Path("kept"), data=data)
    assert [row["label"] for row in read_jsonl(Path("raw/mine.jsonl"))] == ["ham", "spam"]


def test_an_unknown_name_is_an_error(data: StudyDataConfig) -> None:
    with pytest.raises(
        BadInput,
        match=r"data\.datasets: 'yours' is not in the catalogue catalogue\.yaml; .* mine: correct the name\.",
    ):
        download.main(silent(), "yours", Path("own"), Path("raw/yours.jsonl"), Path("kept"), data=data)
    assert not Path("raw").exists()
