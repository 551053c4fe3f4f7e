"""Read Parquet files a few rows at a time: memory holds the file and the columns of one row group, never all rows."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from groundup.errors import BadInput, first_line

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

BATCH_ROWS = 1000


def columns(data: bytes, name: str) -> list[str]:
    """Return the names of the columns of a Parquet file.

    Raises:
        BadInput: it is not a Parquet file.
    """
    return list(_open(data, name).schema_arrow.names)


def rows(data: bytes, name: str, wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file, with the wanted columns; the others are not read.

    Raises:
        BadInput: the file is damaged.
    """
    import pyarrow

    number = 0
    try:
        for batch in _open(data, name).iter_batches(batch_size=BATCH_ROWS, columns=list(wanted)):
            for row in batch.to_pylist():
                number += 1
                yield row
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise BadInput(
            f"{name} is damaged after row {number} ({first_line(error)}); expected a whole Parquet file: write it "
            f"again."
        ) from error


def _open(data: bytes, name: str) -> "ParquetFile":
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise BadInput(
            f"{name} needs the package pyarrow, which is not installed; expected it for Parquet files: "
            f"pip install 'groundup[pipeline]'"
        ) from error
    try:
        return ParquetFile(pyarrow.BufferReader(data))
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise BadInput(
            f"{name} is not a Parquet file ({first_line(error)}); expected one: write it again."
        ) from error
