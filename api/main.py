"""The deployed API: reads settings from the environment, serves paxtrail.serving on uvicorn with uvloop and httptools, by TLS if it has a
certificate."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))
# Worker processes start a fresh interpreter and need the package too.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))


def main() -> None:
    """Serves until SIGTERM; requests under way are answered first."""
    import uvicorn

    from paxtrail.adapters.programs import begin

    settings = begin("api")
    api = settings.api
    if api.workers > 1:
        # Before prometheus_client is imported, which the workers do: a scrape reaches one of them and must tell of all.
        shared = settings.home / "run" / "api-metrics"
        shutil.rmtree(shared, ignore_errors=True)
        shared.mkdir(parents=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(shared)
    uvicorn.run(
        "paxtrail.serving.application:from_environment",
        factory=True,
        host=api.host,
        port=api.port,
        workers=api.workers,
        loop="uvloop",
        http="paxtrail.serving.wire:Wire",
        ws="none",
        ssl_certfile=api.tls_certificate or None,
        ssl_keyfile=api.tls_key or None,
        proxy_headers=bool(api.proxies),
        forwarded_allow_ips=api.proxies,
        access_log=False,
        server_header=False,
        date_header=True,
        log_level="warning",
        log_config=None,
        limit_concurrency=512,
        backlog=1024,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    main()
