"""bronze as it is read: the union of the lanes' tables and the revisions, each within what was committed of its lane."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

from pyspark.sql import DataFrame, SparkSession

from paxtrail.adapters import lake, lanes
from paxtrail.settings import Settings
from paxtrail.tables import bronze
from paxtrail.transforms import events

Interval = tuple[str, int, int, Iterable[int], Iterable[int]]
"""(lane, after, until, holes, late), as transforms.events.covered has it."""


def rows(spark: SparkSession, settings: Settings, intervals: Iterable[Interval]) -> DataFrame:
    """The rows of bronze that these intervals cover; none where no table exists."""
    tables = lanes.tables(bronze.EVENTS, settings)
    if lake.exists(bronze.REVISIONS, settings):
        tables[lanes.REVISIONS] = bronze.REVISIONS
    wanted = list(intervals)
    lanes.check_named(settings, (lane for lane, *_ in wanted))
    found = [
        # The newest version, not the one a cut noted: the interval decides, and the writer may have compacted that version away.
        events.covered(spark.read.format("delta").load(table.path(settings.lake)), [one for one in wanted if one[0] == lane])
        for lane, table in tables.items()
    ]
    # By contract: what a newer version of the code added to one lane's table is not in the other's yet.
    return reduce(DataFrame.unionByName, [one.select(*bronze.EVENTS.names) for one in found], spark.createDataFrame([], bronze.EVENTS.ddl))
