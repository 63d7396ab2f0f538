"""The supervisor of one copy of the stack: supervisord with a configuration made from the parts, spoken to over its socket."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from paxtrail.adapters import drafts
from paxtrail.errors import ConfigurationError, Unavailable
from paxtrail.settings import ROOT, Settings
from paxtrail.stack import places
from paxtrail.stack.parts import Part, chosen, parts
from paxtrail.stack.processes import await_ready

_MARK = "PAXTRAIL_STACK"
_DOWN = (OSError, xmlrpc.client.ProtocolError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class State:
    """What the supervisor says about one part. `started` is in seconds since 1970; `exits` says how its last run ended."""

    name: str
    state: str
    pid: int
    started: int
    exits: str


class Supervisor:
    """The supervisor of `settings.home`, running or not."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.home / "run"
        self.configuration = self.folder / "supervisord.conf"
        self.socket = _socket_path(self.folder)

    @property
    def running(self) -> bool:
        return self.pid != 0

    @property
    def pid(self) -> int:
        """Its process; 0 while it does not run."""
        try:
            return int(self._call("getPID"))
        except Unavailable:
            return 0

    def launch(self) -> None:
        """The supervisor runs and knows every part; parts that are running stay as they are."""
        for folder in (self.folder, self.settings.logs):
            folder.mkdir(parents=True, exist_ok=True)
        if self.running:
            return
        if orphans := self.orphans():
            # Their supervisor was killed; nothing would restart them, and they hold the ports.
            stop_all(orphans)
        self._write()
        command = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(self.configuration)]
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise ConfigurationError(f"the supervisor did not start: {(done.stderr or done.stdout).strip()[-400:]}")
        await_ready(lambda: "" if self.running else "the supervisor does not answer", seconds=20)

    def start(self, part: Part) -> None:
        """The part's program is being kept running, with the command of now; a running one is left alone."""
        if self.state(part.name).pid:
            return
        self._write()
        added, changed, removed = self._call("reloadConfig")[0]
        for name in {part.name} & {*changed} | {*removed}:  # what is no part any more ends: the stream of lanes that were divided
            with contextlib.suppress(xmlrpc.client.Fault):
                self._call("stopProcess", name, True)
            self._call("removeProcessGroup", name)
        if part.name in {*added, *changed}:
            self._call("addProcessGroup", part.name)
        with contextlib.suppress(xmlrpc.client.Fault):  # already started, or failed once already: both are watched from here on
            self._call("startProcess", part.name, False)

    def stop(self, name: str) -> None:
        """The part's processes have ended, also those that left its process group."""
        started: list[psutil.Process] = []
        if pid := self.state(name).pid:
            with contextlib.suppress(psutil.NoSuchProcess):
                started = psutil.Process(pid).children(recursive=True)
        with contextlib.suppress(xmlrpc.client.Fault):  # it was not running
            self._call("stopProcess", name, True)
        stop_all([process for process in started if process.is_running()])

    def shut_down(self) -> None:
        """The supervisor has ended, and nothing that it started is left."""
        if pid := self.pid:
            self._call("shutdown")
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(pid).wait(60)
        stop_all(self.orphans())
        self.socket.unlink(missing_ok=True)

    def state(self, name: str) -> State:
        """State of a part; STOPPED if the supervisor does not run or does not know it."""
        try:
            info = self._call("getProcessInfo", name)
        except (Unavailable, xmlrpc.client.Fault):
            return State(name, "STOPPED", 0, 0, "")
        return State(name, info["statename"], info["pid"], info["start"], info["spawnerr"])

    def orphans(self) -> list[psutil.Process]:
        """Processes that this home's supervisor started and that outlived it."""
        if self.running:
            return []
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(_MARK) == str(self.settings.home):
                    found.append(process)
        return found

    def _call(self, method: str, *arguments: object) -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=SupervisorTransport(None, None, f"unix://{self.socket}"))
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except _DOWN as error:
            raise Unavailable("the supervisor does not answer") from error
        finally:
            proxy("close")()

    def _write(self) -> None:
        values = {
            **places.environment(self.settings),
            "PYTHONPATH": str(ROOT / "src"),
            "PYSPARK_PYTHON": sys.executable,
            # Else glibc keeps up to eight heaps a core for the threads of each JVM, and gives little of it back.
            "MALLOC_ARENA_MAX": "2",
            _MARK: str(self.settings.home),
        }
        lines = [
            "[unix_http_server]",
            f"file={self.socket}",
            "chmod=0600",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
            "[supervisord]",
            f"logfile={_literal(str(self.settings.logs / 'supervisor.log'))}",
            f"pidfile={_literal(str(self.folder / 'supervisord.pid'))}",
            f"childlogdir={_literal(str(self.settings.logs))}",
            "nodaemon=false",
            "silent=true",
            *(() if os.geteuid() else ("user=root",)),
        ]
        for part in parts(self.settings):
            if part.program is not None:
                lines += self._section(part, values)
        drafts.replace(self.configuration, ("\n".join(lines) + "\n").encode())

    def _section(self, part: Part, common: dict[str, str]) -> list[str]:
        assert part.program is not None
        try:
            command, values = part.program(self.settings), common | part.environment(self.settings)
        except FileNotFoundError:  # not prepared yet; written again when it starts
            command, values = ["false"], common
        environment = ",".join(f'{name}="{_literal(value)}"' for name, value in values.items())
        return [
            f"[program:{part.name}]",
            "command=" + " ".join(f'"{_literal(word)}"' for word in command),
            "directory=/",
            f"environment={environment}",
            "autostart=false",
            "autorestart=true",
            "startsecs=2",
            # The delay grows by a second with each attempt; it never gives up, because nobody watches a laptop's stack.
            "startretries=1000000",
            f"stopsignal={part.stop}",
            "stopwaitsecs=60",
            f"stopasgroup={str(part.whole_group).lower()}",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={_literal(str(self.settings.logs / part.name))}.log",
            "stdout_logfile_maxbytes=50MB",
            "stdout_logfile_backups=3",
        ]


def _literal(text: str) -> str:
    """The text as supervisord's configuration and its shell-like words take it."""
    if '"' in text or "\\" in text or "\n" in text:
        raise ConfigurationError("paths with quotes, backslashes or line ends cannot be used")
    return text.replace("%", "%%")


def _socket_path(folder: Path) -> Path:
    """<home>/run/supervisor.sock; in a private folder below /tmp if that is longer than a socket's path may be."""
    path = folder / "supervisor.sock"
    if len(os.fsencode(path)) <= 90:  # 107, less the suffix that supervisord appends while it binds
        return path
    private = Path(f"/tmp/paxtrail-{os.geteuid()}")
    private.mkdir(mode=0o700, exist_ok=True)
    found = private.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o077 or private.is_symlink():
        raise ConfigurationError(f"{private} must be a folder of this user's own, closed to others; or choose a shorter --home")
    return private / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}.sock"


def stop_all(processes: list[psutil.Process]) -> None:
    """They have ended: asked first, killed after ten seconds."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    _, left = psutil.wait_procs(processes, timeout=10)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=10)


def bring_up(settings: Settings, names: tuple[str, ...]) -> Iterator[tuple[Part, float]]:
    """Each part once it is healthy, with the seconds it took; in order; raises Unavailable with the end of its log."""
    places.remember(settings)
    supervisor = Supervisor(settings)
    for part in chosen(settings, names):
        begun = time.monotonic()
        part.prepare(settings)
        if part.program is not None:
            supervisor.launch()
            if not supervisor.state(part.name).pid:
                _refuse_taken_ports(settings, part)
            supervisor.start(part)
        else:
            part.settle(settings)
        try:
            await_ready(lambda part=part: part.problem(settings, supervisor.state(part.name).pid), seconds=part.seconds)  # type: ignore[misc]  # bound at once
        except Unavailable as error:
            raise Unavailable(f"{part.name}: {error} after {part.seconds:.0f} s. {_last_lines(settings, part.name)}") from error
        if part.program is not None:
            part.settle(settings)
        yield part, time.monotonic() - begun


def _refuse_taken_ports(settings: Settings, part: Part) -> None:
    """A stranger's server on the port would pass for ours in the health gate."""
    for port in part.ports(settings):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise ConfigurationError(f"{part.name}: port {port} is taken by another program; choose others with --port-base") from error


def take_down(settings: Settings, names: tuple[str, ...]) -> list[str]:
    """Names of the parts that ran and were stopped, last started first; without names, the supervisor ends too."""
    supervisor = Supervisor(settings)
    stopped = []
    for part in reversed(chosen(settings, names) if names else parts(settings)):
        if part.program is not None and supervisor.state(part.name).pid:
            supervisor.stop(part.name)
            stopped.append(part.name)
    if not names:
        supervisor.shut_down()
    return stopped


def _last_lines(settings: Settings, name: str) -> str:
    file = settings.logs / f"{name}.log"
    if not file.exists():
        return "It has no log."
    return f"{file} ends with:\n" + "\n".join(file.read_text(errors="replace").splitlines()[-12:])
