"""The Spark session of a program: Delta, few partitions, no network at run time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pyspark.sql import SparkSession

from paxtrail.errors import ConfigurationError
from paxtrail.settings import Settings, jar_cache

# Micro-batches are three times shorter on a local disk with plain files than with the default, which renames through Hadoop.
_CHECKPOINTS = "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"

_CONF = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.adaptive.enabled": "false",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.session.timeZone": "UTC",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",
    "spark.sql.streaming.checkpointFileManagerClass": _CHECKPOINTS,
    "spark.sql.streaming.stateStore.providerClass": "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "20000",
}


def jars() -> Path:
    """Folder of Spark's extra jars: $PAXTRAIL_SPARK_JARS, else what `paxtrail jars` fetched; the network is never asked here."""
    given = os.environ.get("PAXTRAIL_SPARK_JARS")
    folder = Path(given) if given else jar_cache("spark")
    if not folder.is_dir():
        raise ConfigurationError(f"Spark's jars are not in {folder}: run `./paxtrail jars` once")
    return folder


def session(settings: Settings, app: str) -> SparkSession:
    """The session of this process. `settings.spark.conf` goes over what is set here: a cluster is a matter of values."""
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    scratch = settings.home / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    conf = _CONF | {
        "spark.driver.memory": settings.spark.driver_memory,
        "spark.driver.extraClassPath": f"{jars()}/*",
        "spark.sql.shuffle.partitions": str(settings.spark.shuffle_partitions),
        "spark.default.parallelism": str(settings.spark.shuffle_partitions),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.local.dir": str(scratch),
        **settings.spark.conf,
    }
    builder = SparkSession.builder.master(settings.spark.master).appName(app)
    for key, value in conf.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark
