"""Stub until core/outcomes lands."""
from typing import Any
from paxtrail.adapters.silver import Job
def conclude(job: Job) -> dict[str, Any]:
    return {}
