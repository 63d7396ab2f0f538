"""The parts of the local stack, in the order in which they start: program, preparation, health gate, signal to stop."""

from __future__ import annotations

import http.client
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace

from paxtrail.adapters import bridge
from paxtrail.adapters.lanes import part_name, running
from paxtrail.errors import NotFound
from paxtrail.settings import ROOT, Settings
from paxtrail.stack import airflow, broker, druid, postgresql, superset

CORE = "core"
DRUID = "druid"
AIRFLOW = "airflow"
DASHBOARDS = "dashboards"
STREAM = "stream"
_EVENTS = str(ROOT / "streaming" / "events.py")


@dataclass(frozen=True, slots=True)
class Part:
    """One part. `program` None: nothing keeps running, `settle` does the work and `problem` tells whether it is done.

    `problem` says why the part is of no use yet, given the pid that is supervised; empty = healthy. `settle` runs once the
    program answers and before the next part starts. Parts of a `group` other than CORE start only when the part or its group is
    named. `environment` goes over the variables that every program gets. `whole_group`: the signal to stop goes to the program's
    children too, of which it does not take care itself.
    """

    name: str
    where: Callable[[Settings], str]
    program: Callable[[Settings], list[str]] | None
    problem: Callable[[Settings, int], str]
    prepare: Callable[[Settings], None] = lambda _: None
    settle: Callable[[Settings], None] = lambda _: None
    ports: Callable[[Settings], tuple[int, ...]] = lambda _: ()
    stop: str = "TERM"
    seconds: float = 60
    group: str = CORE
    environment: Callable[[Settings], dict[str, str]] = lambda _: {}
    whole_group: bool = False


def _postgres_address(settings: Settings) -> str:
    return f"{settings.postgres.host}:{settings.postgres.port}"


def _ready(name: str) -> Callable[[Settings, int], str]:
    def problem(settings: Settings, pid: int) -> str:
        ready = settings.home / "run" / f"{name}.ready"
        if not ready.exists() or ready.read_text().split()[:1] != [str(pid)]:
            return "has not started its query yet"
        return ""

    return problem


def _relay_problem(settings: Settings, _pid: int) -> str:
    try:
        socket.create_connection(("127.0.0.1", settings.relay.metrics_port), timeout=2).close()
    except OSError:
        return "its metrics port is closed"
    return ""


def _api_problem(settings: Settings, _pid: int) -> str:
    try:
        with urllib.request.urlopen(f"http://{settings.api.host}:{settings.api.port}/health/ready", timeout=3) as answer:
            return "" if answer.status == 200 else f"/health/ready answers {answer.status}"
    except urllib.error.HTTPError as error:
        error.close()
        return f"/health/ready answers {error.code}"
    except (OSError, http.client.HTTPException):
        return "does not answer"


def _bridge_problem(settings: Settings, pid: int) -> str:
    ready = settings.home / "run" / "bridge.ready"
    return "" if ready.exists() and ready.read_text() == str(pid) else "has not reached the broker yet"


def _program(*arguments: str) -> Callable[[Settings], list[str]]:
    return lambda _: [sys.executable, *arguments]


def _druid(role: str, *ports: str, problem: Callable[[Settings, int], str] = druid.running) -> Part:
    """One of Druid's processes. Each is started without waiting for the one before; the last one's gate is that of all."""

    def listens(settings: Settings) -> tuple[int, ...]:
        return tuple(getattr(settings.druid, f"{name}_port") for name in (role, *ports))

    return Part(
        role,
        lambda settings: f"127.0.0.1:{listens(settings)[0]}",
        program=druid.command(role),
        problem=problem,
        prepare=druid.prepare(role),
        ports=listens,
        seconds=180,
        group=DRUID,
    )


def _airflow(name: str) -> Part:
    """One of Airflow's processes; the first brings its database up to date."""
    first = name == "airflow"
    return Part(
        name,
        airflow.url,
        program=airflow.command(name),
        problem=airflow.problem(name),
        prepare=airflow.prepare if first else lambda _: None,
        ports=lambda settings: (settings.airflow.port,) if first else (),
        seconds=240,
        group=AIRFLOW,
        environment=airflow.environment,
        whole_group=True,
    )


PARTS: tuple[Part, ...] = (
    Part(
        "postgres",
        _postgres_address,
        program=postgresql.command,
        problem=lambda settings, _: postgresql.problem(settings),
        prepare=postgresql.prepare,
        settle=postgresql.settle,
        ports=lambda settings: (settings.postgres.port,),
        stop="INT",  # a fast shutdown: TERM would wait for every client to leave
    ),
    Part(
        "kafka",
        lambda settings: settings.kafka.brokers,
        program=broker.command,
        problem=lambda settings, _: broker.problem(settings),
        prepare=broker.prepare,
        ports=lambda settings: (int(settings.kafka.brokers.rpartition(":")[2]), settings.kafka.controller_port),
    ),
    Part(
        "topics",
        lambda settings: settings.kafka.brokers,
        program=None,
        problem=lambda settings, _: broker.topics_problem(settings),
        settle=broker.make_topics,
    ),
    Part(
        STREAM,
        lambda settings: settings.lake,
        program=_program(_EVENTS),
        problem=_ready(STREAM),
        seconds=180,
    ),
    Part(
        "relay",
        lambda settings: f"127.0.0.1:{settings.relay.metrics_port}",
        program=_program("-m", "paxtrail.serving.relay"),
        problem=_relay_problem,
        ports=lambda settings: (settings.relay.metrics_port,),
    ),
    Part(
        "api",
        lambda settings: f"http://{settings.api.host}:{settings.api.port}",
        program=_program(str(ROOT / "api" / "main.py")),
        problem=_api_problem,
        ports=lambda settings: (settings.api.port,),
    ),
    Part(
        "bridge",
        lambda settings: ", ".join(settings.bridge.topics),
        program=_program("-m", "paxtrail.adapters.bridge"),
        problem=_bridge_problem,
        prepare=bridge.check,
        group="bridge",
    ),
    _druid("zookeeper"),
    _druid("coordinator", "derby"),
    _druid("historical"),
    _druid("broker"),
    _druid("indexer", problem=lambda settings, _: druid.problem(settings)),
    Part(
        "analytics",
        lambda _: broker.ANALYTICS,
        program=_program(str(ROOT / "streaming" / "analytics.py"), "--supervise"),
        problem=druid.analytics_problem,
        prepare=broker.make_topics,
        seconds=180,
        group=DRUID,
    ),
    _airflow("airflow"),
    _airflow("scheduler"),
    _airflow("processor"),
    Part(
        "superset",
        superset.url,
        program=superset.command,
        problem=lambda settings, _: superset.problem(settings),
        prepare=superset.prepare,
        ports=lambda settings: (settings.superset.port,),
        seconds=180,
        group=DASHBOARDS,
        environment=superset.environment,
    ),
)
NAMES = tuple(part.name for part in PARTS)
GROUPS = tuple(dict.fromkeys(part.group for part in PARTS))


def parts(settings: Settings) -> tuple[Part, ...]:
    """The parts of this copy: PARTS, with a stream for each lane where there are several."""
    return tuple(one for part in PARTS for one in (_streams(part, settings) if part.name == STREAM else (part,)))


def _streams(part: Part, settings: Settings) -> tuple[Part, ...]:
    names = {part_name(settings, lane): lane for lane in running(settings)}
    if tuple(names) == (STREAM,):
        return (part,)
    return tuple(replace(part, name=n, program=_program(_EVENTS, "--lane", lane), problem=_ready(n)) for n, lane in names.items())


def chosen(settings: Settings, names: tuple[str, ...]) -> tuple[Part, ...]:
    """The parts that are named, by their own name or by their group's, in the order in which they start; unnamed: the core.

    `stream` names every lane's.
    """
    wanted, found = set(names or (CORE,)), parts(settings)
    if unknown := sorted(wanted - {*NAMES, *GROUPS, *(part.name for part in found)}):
        raise NotFound(f"there is no part {', '.join(unknown)}; there are {', '.join(dict.fromkeys((*(p.name for p in found), *GROUPS)))}")
    if STREAM in wanted:
        wanted |= {part_name(settings, lane) for lane in running(settings)}
    return tuple(part for part in found if part.name in wanted or part.group in wanted)
