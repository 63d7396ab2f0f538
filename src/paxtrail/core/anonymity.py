"""k-anonymity by full-domain generalisation: the node of the lattice that loses least, the classes it makes, and what risk is left.

A column is generalised as a whole to one level of its hierarchy, so that releases stay comparable (Samarati, "Protecting respondents'
identities in microdata release", 2001). Rows of classes that break a limit are suppressed. The search is exact: nodes are looked at in the
order of the loss they have before suppression, which bounds what they lose after it from below.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from paxtrail.errors import ConfigurationError

ANY = "*"
Row = Sequence[str]
"""Values of the quasi-identifiers, in the order of the hierarchies."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Value → its generalisations, from itself (level 0) to `*`; a value it does not know is `*` on every level."""

    name: str
    paths: Mapping[str, tuple[str, ...]]

    @property
    def height(self) -> int:
        """Number of levels, the value itself included."""
        return len(next(iter(self.paths.values())))

    def at(self, value: str, level: int) -> str:
        path = self.paths.get(value)
        return ANY if path is None else path[level]

    def loss(self, level: int) -> dict[str, float]:
        """Normalised certainty penalty by generalised value: leaves below it / all leaves, 0 for a leaf (domain rules §2.3)."""
        leaves = Counter(path[level] for path in self.paths.values())
        total = len(self.paths)
        return {value: 0.0 if count == 1 else count / total for value, count in leaves.items()} | {ANY: 1.0}


def hierarchy(name: str, lines: Sequence[Sequence[str]]) -> Hierarchy:
    """A hierarchy from its lines, `value, level 1, …, *`; ConfigurationError if they do not make a tree that ends in `*`."""
    paths = {line[0]: tuple(line) for line in lines}
    heights = {len(path) for path in paths.values()}
    if len(heights) != 1 or len(paths) != len(lines):
        raise ConfigurationError(f"hierarchy {name}: every value stands once, with as many levels as the others")
    if {path[-1] for path in paths.values()} != {ANY}:
        raise ConfigurationError(f"hierarchy {name}: the last level is {ANY}")
    for level in range(1, heights.pop()):
        above: dict[str, str] = {}
        for path in paths.values():
            if above.setdefault(path[level - 1], path[level]) != path[level]:
                raise ConfigurationError(f"hierarchy {name}: {path[level - 1]!r} has two generalisations on level {level}")
    return Hierarchy(name, paths)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a release must keep: class size k, distinct sensitive values l or distance t (either will do, per column), suppression."""

    k: int
    l: int = 1  # noqa: E741  # the field's own letter
    t: float = 1.0
    suppression: float = 0.05


class Node(NamedTuple):
    """Levels by column, the loss with suppressed rows counted as lost whole, and which rows are kept."""

    levels: tuple[int, ...]
    loss: float
    kept: npt.NDArray[np.bool_]


def best(rows: Sequence[Row], sensitive: Sequence[Sequence[str]], hierarchies: Sequence[Hierarchy], limits: Limits) -> Node | None:
    """The node of least loss that keeps the limits; None if none does. `sensitive`: for each sensitive column, its value in every row.

    Ties go to the lowest levels, so the same rows always give the same release. At most 10^6 nodes are worth trying: fewer columns, or
    flatter hierarchies, beyond that.
    """
    if not rows:
        return None
    columns = [_Column(hierarchies[i], [row[i] for row in rows]) for i in range(len(hierarchies))]
    coded = [np.unique(np.asarray(values, dtype=object).astype(str), return_inverse=True)[1].astype(np.int64) for values in sensitive]
    queue = [
        (math.fsum(column.mean[level] for column, level in zip(columns, levels, strict=True)) / len(columns), sum(levels), levels)
        for levels in product(*(range(one.height) for one in hierarchies))
    ]
    heapq.heapify(queue)
    found: Node | None = None
    while queue:
        bound, _, levels = heapq.heappop(queue)
        if found is not None and bound >= found.loss:
            break
        kept = _kept(_classes(columns, levels), coded, limits)
        if 1 - kept.mean() > limits.suppression:
            continue
        penalty = sum(column.penalty[level][column.codes] for column, level in zip(columns, levels, strict=True)) / len(columns)
        loss = float(np.where(kept, penalty, 1.0).mean())
        if found is None or loss < found.loss:
            found = Node(levels, loss, kept)
    return found


class _Column:
    """One quasi-identifier as codes, with the generalised code and the penalty of each code by level."""

    def __init__(self, of: Hierarchy, values: Sequence[str]) -> None:
        known, self.codes = np.unique(np.asarray(values, dtype=object).astype(str), return_inverse=True)
        counts = np.bincount(self.codes)
        self.up: list[npt.NDArray[np.int64]] = []
        self.size: list[int] = []
        self.penalty: list[npt.NDArray[np.float64]] = []
        self.mean: list[float] = []
        for level in range(of.height):
            general = [of.at(str(value), level) for value in known]
            names, codes = np.unique(np.asarray(general, dtype=object).astype(str), return_inverse=True)
            loss = of.loss(level)
            penalty = np.array([loss[one] for one in general])
            self.up.append(codes.astype(np.int64))
            self.size.append(len(names))
            self.penalty.append(penalty)
            self.mean.append(float((penalty * counts).sum() / counts.sum()))


def _classes(columns: Sequence[_Column], levels: Sequence[int]) -> npt.NDArray[np.int64]:
    """Number of the equivalence class of every row."""
    key = np.zeros(len(columns[0].codes), dtype=np.int64)
    for column, level in zip(columns, levels, strict=True):
        key = np.unique(key * column.size[level] + column.up[level][column.codes], return_inverse=True)[1].astype(np.int64)
    return key


def _kept(classes: npt.NDArray[np.int64], sensitive: Sequence[npt.NDArray[np.int64]], limits: Limits) -> npt.NDArray[np.bool_]:
    sizes = np.bincount(classes)
    good = sizes >= limits.k
    for values in sensitive:
        table = np.zeros((len(sizes), int(values.max()) + 1))
        np.add.at(table, (classes, values), 1)
        distance = 0.5 * np.abs(table / sizes[:, None] - table.sum(axis=0) / len(values)).sum(axis=1)
        good &= ((table > 0).sum(axis=1) >= limits.l) | (distance <= limits.t)
    return good[classes]


@dataclass(frozen=True, slots=True)
class Risk:
    """What can be said of a released table (domain rules §2.3). `t`, `l` and `alpha` by sensitive column; shares between 0 and 1."""

    rows: int
    classes: int
    k: int
    l: dict[str, int]  # noqa: E741  # the field's own letter
    t: dict[str, float]
    alpha: dict[str, float]
    prosecutor: float
    journalist: float
    marketer: float
    discernibility: int
    average_class: float


def risk(
    rows: Sequence[Row],
    sensitive: Mapping[str, Sequence[str]],
    *,
    k: int,
    population: Sequence[Row] | None = None,
    suppressed: int = 0,
) -> Risk:
    """Measures of a released table of at least one row, from what it says alone; `population`: its quasi-identifiers likewise generalised.

    The journalist knows the population and not who of it is in the table; without a population he is the prosecutor.
    """
    members: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        members[tuple(row)].append(place)
    sizes = [len(places) for places in members.values()]
    around = Counter(tuple(row) for row in population) if population is not None else None
    matching = [max(around[key], len(places)) if around is not None else len(places) for key, places in members.items()]
    l, t, alpha = {}, {}, {}  # noqa: E741  # as above
    for name, values in sensitive.items():
        whole = Counter(values)
        l[name], t[name], alpha[name] = len(whole), 0.0, 0.0
        for places in members.values():
            inside = Counter(values[place] for place in places)
            l[name] = min(l[name], len(inside))
            distance = 0.5 * sum(abs(inside[value] / len(places) - count / len(rows)) for value, count in whole.items())
            t[name] = max(t[name], distance)
            alpha[name] = max(alpha[name], max(inside.values()) / len(places))
    return Risk(
        rows=len(rows),
        classes=len(sizes),
        k=min(sizes),
        l=l,
        t=t,
        alpha=alpha,
        prosecutor=1 / min(sizes),
        journalist=1 / min(matching),
        marketer=len(sizes) / len(rows),
        discernibility=sum(size * size for size in sizes) + suppressed * (len(rows) + suppressed),
        average_class=len(rows) / len(sizes) / k,
    )


def broken(found: Risk, limits: Limits, suppressed: int) -> list[str]:
    """The limits a released table breaks, in words; empty = it may be released."""
    said = [] if found.k >= limits.k else [f"k is {found.k}, at least {limits.k} is asked for"]
    for name in found.l:
        if found.l[name] < limits.l and found.t[name] > limits.t:
            said.append(f"{name}: l is {found.l[name]} (at least {limits.l}) and t is {found.t[name]:.3f} (at most {limits.t})")
    share = suppressed / (found.rows + suppressed)
    if share > limits.suppression:
        said.append(f"{share:.1%} of the rows were suppressed, at most {limits.suppression:.1%} may be")
    return said
