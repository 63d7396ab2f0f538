"""Who uses the stack meanwhile: a reader that never stops looking, and a batch layer that runs again and again."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path
from random import Random

import httpx
import psycopg

from paxtrail.adapters.postgres import dsn
from paxtrail.demo.batches import BatchRun
from paxtrail.errors import PaxtrailError
from paxtrail.serving import access, issuer
from paxtrail.settings import Settings

_ENTITIES = {"flight": "flights", "bag": "bags"}
_PAUSE_S = 0.02


class Reader(threading.Thread):
    """Reads customers, flights and bags through the API, by versions: they only grow, and one version is one document.

    `wrong` says what a reader must never see; an answer that is not there (503, no connection) is none of it.
    """

    def __init__(self, settings: Settings, random: Random) -> None:
        super().__init__(name="reader", daemon=True)
        self._settings, self._random = settings, random
        token = issuer.load(settings).token(access.load(settings.conf), "agent", subject="chaos", purposes=("care",))
        self._headers = {"Authorization": f"Bearer {token}", "Paxtrail-Purpose": "care"}
        self._ended = threading.Event()
        self._newest: defaultdict[str, int] = defaultdict(int)
        self._documents: dict[tuple[str, int], str] = {}
        self.wrong: list[str] = []
        self.answers: Counter[str] = Counter()

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        address = f"http://{self._settings.api.host}:{self._settings.api.port}"
        with httpx.Client(base_url=address, headers=self._headers, timeout=40, trust_env=False) as client:
            known: list[str] = []
            looked = 0.0
            while not self._ended.wait(_PAUSE_S):
                if time.monotonic() - looked > 5:
                    known, looked = self._known() or known, time.monotonic()
                if known:
                    self._read(client, self._random.choice(known[-50:] if self._random.random() < 0.3 else known))

    def _known(self) -> list[str]:
        """Paths of what the store has, in the order of its changes."""
        with suppress(psycopg.Error), psycopg.connect(dsn(self._settings, "serving", "api"), connect_timeout=5) as connection:
            rows = connection.execute("select entity, key from versions order by version").fetchall()
            paths = {entity: f"/v1/{name}/" for entity, name in {**_ENTITIES, "customer": "profiles"}.items()}
            return [paths[entity] + key for entity, key in rows if entity in paths]
        return []

    def _read(self, client: httpx.Client, path: str) -> None:
        try:
            answer = client.get(path)
        except httpx.HTTPError as error:
            self.answers[type(error).__name__] += 1
            return
        self.answers[str(answer.status_code)] += 1
        if answer.status_code == 503:
            return
        if answer.status_code != 200:
            self.wrong.append(f"{path}: {answer.status_code} {answer.text[:200]}")
            return
        body = answer.json()
        what, version = body.get("customer_id", path), body["version"]
        if version < self._newest[what]:
            self.wrong.append(f"{what}: version {version} after {self._newest[what]}")
        self._newest[what] = version
        if self._documents.setdefault((what, version), answer.headers["etag"]) != answer.headers["etag"]:
            self.wrong.append(f"{what}: version {version} has two contents")


class Batches(threading.Thread):
    """Batch runs, one after the other; one that died is gone on with under its id, as an operator would."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="batches", daemon=True)
        self._settings = settings
        self._ended = threading.Event()
        self._now: BatchRun | None = None
        self.runs: list[str] = []
        self.drifted = 0

    def current(self) -> tuple[int, bool] | None:
        """Process of the run that is at work, and whether it publishes by now."""
        run = self._now
        if run is None or not run.running:
            return None
        with suppress(psycopg.Error), psycopg.connect(dsn(self._settings, "serving", "api"), connect_timeout=5) as connection:
            gates = connection.execute("select gate from batch_runs where run_id = %s", (run.run_id,)).fetchall()
            return run.pid, gates == [("green",)]
        return None

    def stop(self) -> None:
        """The run at work has ended well."""
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.is_set():
            run_id = f"chaos-{len(self.runs)}"
            while not self._finished(run_id):
                time.sleep(1)
            self.runs.append(run_id)

    def _finished(self, run_id: str) -> bool:
        self._now = BatchRun(self._settings, run_id)
        try:
            self.drifted += self._now.result()["publication"]["drifted"]
        except PaxtrailError as error:
            with (Path(self._settings.logs) / "batches.log").open("a") as log:
                log.write(f"{error}\n")
            return False
        return True
