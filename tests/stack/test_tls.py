"""TLS on each hop, with an authority made here: the API, PostgreSQL for both of its clients, and what Kafka's clients are told."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import socketserver
import ssl
import struct
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psycopg
import pytest
import trustme
from confluent_kafka import Consumer, Producer

from paxtrail.adapters import kafka
from paxtrail.adapters.druid import Druid
from paxtrail.adapters.postgres import dsn
from paxtrail.adapters.spark import write_defaults
from paxtrail.errors import ConfigurationError, Unavailable
from paxtrail.serving.store import Store, pool
from paxtrail.settings import ROOT, Settings
from paxtrail.stack.processes import free_ports, running

Files = dict[str, Path]
SSL_REQUEST, GSS_REQUEST = struct.pack("!II", 8, 80877103), struct.pack("!II", 8, 80877104)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """PEM files: an authority, a certificate of 127.0.0.1 by it, one of another host by it, and an authority that nobody knows."""
    folder = tmp_path_factory.mktemp("tls")
    folder.chmod(0o755)
    ours, other = trustme.CA(), trustme.CA()
    made = {"here": ours.issue_cert("127.0.0.1", "localhost"), "elsewhere": ours.issue_cert("db.example.org")}
    found = {"ca": folder / "ca.pem", "unknown": folder / "unknown.pem"}
    ours.cert_pem.write_to_path(found["ca"])
    other.cert_pem.write_to_path(found["unknown"])
    for name, leaf in made.items():
        found[f"{name}.pem"], found[f"{name}.key"] = folder / f"{name}.pem", folder / f"{name}.key"
        found[f"{name}.pem"].write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(found[f"{name}.key"])
        found[name] = folder / f"{name}.both"
        leaf.private_key_and_cert_chain_pem.write_to_path(found[name])
    return found


# -- PostgreSQL ------------------------------------------------------------------------------------------------------------------


@contextmanager
def front(postgres: Settings, files: Files, certificate: str = "here") -> Iterator[Settings]:
    """Settings of the same server, behind TLS. The server of the wheel is built without it: this answers the SSLRequest (PostgreSQL's
    protocol, 54.2.11) as one would, and passes on what is inside."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files[f"{certificate}.pem"], files[f"{certificate}.key"])
    behind = (postgres.postgres.host, postgres.postgres.port)

    class Front(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                while (request := self.request.recv(8)) == GSS_REQUEST:
                    self.request.sendall(b"N")
                if request == SSL_REQUEST:
                    self.request.sendall(b"S")
                    with context.wrap_socket(self.request, server_side=True) as outer, socket.create_connection(behind) as inner:
                        _pass_on(outer, inner)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Front) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield protected(postgres, files["ca"], port=server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def _pass_on(outer: ssl.SSLSocket, inner: socket.socket) -> None:
    while True:
        ready = [outer] if outer.pending() else select.select([outer, inner], [], [])[0]
        for source in ready:
            if not (data := source.recv(65536)):
                return
            (inner if source is outer else outer).sendall(data)


def protected(settings: Settings, authority: Path, **more: Any) -> Settings:
    values = {"sslmode": "verify-full", "sslrootcert": str(authority), **more}
    return settings.model_copy(update={"postgres": settings.postgres.model_copy(update=values)})


async def asked(settings: Settings) -> list[Any]:
    """What the API's own pool reads."""
    opened = await pool(dsn(settings, "serving", "api"), 1)
    try:
        return await Store(opened).fetch("select 1 as one")
    finally:
        opened.terminate()


async def test_programs_and_the_api_reach_postgresql_by_tls(postgres: Settings, files: Files) -> None:
    with front(postgres, files) as server:
        with psycopg.connect(dsn(server, "vault", "stream")) as connection:
            assert connection.pgconn.ssl_in_use
        assert [row["one"] for row in await asked(server)] == [1]
        # Which nobody gets here without: the front passes on nothing else.
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(dsn(server, "vault", "stream").replace("verify-full", "disable"))


@pytest.mark.parametrize(
    ("certificate", "authority", "says"),
    [("here", "unknown", "certificate verify failed"), ("elsewhere", "ca", "does not match host name")],
    ids=["another authority", "another host"],
)
async def test_neither_client_speaks_to_a_server_that_it_cannot_verify(
    postgres: Settings, files: Files, certificate: str, authority: str, says: str
) -> None:
    with front(postgres, files, certificate) as server:
        wary = protected(server, files[authority])
        with pytest.raises(psycopg.OperationalError, match=says):
            psycopg.connect(dsn(wary, "serving", "api"))
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncpg.connect(dsn(wary, "serving", "api"))
        with pytest.raises(Unavailable):
            await asked(wary)


async def test_neither_client_goes_on_without_tls_where_the_server_offers_none(postgres: Settings, files: Files) -> None:
    wary = protected(postgres, files["ca"])
    with pytest.raises(psycopg.OperationalError, match="server does not support SSL"):
        psycopg.connect(dsn(wary, "serving", "api"))
    with pytest.raises(Unavailable):
        await asked(wary)


def test_the_metastore_verifies_too(postgres: Settings, files: Files, tmp_path: Path) -> None:
    home = {"home": tmp_path}
    shutil.copytree(postgres.secrets, tmp_path / "secrets")
    written = (write_defaults(protected(postgres, files["ca"]).model_copy(update=home)) / "spark-defaults.conf").read_text()
    (address,) = [line for line in written.splitlines() if "ConnectionURL" in line]
    assert address.endswith(f"?sslmode=verify-full&sslrootcert={files['ca']}")


# -- the API ----------------------------------------------------------------------------------------------------------------------


def test_the_program_serves_by_tls_to_who_knows_its_authority_and_in_no_other_way(postgres: Settings, files: Files) -> None:
    (port,) = free_ports(1)
    environment = {
        "PAXTRAIL_HOME": str(postgres.home),
        "PAXTRAIL_POSTGRES__PORT": str(postgres.postgres.port),
        "PAXTRAIL_API__PORT": str(port),
        "PAXTRAIL_API__TLS_CERTIFICATE": str(files["here.pem"]),
        "PAXTRAIL_API__TLS_KEY": str(files["here.key"]),
    }
    trusted = ssl.create_default_context(cafile=files["ca"])
    address = f"https://127.0.0.1:{port}"

    def problem() -> str:
        try:
            return "" if httpx.get(f"{address}/health/live", verify=trusted).status_code == 200 else "not live"
        except httpx.HTTPError:
            return "not listening"

    log = postgres.home / "api-tls.log"
    program = [sys.executable, str(ROOT / "api" / "main.py")]
    with running(program, problem, log=log, environment={**os.environ, **environment}):
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{address}/health/live", verify=ssl.create_default_context(cafile=files["unknown"]))
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/health/live")
        old = ssl.create_default_context(cafile=files["ca"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/health/live", verify=old)
        # And it reads by the wire that bounds what arrives: of a head that never ends too.
        with socket.create_connection(("127.0.0.1", port)) as plain, trusted.wrap_socket(plain, server_hostname="127.0.0.1") as endless:
            endless.sendall(b"GET / HTTP/1.1\r\nx-a: " + b"a" * 40_000)
            assert endless.recv(100).startswith(b"HTTP/1.1 431")


def test_a_certificate_without_its_key_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAXTRAIL_API__TLS_CERTIFICATE", "/x")
    with pytest.raises(ConfigurationError, match="belong together"):
        Settings.load("local")


# -- Kafka ------------------------------------------------------------------------------------------------------------------------


def told(settings: Settings, **more: object) -> Settings:
    return settings.model_copy(update={"kafka": settings.kafka.model_copy(update=more)})


def test_without_an_authority_kafka_is_spoken_to_in_the_clear(settings: Settings) -> None:
    assert kafka.client(settings) == kafka.java_client(settings) == {"bootstrap.servers": settings.kafka.brokers}


def test_with_an_authority_every_client_of_kafka_verifies_the_brokers(settings: Settings, files: Files) -> None:
    asked = told(settings, ca=str(files["ca"]), certificate=str(files["here"]))
    client = kafka.client(asked)
    assert client["security.protocol"] == "SSL" and client["ssl.ca.location"] == str(files["ca"])
    assert client["ssl.certificate.location"] == client["ssl.key.location"] == str(files["here"])
    # librdkafka reads the files and refuses what it does not know when a client is made.
    Producer(client)
    Consumer(client | {"group.id": "tls"}).close()
    java = kafka.java_client(asked)
    assert java == {
        "bootstrap.servers": settings.kafka.brokers,
        "security.protocol": "SSL",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(files["ca"]),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(files["here"]),
    }
    assert kafka.spark_options(asked) == {f"kafka.{name}": value for name, value in java.items()}


def test_druid_is_told_too(settings: Settings, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(Druid, "_call", lambda self, part, method, path, body: sent.append(body))
    Druid(told(settings, ca=str(files["ca"]))).supervise()
    properties = sent[0]["spec"]["ioConfig"]["consumerProperties"]
    assert properties["security.protocol"] == "SSL" and properties["isolation.level"] == "read_committed"


def test_a_certificate_for_kafka_without_an_authority_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAXTRAIL_KAFKA__CERTIFICATE", "/x")
    with pytest.raises(ConfigurationError, match="authority"):
        Settings.load("local")
