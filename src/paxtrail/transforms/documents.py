"""Documents of entities as rows, made of their states by the function that reads use (core/views.py): still sealed, timeless."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import orjson
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from paxtrail.core import views
from paxtrail.core.attributes import AttributeTable

_RENDERED = pa.schema([("entity", pa.string()), ("key", pa.string()), ("epoch", pa.int64()), ("document", pa.string())])


def rendered(states: DataFrame, tables: Mapping[str, AttributeTable]) -> DataFrame:
    """(entity, key, epoch, document as JSON text) of flights, bags, journeys and orders."""
    return states.select("entity", "key", "epoch", "state").mapInArrow(
        _documents(tables), "entity string, key string, epoch bigint, document string"
    )


def parsed(documents: DataFrame) -> DataFrame:
    """Rows of silver.documents."""
    return documents.withColumn("document", F.parse_json("document"))


def _documents(tables: Mapping[str, AttributeTable]) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def make(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = [{**row, "document": _document(row["entity"], row["key"], row["state"], tables)} for row in batch.to_pylist()]
            yield pa.RecordBatch.from_pylist(rows, schema=_RENDERED)

    return make


def _document(entity: str, key: str, state: str, tables: Mapping[str, AttributeTable]) -> str:
    return orjson.dumps(views.document(entity, key, orjson.loads(state), tables[entity]), option=orjson.OPT_SORT_KEYS).decode()
