"""Datasets that a run read or wrote, as MLflow identifies them: by name and digest. Rows are not copied."""

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from groundup.text.jsonl import read_jsonl
from groundup.tracking.pointers import md5_of

if TYPE_CHECKING:
    import pandas

DIGEST_CHARACTERS = 8  # as in MLflow's own digests


class Dataset(NamedTuple):
    """A dataset that MLflow knows; MLflow groups the metrics that name it."""

    name: str
    digest: str


def entity_of_frame(frame: "pandas.DataFrame", name: str, source: str) -> Any:
    """Return MLflow's record of a frame: its schema, size and digest."""
    import mlflow.data

    with warnings.catch_warnings():  # about the type of the source, and MLflow's own use of pandas
        warnings.simplefilter("ignore")
        return mlflow.data.from_pandas(frame, source=_source(source), name=name)._to_mlflow_entity()


def entity_of_file(path: Path, name: str, source: str) -> Any:
    """Return MLflow's record of a file: schema, size and digest of its rows for JSON Lines; otherwise its digest.

    Raises:
        BadInput: the file has the suffix .jsonl but is not valid JSON Lines.
    """
    if path.suffix == ".jsonl":
        import pandas

        # MLflow cannot hash lists and mappings
        rows = [
            {
                key: value if isinstance(value, str | int | float) else json.dumps(value)
                for key, value in row.items()
            }
            for row in read_jsonl(path)
        ]
        return entity_of_frame(pandas.DataFrame(rows), name, source)
    from mlflow.data.meta_dataset import MetaDataset

    digest = md5_of(path)[:DIGEST_CHARACTERS]
    return MetaDataset(_source(source), name=name, digest=digest)._to_mlflow_entity()


def _source(location: str) -> Any:
    """Return a source with a location such as pypi:… as a tag, because MLflow resolves only URLs and paths."""
    from mlflow.data.code_dataset_source import CodeDatasetSource

    return CodeDatasetSource(tags={"location": location})
