"""Druid from Maven jars, five processes that find each other: properties made from conf/druid, started, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from paxtrail.adapters.druid import Druid
from paxtrail.adapters.java import java
from paxtrail.errors import Unavailable
from paxtrail.settings import Settings, jar_cache
from paxtrail.stack.jars import jar_folder

_HEAP: Mapping[str, tuple[str, str]] = {
    "zookeeper": ("96m", "32m"),
    "coordinator": ("384m", "64m"),
    "historical": ("384m", "256m"),
    "broker": ("512m", "256m"),
    "indexer": ("768m", "384m"),
}
"""Heap and direct memory of each process."""
_MODULES = (
    "--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in ("jdk.internal.ref", "java.nio", "sun.nio.ch", "java.io", "java.lang")),
    "--add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED",
)
_LOGGING = """<Configuration status="WARN"><Appenders><Console name="out"><PatternLayout pattern="%d{ISO8601} %p [%t] %c - %m%n"/></Console>
</Appenders><Loggers><Root level="warn"><AppenderRef ref="out"/></Root></Loggers></Configuration>
"""


def folder(settings: Settings) -> Path:
    return settings.home / "druid"


def prepare(role: str) -> Callable[[Settings], None]:
    """Makes the folder of `role` and its file of arguments, with this copy's ports; repeating it changes nothing."""

    def prepared(settings: Settings) -> None:
        jar_folder("druid")
        place = folder(settings)
        (place / "tmp").mkdir(parents=True, exist_ok=True)
        (place / "log4j2.xml").write_text(_LOGGING)
        if role == "zookeeper":
            own = {
                "clientPort": str(settings.druid.zookeeper_port),
                "clientPortAddress": "127.0.0.1",
                "dataDir": str(place / "zookeeper"),
            }
            text = (settings.conf / "druid" / "zoo.cfg").read_text()
            (place / "zoo.cfg").write_text(text + "".join(f"{key}={value}\n" for key, value in own.items()))
        (place / f"{role}.arguments").write_text("\n".join(map(_quoted, _arguments(role, settings))) + "\n")

    return prepared


def command(role: str) -> Callable[[Settings], list[str]]:
    """Program and arguments of `role` in the foreground; `prepare` must have run."""

    def made(settings: Settings) -> list[str]:
        main = ["org.apache.zookeeper.server.quorum.QuorumPeerMain", str(folder(settings) / "zoo.cfg")]
        if role != "zookeeper":
            main = ["org.apache.druid.cli.Main", "server", role]
        # Properties go by a file of arguments: a command line of that length is no use to anybody who looks at processes.
        return [java(), f"@{folder(settings) / f'{role}.arguments'}", "-cp", f"{jar_cache('druid')}/*", *main]

    return made


def _arguments(role: str, settings: Settings) -> list[str]:
    heap, direct = _HEAP[role]
    place = folder(settings)
    options = ["-server", f"-Xms{'64m' if role == 'zookeeper' else '128m'}", f"-Xmx{heap}", f"-XX:MaxDirectMemorySize={direct}"]
    options += [
        "-XX:+UseSerialGC",
        # Those that answer queries are worth a second compiler; the others start sooner and smaller without.
        *(() if role in ("historical", "broker") else ("-XX:TieredStopAtLevel=1",)),
        "-XX:+ExitOnOutOfMemoryError",
        "-Duser.timezone=UTC",
        "-Dfile.encoding=UTF-8",
    ]
    options += [f"-Djava.io.tmpdir={place / 'tmp'}", f"-Dlog4j.configurationFile={place / 'log4j2.xml'}"]
    if role == "zookeeper":
        return options
    properties = _properties(settings.conf / "druid" / "common.properties") | _properties(settings.conf / "druid" / f"{role}.properties")
    port = str(settings.druid.derby_port)
    properties |= {
        "druid.host": "127.0.0.1",
        "druid.plaintextPort": str(getattr(settings.druid, f"{role}_port")),
        "druid.zk.service.host": f"127.0.0.1:{settings.druid.zookeeper_port}",
        "druid.metadata.storage.connector.host": "127.0.0.1",
        "druid.metadata.storage.connector.port": port,
        "druid.metadata.storage.connector.connectURI": f"jdbc:derby://127.0.0.1:{port}/{place / 'metadata'};create=true",
        "druid.storage.storageDirectory": str(place / "segments"),
        "druid.indexer.logs.directory": str(place / "task-logs"),
    }
    if role == "historical":
        properties["druid.segmentCache.locations"] = f'[{{"path":"{place / "cache"}","maxSize":"10g"}}]'
    if role == "indexer":
        properties["druid.worker.baseTaskDirs"] = f'["{place / "tasks"}"]'
    options += [*_MODULES, "-Djava.util.logging.manager=org.apache.logging.log4j.jul.LogManager"]
    return options + [f"-D{key}={value}" for key, value in properties.items()]


def _properties(file: Path) -> dict[str, str]:
    lines = (line.strip() for line in file.read_text().splitlines())
    return {key: value for key, _, value in (line.partition("=") for line in lines if line and not line.startswith("#"))}


def _quoted(argument: str) -> str:
    """As a file of arguments of the java launcher takes it."""
    return '"' + argument.replace("\\", "\\\\").replace('"', '\\"') + '"'


def running(_: Settings, pid: int) -> str:
    """The gate of all processes but the last: they need each other to become healthy, so none is waited for alone."""
    return "" if pid else "is not running"


def problem(settings: Settings) -> str:
    """Why Druid cannot be used yet; empty = segments can be loaded, tasks run, SQL is answered."""
    return Druid(settings).problem()


def analytics_problem(settings: Settings, pid: int) -> str:
    """Why the facts do not flow yet; empty = the stream runs its queries and Druid's supervisor is healthy."""
    ready = settings.home / "run" / "analytics.ready"
    if not ready.exists() or ready.read_text().split()[:1] != [str(pid)]:
        return "has not started its queries yet"
    try:
        return Druid(settings).supervisor_problem()
    except Unavailable as error:
        return str(error)
