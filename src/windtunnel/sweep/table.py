"""The rows of a sweep as one Parquet file, which takes the old one's place only when it is whole."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from windtunnel import __version__
from windtunnel.errors import InvalidInputError, UnsupportedError
from windtunnel.sweep.columns import COLUMNS
from windtunnel.sweep.journal import Row

BATCH = 4096


def check_parquet() -> None:
    """Raises UnsupportedError where pyarrow is not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        raise UnsupportedError("sweep needs pyarrow; install it with: pip install 'windtunnel[sweep]'")


def write_parquet(path: Path, rows: Iterable[Row]) -> int:
    """Writes the rows with the columns of ``COLUMNS``, and returns how many there are. Raises InvalidInputError."""
    check_parquet()
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"text": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    schema = pa.schema([(name, types[kind]) for name, kind in COLUMNS], {"windtunnel": __version__})
    count = 0
    new = path.with_name(f"{path.name}.new")
    try:
        with pq.ParquetWriter(new, schema, compression="zstd") as writer:
            for batch in _batches(iter(rows)):
                writer.write_table(pa.Table.from_pylist(batch, schema))
                count += len(batch)
        new.replace(path)
    except OSError as error:
        raise InvalidInputError("--out", f"{path} cannot be written: {error.strerror or error}")
    finally:
        new.unlink(missing_ok=True)
    return count


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, BATCH)):
        yield batch
