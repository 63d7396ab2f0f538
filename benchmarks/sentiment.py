"""Texts scored per second and core by the lexicon and by a trained champion, in micro-batches, one after the other as at the door.

The labelled texts are not part of the repository. Four in five train the champion; all are scored.

Example: ./paxtrail exec python benchmarks/sentiment.py --data labelled.csv --label airline_sentiment
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path

from paxtrail.adapters.scoring import Champion, release, written
from paxtrail.benchmark.results import Result, percentiles
from paxtrail.benchmark.stacks import say
from paxtrail.ml import labelled
from paxtrail.ml.training import UNNAMED, train

RATE = 400
"""Records a second of the other benchmarks: what scoring would take of a core if every one had a text."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, help="CSV file with a heading (.gz too)")
    parser.add_argument("--text", default="text", help="column of the texts")
    parser.add_argument("--label", default="label", help="column of the labels")
    parser.add_argument("--batch", type=int, default=200, help="texts of a micro-batch: half a second at 400/s")
    parser.add_argument("--seconds", type=float, default=5, help="of each scorer")
    given = parser.parse_args()
    data = labelled.read(given.data, given.text, given.label)
    sizes = {"texts": len(data.texts), "characters": sum(map(len, data.texts)), "batch": given.batch, "seconds": given.seconds}
    with Result("sentiment", sizes) as result, tempfile.TemporaryDirectory() as folder:
        measure(result, "lexicon", Champion(Path(folder) / "none"), data.texts, given)
        say("training the champion")
        model = written(train(data.split()[0]))
        release(Path(folder), UNNAMED, model)
        result.figures["model_bytes"] = len(model)
        measure(result, "trained champion", Champion(Path(folder)), data.texts, given)


def measure(result: Result, name: str, scorer: Champion, texts: list[str], given: argparse.Namespace) -> None:
    """Micro-batches for so many seconds."""
    say(f"{name}: {given.seconds:.0f} s")
    batches, took = _batches(texts, given.batch), list[float]()
    _score(scorer, next(batches))  # what the first text loads is not a text's price
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < given.seconds:
        batch, at = next(batches), time.perf_counter()
        _score(scorer, batch)
        took.append(1000 * (time.perf_counter() - at))
    rate = len(took) * given.batch / (time.process_time() - cpu)
    spread = percentiles(took)
    result.figures[name] = {"texts_per_second_and_core": round(rate), "micro_batch_ms": asdict(spread)}
    result.add(f"{name}: texts per second and core", f"{rate:,.0f}; {RATE}/s take {RATE / rate:.0%} of a core")
    result.add(f"{name}: micro-batch of {given.batch} texts", f"p50 {spread.p50:.0f} ms, p95 {spread.p95:.0f} ms")


def _score(scorer: Champion, texts: list[str]) -> None:
    scorer.refresh()  # as the door does with each micro-batch
    for text in texts:
        scorer.score(text)


def _batches(texts: list[str], size: int) -> Iterator[list[str]]:
    endless = cycle(texts)
    while True:
        yield list(islice(endless, size))


if __name__ == "__main__":
    main()
