"""k-anonymity by full-domain generalisation: the node of the lattice that loses least, the classes it makes, and what risk is left.

A column is generalised as a whole to one level of its hierarchy, so that releases stay comparable (Samarati, "Protecting respondents'
identities in microdata release", 2001). Rows of classes that break a limit are suppressed. The search is exact: nodes are looked at in the
order of the loss they have before suppression, which bounds what they lose after it from below; nodes below one that fails are not tried.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from paxtrail.errors import ConfigurationError

ANY = "*"
Row = Sequence[str]
"""Values of the quasi-identifiers, in the order of the hierarchies."""
_LARGEST = 2**62
_ROUNDING = 1e-9


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

    def upwards(self, level: int, to: int) -> dict[str, str]:
        """Generalisation on level `to` of every value of a lower level."""
        return {path[level]: path[to] for path in self.paths.values()}

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
    """Levels by column, the loss with suppressed rows counted as lost whole, which rows are kept, and how many nodes were looked at."""

    levels: tuple[int, ...]
    loss: float
    kept: npt.NDArray[np.bool_]
    tried: int


def best(
    rows: Sequence[Row],
    sensitive: Sequence[Sequence[str]],
    hierarchies: Sequence[Hierarchy],
    limits: Limits,
    counts: Sequence[int] | None = None,
) -> Node | None:
    """The node of least loss that keeps the limits; None if none does. `sensitive`: for each sensitive column, its value in every row.

    `counts`: how many persons each row stands for, one if not given: a frequency table is searched as its rows would be. Ties go to the
    lowest levels, so the same rows always give the same release. At most 10^6 nodes are worth trying: fewer columns, or flatter
    hierarchies, beyond that.
    """
    if not rows:
        return None
    table = _Table(rows, sensitive, hierarchies, counts)
    hopeless = _hopeless(table, hierarchies, limits)
    queue = [
        (
            math.fsum(column.mean[level] for column, level in zip(table.columns, levels, strict=True)) / len(table.columns),
            sum(levels),
            levels,
        )
        for levels in product(*(range(one.height) for one in hierarchies))
    ]
    heapq.heapify(queue)
    found: Node | None = None
    tried = 0
    while queue:
        bound, _, levels = heapq.heappop(queue)
        if found is not None and bound >= found.loss:
            break
        if _below(levels, hopeless):
            continue
        tried += 1
        kept = _kept(table.classes(levels), table, limits)
        if 1 - table.share(kept) > limits.suppression:
            continue
        loss = table.loss(levels, kept)
        if found is None or loss < found.loss:
            found = Node(levels, loss, kept, 0)
    return found and Node(found.levels, found.loss, found.kept[table.of_row], tried)


class _Table:
    """The distinct rows with how many persons each stands for, their columns as codes."""

    def __init__(
        self, rows: Sequence[Row], sensitive: Sequence[Sequence[str]], hierarchies: Sequence[Hierarchy], counts: Sequence[int] | None
    ) -> None:
        coded = [_coded([row[i] for row in rows]) for i in range(len(hierarchies))]
        guarded = [_coded(values)[1] for values in sensitive]
        every = np.column_stack([codes for _, codes in coded] + guarded)
        _, first, self.of_row = np.unique(every, axis=0, return_index=True, return_inverse=True)
        self.of_row = self.of_row.reshape(-1)
        self.weights = np.bincount(self.of_row, None if counts is None else np.asarray(counts)).astype(np.float64)
        self.sensitive = [codes[first] for codes in guarded]
        self.columns = [_Column(of, known, codes[first], self.weights) for of, (known, codes) in zip(hierarchies, coded, strict=True)]

    def classes(self, levels: Sequence[int]) -> npt.NDArray[np.int64]:
        """Number of the equivalence class of every distinct row."""
        key, size = np.zeros(len(self.weights), dtype=np.int64), 1
        for column, level in zip(self.columns, levels, strict=True):
            if column.size[level] == 1:
                continue
            if size * column.size[level] >= _LARGEST:
                key = np.unique(key, return_inverse=True)[1].astype(np.int64)
                size = int(key.max()) + 1
            key = key * column.size[level] + column.up[level]
            size *= column.size[level]
        return np.unique(key, return_inverse=True)[1].astype(np.int64)

    def least_loss(self, levels: Sequence[int]) -> float:
        """What a node loses if no row is suppressed."""
        return math.fsum(column.mean[level] for column, level in zip(self.columns, levels, strict=True)) / len(self.columns)

    def share(self, kept: npt.NDArray[np.bool_]) -> float:
        return float(self.weights[kept].sum() / self.weights.sum())

    def loss(self, levels: Sequence[int], kept: npt.NDArray[np.bool_]) -> float:
        """Global certainty penalty: of every cell the share of its hierarchy that it may be; a suppressed row may be anything."""
        penalty = sum(column.penalty[level] for column, level in zip(self.columns, levels, strict=True)) / len(self.columns)
        return float((np.where(kept, penalty, 1.0) * self.weights).sum() / self.weights.sum())


class _Column:
    """One quasi-identifier: by level the generalised code and the penalty of each distinct row, and the mean penalty of all."""

    def __init__(self, of: Hierarchy, known: Sequence[str], codes: npt.NDArray[np.int64], weights: npt.NDArray[np.float64]) -> None:
        self.up: list[npt.NDArray[np.int64]] = []
        self.size: list[int] = []
        self.penalty: list[npt.NDArray[np.float64]] = []
        self.mean: list[float] = []
        for level in range(of.height):
            general = [of.at(str(value), level) for value in known]
            names, above = _coded(general)
            loss = of.loss(level)
            penalty = np.array([loss[one] for one in general])[codes]
            self.up.append(above[codes])
            self.size.append(len(names))
            self.penalty.append(penalty)
            self.mean.append(float((penalty * weights).sum() / weights.sum()))


def _coded(values: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int64]]:
    names, codes = np.unique(np.asarray(values, dtype=object).astype(str), return_inverse=True)
    return [str(name) for name in names], codes.astype(np.int64)


def _hopeless(table: _Table, hierarchies: Sequence[Hierarchy], limits: Limits) -> npt.NDArray[np.int64]:
    """Nodes at which too many rows are in classes below k, and so are at every node that generalises less (Incognito's subsets).

    Looked for where few columns say anything, which costs little: one, two and three of them, the others at the top.
    """
    tops = np.array([one.height - 1 for one in hierarchies])
    failed = np.empty((0, len(tops)), dtype=np.int64)
    if limits.suppression >= 1:
        return failed
    for many in range(1, min(3, len(tops)) + 1):
        for chosen in combinations(range(len(tops)), many):
            for lower in product(*(range(int(tops[i]) - 1, -1, -1) for i in chosen)):
                levels = tops.copy()
                levels[list(chosen)] = lower
                if not _below(levels, failed):
                    classes = table.classes(levels.tolist())
                    enough = np.bincount(classes, table.weights)[classes] >= limits.k
                    if 1 - table.share(enough) > limits.suppression:
                        failed = np.vstack([failed, levels])
    return failed


def _below(levels: Sequence[int] | npt.NDArray[np.int64], failed: npt.NDArray[np.int64]) -> bool:
    """Whether a node generalises no column more than one of those that failed."""
    return bool((failed >= np.asarray(levels)).all(axis=1).any())


def _kept(classes: npt.NDArray[np.int64], table: _Table, limits: Limits) -> npt.NDArray[np.bool_]:
    """The rows of classes that keep the limits, each sensitive column by l in all classes or by t in all, whichever keeps more rows."""
    sizes = np.bincount(classes, table.weights)
    cells = []
    for values in table.sensitive:
        many = int(values.max()) + 1
        cells.append(np.bincount(classes * many + values, table.weights, len(sizes) * many).reshape(len(sizes), many))
    offers = []
    for by_l in product((True, False), repeat=len(cells)):
        good = sizes >= limits.k
        while True:
            still = good.copy()
            for counts, distinct in zip(cells, by_l, strict=True):
                # The distance is that to the released rows, so what is left out moves it.
                whole = counts[good].sum(axis=0) / max(counts[good].sum(), 1)
                distance = 0.5 * np.abs(counts / sizes[:, None] - whole).sum(axis=1)
                still &= (counts > 0).sum(axis=1) >= limits.l if distinct else distance <= limits.t + _ROUNDING
            if (still == good).all():
                break
            good = still
        offers.append(good)
    return max(offers, key=lambda good: float(sizes[good].sum()))[classes]


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
        if found.l[name] < limits.l and found.t[name] > limits.t + _ROUNDING:
            said.append(f"{name}: l is {found.l[name]} (at least {limits.l}) and t is {found.t[name]:.3f} (at most {limits.t})")
    share = suppressed / (found.rows + suppressed)
    if share > limits.suppression:
        said.append(f"{share:.1%} of the rows were suppressed, at most {limits.suppression:.1%} may be")
    return said
