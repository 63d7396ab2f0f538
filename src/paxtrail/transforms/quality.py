"""Rows of a table with what is wrong with each, so that a quality suite has only to ask for nulls: a check is null where the row passes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from paxtrail.core.schemas import SEALED_MARK, EventSchema, Field
from paxtrail.tables.contracts import Table

KEY = "key_of_row"
OFFENCE = "offence_"
UNSEALED = "unsealed"


def judged(rows: DataFrame, table: Table) -> DataFrame:
    """The contract's columns, the key as one column, and per check of the contract a column `offence_<check>`: its name, or null.

    Columns that are neither bounded nor counted on are left out: nobody looks at them.
    """
    key = F.struct(*table.key).cast("string") if len(table.key) > 1 else F.col(table.key[0])
    offences = [
        F.when(~F.expr(check.holds), F.lit(check.name)).alias(OFFENCE + check.name)  # a null condition is no offence
        for check in table.checks
    ]
    return rows.withColumns({KEY: key}).select("*", *offences)


def with_unsealed(rows: DataFrame, schemas: Mapping[str, EventSchema]) -> DataFrame:
    """Rows of silver.events with `unsealed`: null, or the first declared personal field (its path, never its value) that is not sealed."""
    paths: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for type_, schema in sorted(schemas.items()):
        for outer, inner in _personal(schema.fields):
            paths[outer, inner].append(type_)
    found = [
        F.when(F.col("type").isin(types) & _clear(outer, inner), F.lit(outer + inner)) for (outer, inner), types in sorted(paths.items())
    ]
    return rows.withColumn(UNSEALED, F.coalesce(*found) if found else F.lit(None).cast("string"))


def _personal(fields: Mapping[str, Field]) -> Iterator[tuple[str, str]]:
    """(path of the value, "") or, inside a list, (path of the list, name of the member) of every personal field."""
    for name, field in fields.items():
        if field.personal:
            yield name, ""
        elif field.type == "list":
            yield from ((name, "[]." + inner) for inner, member in field.fields.items() if member.personal)
        else:
            yield from ((f"{name}.{inner}", "") for inner, member in field.fields.items() if member.personal)


def _clear(outer: str, inner: str) -> Column:
    """Whether there is a value that is not sealed text."""
    if inner:
        member = inner.removeprefix("[].")
        members = F.try_variant_get("payload", f"$.{outer}", f"array<struct<{member}:string>>")
        return F.exists(members, lambda one: ~F.startswith(one[member], F.lit(SEALED_MARK)))
    return ~F.startswith(F.try_variant_get("payload", f"$.{outer}", "string"), F.lit(SEALED_MARK))
