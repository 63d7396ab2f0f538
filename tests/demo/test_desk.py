"""The desk signs in to the agent's page as a browser does: the form's answer is a cookie, and only with it the search is there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from paxtrail.demo.desk import Desk
from paxtrail.settings import Settings


@contextmanager
def pages(*, accepts: bool, sets: str) -> Iterator[int]:
    """The port of a server that answers as the agent's page does."""

    class Page(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(303 if accepts else 401)
            self.send_header("location", "/agent")
            self.send_header("set-cookie", f"{sets}=care~token; Path=/agent; HttpOnly; SameSite=strict")
            self.send_header("content-length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            known = "paxtrail_agent=" in self.headers.get("cookie", "")
            body = b'<form method="post" action="/agent/search">' if known else b'<form method="post" action="/agent/session">'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    ("accepts", "sets", "there"), [(True, "paxtrail_agent", True), (True, "another", False), (False, "paxtrail_agent", False)]
)
def test_the_search_is_there_for_who_is_let_in(tmp_path: Path, accepts: bool, sets: str, there: bool) -> None:
    found = Settings.load()
    with pages(accepts=accepts, sets=sets) as port:
        api = found.api.model_copy(update={"host": "127.0.0.1", "port": port})
        with Desk(found.model_copy(update={"home": tmp_path, "api": api})) as desk:
            assert desk.page() is there
