"""The Spark session of a program: Delta, few partitions, no network at run time."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pyspark.sql import SparkSession

from paxtrail.adapters import lake
from paxtrail.adapters.java import java
from paxtrail.adapters.postgres import password, tls
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
    # Kept for a page that nobody opens: a thousand plans by default, each up to megabytes of a driver that runs for months.
    "spark.sql.ui.retainedExecutions": "10",
    "spark.ui.retainedJobs": "50",
    "spark.ui.retainedStages": "50",
    "spark.ui.retainedTasks": "500",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.session.timeZone": "UTC",
    # The call site of each column costs more round trips to the JVM than the column.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
    "spark.databricks.delta.retentionDurationCheck.enabled": "false",
    "spark.sql.streaming.checkpointFileManagerClass": _CHECKPOINTS,
    "spark.sql.streaming.stateStore.providerClass": "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider",
    "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "20000",
}

# Spark's embedded Hive client over a database of PostgreSQL: without autoCreateConstraints the first CREATE TABLE of a new catalogue
# does not wait for itself for ever; adapters/catalog.py adds the unique indexes that this leaves out.
_METASTORE = {
    "spark.sql.catalogImplementation": "hive",
    "spark.hadoop.javax.jdo.option.ConnectionDriverName": "org.postgresql.Driver",
    "spark.hadoop.javax.jdo.option.ConnectionUserName": "catalog",
    "spark.hadoop.datanucleus.schema.autoCreateAll": "false",
    "spark.hadoop.datanucleus.schema.autoCreateTables": "true",
    "spark.hadoop.datanucleus.schema.autoCreateColumns": "true",
    "spark.hadoop.datanucleus.schema.autoCreateConstraints": "false",
    "spark.hadoop.hive.metastore.schema.verification": "false",
    "spark.hadoop.hive.metastore.disallow.incompatible.col.type.changes": "false",
}


def jars() -> Path:
    """Folder of Spark's extra jars: $PAXTRAIL_SPARK_JARS, else what `paxtrail jars` fetched; the network is never asked here."""
    given = os.environ.get("PAXTRAIL_SPARK_JARS")
    folder = Path(given) if given else jar_cache("spark")
    if not folder.is_dir():
        raise ConfigurationError(f"Spark's jars are not in {folder}: run `./paxtrail jars` once")
    return folder


def conf(settings: Settings) -> dict[str, str]:
    """Every setting of a program's session. `settings.spark.conf` goes over what is set here: a cluster is a matter of values."""
    scratch = settings.home / "scratch"
    return _CONF | {
        "spark.master": settings.spark.master,
        "spark.driver.memory": settings.spark.driver_memory,
        "spark.driver.extraClassPath": f"{jars()}/*",
        "spark.sql.shuffle.partitions": str(settings.spark.shuffle_partitions),
        "spark.default.parallelism": str(settings.spark.shuffle_partitions),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.local.dir": str(scratch),
        # Programs address tables by path and need no metastore.
        "spark.sql.catalogImplementation": "in-memory",
        **settings.spark.conf,
    }


def session(settings: Settings, app: str) -> SparkSession:
    """The session of this process, for programs that address tables by path."""
    return _started(settings, app, conf(settings))


def streaming_session(settings: Settings, app: str, memory: str) -> SparkSession:
    """The session of a stream, whose driver has `memory`. What `[stream] java_options` say goes before what `[spark.conf]` says."""
    own = {"spark.driver.memory": memory, "spark.driver.extraJavaOptions": settings.stream.java_options}
    return _started(settings, app, conf(settings) | {key: value for key, value in own.items() if value} | settings.spark.conf)


def catalogued(settings: Settings, app: str) -> SparkSession:
    """A session that finds tables by name in the shared catalogue. The first session of its process: its settings are the JVM's."""
    os.environ["SPARK_CONF_DIR"] = str(write_defaults(settings))
    return _started(settings, app, {})


@contextmanager
def batch_session(settings: Settings, app: str, start: Callable[[Settings, str], SparkSession] = session) -> Iterator[SparkSession]:
    """The session of a program of the batch layer, stopped after it; TableLocked while another program of the batch layer works."""
    with lake.batch_locked(settings):
        spark = start(settings, app)
        try:
            yield spark
        finally:
            spark.stop()


def write_defaults(settings: Settings) -> Path:
    """SPARK_CONF_DIR: <home>/spark/conf with `spark-defaults.conf`, for what starts Spark itself (spark-submit, dbt, a shell).

    It holds the password of the catalogue, which has no place on a command line: only its owner may read it.
    """
    folder = settings.home / "spark" / "conf"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    address = settings.postgres
    metastore = _METASTORE | {
        "spark.hadoop.javax.jdo.option.ConnectionURL": (
            f"jdbc:postgresql://{address.host}:{address.port}/{address.catalog_database}?{tls(settings)}"
        ),
        "spark.hadoop.javax.jdo.option.ConnectionPassword": password(settings, "catalog"),
    }
    draft = folder / f".spark-defaults.{os.getpid()}"
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as out:
        out.writelines(f"{key} {value}\n" for key, value in (conf(settings) | metastore).items())
    draft.replace(folder / "spark-defaults.conf")
    return folder


def _started(settings: Settings, app: str, conf: Mapping[str, str]) -> SparkSession:
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    java()  # what Spark says of a Java that is missing or too old is a page long
    (settings.home / "scratch").mkdir(parents=True, exist_ok=True)
    builder = SparkSession.builder.appName(app)
    for key, value in conf.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark
