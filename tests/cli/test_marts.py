"""`paxtrail marts docs`: the page of the last build, as a file and for a browser."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

from paxtrail.settings import Settings
from paxtrail.stack import places

COMMAND = (sys.executable, "-m", "paxtrail.cli.main", "marts", "docs")


def built(settings: Settings, home: Path) -> tuple[Path, dict[str, str]]:
    """A home with a page as a build leaves it, and the environment in which commands find it."""
    page = home / "dbt" / "docs" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("<title>marts</title>", encoding="utf-8")
    return page, {**os.environ, **places.environment(settings.model_copy(update={"home": home}))}


def test_the_page_is_where_the_command_says(settings: Settings, tmp_path: Path) -> None:
    page, environment = built(settings, tmp_path)
    done = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == page


def test_a_browser_sees_the_page_of_the_last_build_until_ctrl_c_and_nobody_else_gets_its_port(settings: Settings, tmp_path: Path) -> None:
    page, environment = built(settings, tmp_path)
    with subprocess.Popen([*COMMAND, "--serve", "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            where = server.stdout.readline().split()[0]
            assert where.startswith("http://127.0.0.1:")
            page.write_text("<title>newer marts</title>", encoding="utf-8")
            with urlopen(where) as answer:
                assert b"newer marts" in answer.read()
            port = where.rstrip("/").rpartition(":")[2]
            second = subprocess.run([*COMMAND, "--serve", "--port", port], env=environment, capture_output=True, text=True, check=False)
            assert (second.returncode, "choose another with --port" in second.stderr) == (1, True), second.stderr
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 0
