"""What every program begins with: settings of its environment, logs and traces as they say."""

from __future__ import annotations

from paxtrail.adapters import logs, tracing
from paxtrail.settings import Settings


def begin(program: str) -> Settings:
    """Settings of $PAXTRAIL_ENV; from here on this process logs and traces as `program`. ConfigurationError if they are wrong."""
    settings = Settings.load()
    logs.start(settings, program)
    tracing.start(settings, program)
    return settings
