"""What a table is: its name, columns, key, owner, personal columns, retention; as data, for Arrow, Spark and the dictionary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

ENTITIES = "array<struct<kind:string,key:string>>"
IDENTIFIERS = "array<struct<namespace:string,token:string>>"
RELATIONS = "array<struct<from_kind:string,from_key:string,kind:string,to_kind:string,to_key:string>>"


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `type` is a Spark SQL type. `stats` False keeps its values out of Delta's statistics.

    `low` and `high` bound its values (of the column's unit), `allowed` names them all; the quality gate asks for what stands here.
    """

    name: str
    type: str
    about: str
    nullable: bool = True
    stats: bool = False
    low: int | None = None
    high: int | None = None
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """A rule about rows that no single column's bounds can say; `holds` is a Spark SQL condition, and a null is no offence."""

    name: str
    about: str
    holds: str


@dataclass(frozen=True, slots=True)
class Table:
    """The contract of one Delta table. One writer process per table: `owner`.

    `per_lane`: there is such a table for each lane, see `of`; this one is their union and has no place of its own.
    """

    name: str
    about: str
    owner: str
    key: tuple[str, ...]
    retention: str
    columns: tuple[Column, ...]
    partitioned_by: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    per_lane: bool = False

    def of(self, lane: str) -> Self:
        """The table of one lane: bronze.events of main -> bronze.main.events."""
        layer, _, name = self.name.partition(".")
        return replace(self, name=f"{layer}.{lane}.{name}", per_lane=False)

    def path(self, lake: str) -> str:
        """Place of the table: silver.events -> <lake>/silver/events."""
        if self.per_lane:
            raise AssertionError(f"{self.name} is a table per lane: name one by of(lane)")
        return "/".join((lake.rstrip("/"), *self.name.split(".")))

    @property
    def ddl(self) -> str:
        """Spark DDL of the columns, as `StructType.fromDDL` reads it."""
        return ", ".join(f"{c.name} {c.type}" + ("" if c.nullable else " NOT NULL") for c in self.columns)

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.columns]

    @property
    def stats_columns(self) -> str:
        """Value of delta.dataSkippingStatsColumns: nothing else may reach the log (invariant 6)."""
        return ",".join(c.name for c in self.columns if c.stats)
