"""docker-compose.yml and the local stack describe the same parts, ports and configuration files."""

from __future__ import annotations

import configparser
import re
from typing import Any

import yaml

from paxtrail.settings import ROOT, Settings
from paxtrail.stack import airflow
from paxtrail.stack.parts import AIRFLOW, CORE, NAMES, PARTS


def _compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def _published(service: dict[str, Any]) -> set[int]:
    return {int(port.split(":")[-1]) for port in service.get("ports", [])}


def test_containers_and_local_stack_have_the_same_parts_in_the_same_order() -> None:
    assert tuple(_compose()["services"]) == NAMES


def test_optional_parts_are_a_profile_of_containers() -> None:
    services = _compose()["services"]
    assert {part.name: services[part.name].get("profiles", []) for part in PARTS} == {
        part.name: [] if part.group == CORE else [part.group] for part in PARTS
    }


def test_containers_publish_the_ports_of_the_local_stack_on_the_loopback_address() -> None:
    settings = Settings.load("local")
    for part in PARTS:
        # What a part says to itself is nobody else's business.
        ports = set(part.ports(settings)) - {settings.kafka.controller_port, settings.druid.derby_port}
        service = _compose()["services"][part.name]
        assert _published(service) == ports, part.name
        assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", [])), part.name


def test_a_program_whose_port_is_published_listens_beyond_its_container() -> None:
    """Of each program of ours, the setting that says where it listens; servers of others are asked below and by their images."""
    binds = {"relay": "PAXTRAIL_RELAY__METRICS_HOST", "api": "PAXTRAIL_API__HOST"}
    services = _compose()["services"]
    ours = {name for name, service in services.items() if service.get("image") == "paxtrail:local" and service.get("ports")}
    assert ours == set(binds)
    assert all(services[name]["environment"][variable] == "0.0.0.0" for name, variable in binds.items())  # in a container
    assert "listen_addresses=*" in services["postgres"]["command"]
    assert services["airflow"]["environment"]["AIRFLOW__API__HOST"] == "0.0.0.0"  # the same
    assert "--bind 0.0.0.0:8088" in services["superset"]["command"]


def test_the_settings_of_containers_are_settings(monkeypatch: Any) -> None:
    for name, value in _compose()["services"]["relay"]["environment"].items():
        if "PASSWORD" not in name:
            monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert {settings.api.host, settings.relay.metrics_host} == {"0.0.0.0"}  # in a container


def _listeners(text: str) -> dict[str, tuple[str, int]]:
    found = (re.fullmatch(r"(\w+)://([^:]*):(\d+)", one) for one in text.split(","))
    return {match[1]: (match[2], int(match[3])) for match in found if match}


def test_a_client_on_either_side_is_sent_to_an_address_that_it_reaches() -> None:
    kafka = _compose()["services"]["kafka"]
    listens = _listeners(kafka["environment"]["KAFKA_LISTENERS"])
    advertises = _listeners(kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"])
    assert listens.keys() - {"CONTROLLER"} == advertises.keys()
    protocols = dict(one.split(":") for one in kafka["environment"]["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert protocols == dict.fromkeys(listens, "PLAINTEXT")
    published = {int(inside): int(outside) for _, outside, inside in (port.split(":") for port in kafka["ports"])}
    [host] = [name for name, (_, port) in listens.items() if port in published]
    assert advertises[host] == ("127.0.0.1", published[listens[host][1]])
    assert f"{advertises[host][0]}:{advertises[host][1]}" == Settings.load("local").kafka.brokers
    [inside] = advertises.keys() - {host}
    assert advertises[inside] == ("kafka", listens[inside][1])
    assert _compose()["services"]["stream"]["environment"]["PAXTRAIL_KAFKA__BROKERS"] == f"kafka:{listens[inside][1]}"
    assert {listens[host][0], listens[inside][0]} == {""}, "every address of the container"
    assert f"kafka:{listens[inside][1]}" in kafka["healthcheck"]["test"]


def test_containers_mount_the_same_configuration_files() -> None:
    services = _compose()["services"]
    mounted = {
        name: [volume.split(":")[0] for volume in service.get("volumes", []) if volume.startswith("./")]
        for name, service in services.items()
    }
    assert mounted["postgres"] == ["./conf/postgres/postgresql.conf"]
    assert mounted["kafka"] == ["./conf/kafka/server.properties"]
    assert mounted["zookeeper"] == ["./conf/druid/zoo.cfg"]
    for role in ("coordinator", "historical", "broker", "indexer"):
        assert mounted[role] == ["./conf/druid/common.properties", f"./conf/druid/{role}.properties"]
    assert all(mounted[name] == ["./conf"] for name in ("topics", "stream", "relay", "api", "analytics"))
    assert mounted["superset"] == ["./conf/superset"]
    assert all((ROOT / path).exists() for paths in mounted.values() for path in paths)


def test_containers_run_the_programs_of_the_local_stack() -> None:
    settings = Settings.load("local")
    for part in PARTS:
        if part.name in ("stream", "relay", "api", "analytics"):
            assert part.program is not None
            local = [word.removeprefix(f"{ROOT}/") for word in part.program(settings)[1:]]
            assert _compose()["services"][part.name]["command"].split()[1:] == local


def test_containers_of_airflow_run_its_programs_on_the_same_values() -> None:
    services = _compose()["services"]
    configuration = configparser.ConfigParser(interpolation=None)
    configuration.read(ROOT / "conf" / "airflow" / "airflow.cfg")
    settings = Settings.load("local")
    local = {name.removesuffix("_CMD") for name in airflow.environment(settings)}
    for part in PARTS:
        if part.group == AIRFLOW:
            service = services[part.name]
            assert service["command"].rstrip('"').endswith(" ".join(("airflow", *airflow.ARGUMENTS[part.name]))), part.name
            # The image has Spark; the password is made at first start; all else is given, and nothing that the file says is said twice.
            given = {name for name in service["environment"] if name.startswith(("AIRFLOW", "SPARK"))}
            assert local - given == {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", "SPARK_HOME", "PYSPARK_PYTHON", "PATH"}
            assert given <= local
            said = {f"AIRFLOW__{section}__{key}".upper() for section in configuration.sections() for key in configuration[section]}
            assert not said & given
            assert service["environment"]["AIRFLOW_CONN_SPARK"] == airflow.environment(settings)["AIRFLOW_CONN_SPARK"]


def test_the_image_of_a_server_has_the_version_that_runs_locally() -> None:
    services = _compose()["services"]
    jars = (ROOT / "conf" / "jars" / "kafka.lock").read_text()
    broker = re.search(r"^org\.apache\.kafka:kafka_2\.13:(\S+)", jars, re.M)
    assert broker is not None
    assert services["kafka"]["image"] == f"apache/kafka:{broker[1]}"
    druid = (ROOT / "conf" / "jars" / "druid.lock").read_text()
    for service, jar, image in (
        ("broker", r"org\.apache\.druid:druid-server", "apache/druid"),
        ("zookeeper", r"org\.apache\.zookeeper:zookeeper", "zookeeper"),
    ):
        locked = re.search(rf"^{jar}:(\S+)", druid, re.M)
        assert locked is not None
        assert services[service]["image"] == f"{image}:{locked[1]}"
    pinned = re.search(r"^apache-superset==(\S+)", (ROOT / "conf" / "requirements" / "superset.txt").read_text(), re.M)
    assert pinned is not None
    assert f"FROM apache/superset:{pinned[1]}\n" in services["superset"]["build"]["dockerfile_inline"]
    from paxtrail.stack.postgresql import VERSION

    assert services["postgres"]["image"] == f"postgres:{VERSION}"


def test_no_password_is_written_in_the_file() -> None:
    for name, service in _compose()["services"].items():
        for key, value in service["environment"].items():
            if "PASSWORD" in key:
                assert str(value).startswith("${PAXTRAIL_PASSWORD_"), name


def test_production_starts_only_with_addresses_and_without_the_development_issuer(monkeypatch: Any) -> None:
    given = {"KAFKA__BROKERS": "k:9092", "POSTGRES__HOST": "p", "API__ISSUER": "https://id.example", "API__JWKS": "https://id.example/keys"}
    for name, value in given.items():
        monkeypatch.setenv(f"PAXTRAIL_{name}", value)
    settings = Settings.load("production")
    assert not settings.api.dev_issuer
    assert settings.postgres.sslmode == "verify-full"
