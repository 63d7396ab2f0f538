"""One frozen Settings object: environment over conf/<env>.toml over conf/base.toml; built once in `main`, passed down."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from paxtrail.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Kafka(_Part):
    """`ca`: PEM file of the authority that signed the brokers' certificates; empty = no TLS. `certificate`: PEM file with the key and
    certificate of this client, where brokers ask for one."""

    brokers: str
    partitions: int
    controller_port: int
    ca: str
    certificate: str

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.certificate and not self.ca:
            raise ValueError("a certificate without ca would be sent to nobody: name the brokers' authority too")
        return self


class Postgres(_Part):
    """`password_file` holds the superuser's password of the embedded server; each role's is in `secrets_dir`."""

    host: str
    port: int
    serving_database: str
    vault_database: str
    catalog_database: str
    """Which tables there are, for SQL by name: the metastore that Spark's sessions share."""
    marts_database: str
    airflow_database: str
    superset_database: str
    sslmode: str
    sslrootcert: str
    """PEM file of the authority that signed the server's certificate; for `verify-ca` and `verify-full`."""


class Stream(_Part):
    trigger_ms: int
    spread_above_rows: int
    """Micro-batches of more records than this run in the executors; below, on the driver."""
    max_offsets_per_trigger: int
    claim_horizon_hours: dict[str, int]
    """Hours after which a claim is forgotten, by source; `default` for those that are not named."""
    maintenance_commits: int
    driver_memory: str
    java_options: str
    """Of the JVM of every stream."""
    failpoint: str


class Spark(_Part):
    master: str
    driver_memory: str
    shuffle_partitions: int
    conf: dict[str, str]


class Api(_Part):
    host: str
    port: int
    workers: int
    issuer: str
    audience: str
    jwks: str
    """File path or URL of the JSON Web Key Set; empty with `dev_issuer`."""
    dev_issuer: bool
    pool_size: int
    rate_factor: float
    """The rates of conf/access.toml times this."""
    proxies: str
    """Addresses or networks of the balancers whose X-Forwarded-For is believed, with commas; empty = nobody's."""
    tls_certificate: str
    """PEM file with the API's certificate and those up to its authority, and in `tls_key` its key: HTTPS only; empty = HTTP."""
    tls_key: str
    changes_s: float
    """A page's stream of changes ends after this, and the browser comes again."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key belong together: give both or none")
        return self


class Reads(_Part):
    """The record of reads. `witness`: folder for the heads of its chains, out of reach of who administers the vault and the same for all
    API processes; empty = witness/ of the home. Every `check_s`, who read more distinct customers than `unusual_above` says for their role
    (or `default`) in the last `window_minutes` is alarmed about."""

    witness: str
    window_minutes: int
    check_s: float
    unusual_above: dict[str, int]

    @field_validator("unusual_above")
    @classmethod
    def _for_every_role(cls, given: dict[str, int]) -> dict[str, int]:
        if "default" not in given:
            raise ValueError("default is missing")
        return given


class Storage(_Part):
    """`lake` is a folder or a URI (s3a://, abfss://, gs://, file://); empty = <home>/lake. `options` are delta-rs's for that store."""

    lake: str
    options: dict[str, str]


class Relay(_Part):
    poll_ms: int
    batch: int
    metrics_host: str
    """The address its metrics listen on."""
    metrics_port: int


class Bridge(_Part):
    """`topics`: inbound topic to source, for systems that write Kafka without CloudEvents; as JSON in the environment."""

    topics: dict[str, str]
    failpoint: str

    @field_validator("topics", mode="before")
    @classmethod
    def _from_text(cls, given: object) -> object:
        return json.loads(given) if isinstance(given, str) else given


class Druid(_Part):
    """`timeout_ms` and `queries` bound what the API asks of it: time of one query, queries at once."""

    broker_host: str
    coordinator_host: str
    zookeeper_port: int
    derby_port: int
    coordinator_port: int
    historical_port: int
    broker_port: int
    indexer_port: int
    timeout_ms: int
    queries: int
    trigger_ms: int
    driver_memory: str
    """Both of the stream of facts, which keeps nothing in memory between two micro-batches."""


class Superset(_Part):
    """Where its pages are."""

    host: str
    port: int


class Models(_Part):
    """`folder`: the champion as stream and batch load it, a path that all of them see; empty = models/ of the home. `tracking`: MLflow's
    tracking store and registry as a URI; empty = SQLite under mlflow/ of the home. `artifacts`: where that store keeps files."""

    folder: Path
    tracking: str
    artifacts: str


class Airflow(_Part):
    """Where its API and pages are."""

    host: str
    port: int


class Tracing(_Part):
    """Off where neither is said. `endpoint`: a collector's address for traces, OTLP over HTTP; `folder`: spans as JSON lines, a file per
    process. `sample`: the share of traces begun here that are kept; what was begun elsewhere says so itself."""

    endpoint: str
    folder: str
    sample: float = Field(ge=0, le=1)


class Logging(_Part):
    """`json`: one object a line, for machines."""

    format: Literal["text", "json"]


class Settings(_Part):
    """All values of one environment. `home` holds everything that is written; it may be anywhere."""

    env: str
    home: Path
    conf: Path
    controller: str
    airline_numeric: dict[str, str]
    lanes: dict[str, tuple[str, ...]]
    kafka: Kafka
    postgres: Postgres
    stream: Stream
    storage: Storage
    spark: Spark
    api: Api
    reads: Reads
    relay: Relay
    bridge: Bridge
    druid: Druid
    airflow: Airflow
    superset: Superset
    models: Models
    tracing: Tracing
    logging: Logging

    @property
    def lake(self) -> str:
        """Folder or URI of the lake, as Spark and delta-rs take it."""
        place = self.storage.lake or str(self.home / "lake")
        return place if "://" in place else str(ROOT / place)

    @property
    def secrets(self) -> Path:
        return self.home / "secrets"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @classmethod
    def load(cls, env: str | None = None, **overrides: Any) -> Self:
        """Settings of `env` (default: $PAXTRAIL_ENV, else local). `PAXTRAIL_KAFKA__BROKERS=…` overrides kafka.brokers."""
        name = env or os.environ.get("PAXTRAIL_ENV", "local")
        conf = Path(os.environ.get("PAXTRAIL_CONF", ROOT / "conf"))
        values: dict[str, Any] = {}
        for file in (conf / "base.toml", conf / f"{name}.toml"):
            _merge(values, tomllib.loads(file.read_text(encoding="utf-8")))
        values.update(env=name, conf=conf)
        for variable, text in os.environ.items():
            path = variable.removeprefix("PAXTRAIL_").lower().split("__")
            if variable.startswith("PAXTRAIL_") and path[0] in cls.model_fields and path[0] not in ("env", "conf"):
                _put(values, path, text)
        _merge(values, overrides)
        home = Path(values["home"])
        values["home"] = home if home.is_absolute() else (ROOT / home)
        models = values.setdefault("models", {})
        models["folder"] = values["home"] / (models.get("folder") or "models")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigurationError("; ".join(_said(one, name) for one in error.errors())) from None


def _said(problem: Mapping[str, Any], env: str) -> str:
    """What is wrong with a setting and where to give it; never its value, which may be a secret in the wrong place."""
    path = [str(step) for step in problem["loc"]]
    return f"{'.'.join(path)}: {problem['msg'].lower()}; set PAXTRAIL_{'__'.join(path).upper()} or write it in conf/{env}.toml"


def jar_cache(name: str) -> Path:
    """Folder of this user's cache that holds (once `paxtrail jars` made it) exactly the jars of the lock of that name."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "paxtrail" / "jars"
    return cache / name / hashlib.sha256((ROOT / "conf" / "jars" / f"{name}.lock").read_bytes()).hexdigest()[:12]


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _put(into: dict[str, Any], path: list[str], text: str) -> None:
    for step in path[:-1]:
        into = into.setdefault(step, {})
    into[path[-1]] = text
