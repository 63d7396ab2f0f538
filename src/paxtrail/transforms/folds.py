"""The folds of `core/folds.py` as Spark columns: events or states are taken apart into entries, and entries united to state texts.

Everything after the one shuffle by key stays in its partition. State texts parse to the same canonical states as Python's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from paxtrail.core.attributes import META, Attribute, AttributeTable
from paxtrail.core.folds import NUMBER

DAY = 86_400_000_000
_SCALE = 9
_NUMBER = T.DecimalType(38, 0)
_MANY = ("sum", "days", "recent", "set", "map")
_ORDER = T.StructType(
    [*(T.StructField(name, T.LongType()) for name in "rtsa"), T.StructField("i", T.StringType()), T.StructField("v", T.StringType())]
)
_ENTRY = T.StructType(
    [
        *(T.StructField(name, T.StringType()) for name in ("slot", "kind")),
        T.StructField("keep", T.IntegerType()),
        T.StructField("sub", T.StringType()),
        T.StructField("o", _ORDER),
        T.StructField("n", _NUMBER),
        T.StructField("scale", T.IntegerType()),
    ]
)
"""One entry. `sub`: what entries of one attribute are told apart by (unit, day, key, value; those of `recent` by all that they are);
`o`: the total order, for min and max only the value in `t`; `n`: count, or billionths of a sum (whole numbers print without an exponent
in every SQL mode); `scale`: the decimals that were written."""

_kept = lru_cache(maxsize=2048)
"""A column is the same in every plan, and takes hundreds of calls to the JVM."""


def fold(events: DataFrame, tables: Mapping[str, AttributeTable], base: DataFrame | None = None) -> DataFrame:
    """(entity, key, state) of events given as rows of silver.events with `entity` and `key` of what they change.

    `base`: states (entity, key, state) that they are merged with, any number of a key. What the tables no longer define, or define
    otherwise, is dropped from them.
    """
    feeds = reduce(Column.__or__, [(F.col("entity") == t.entity) & F.col("type").isin(*t.types) for t in tables.values()])
    said = _by_entity(tables, _said)
    if base is None:
        return _united(_entries(events.where(feeds).repartition("entity", "key"), said))
    # Both are taken apart before the shuffle: united once, instead of folded, written, parsed and united again.
    entries = _entries(events.where(feeds), said).unionByName(_entries(*_parsed(base, tables)))
    return _united(entries.repartition("entity", "key"))


def _by_entity(tables: Mapping[str, AttributeTable], of: Callable[[AttributeTable], Column]) -> Column:
    """What `of` says of the table of the row's entity: one pass over the rows, however many entities they feed."""
    return reduce(lambda rest, t: F.when(F.col("entity") == t.entity, of(t)).otherwise(rest), tables.values(), F.lit(None))


def _parsed(states: DataFrame, tables: Mapping[str, AttributeTable]) -> tuple[DataFrame, Column]:
    """(entity, key, a column an entity) with the states taken apart, and the entries of one."""
    parsed = [
        F.when(F.col("entity") == table.entity, F.from_json("state", _state_type(table))).alias(f"of_{table.entity}")
        for table in tables.values()
    ]

    def held(table: AttributeTable) -> Column:
        return F.concat(*[_held(attribute, f"of_{table.entity}") for attribute in table.attributes.values()])

    return states.select("entity", "key", *parsed), _by_entity(tables, held)


def _entries(rows: DataFrame, entries: Column) -> DataFrame:
    """(entity, key, e) of what is said: an entry without what its kind needs is none.

    In steps, and looked through last: `filter` with all that stands below it is interpreted, and so is a generator of what is no
    column; and a value that is both asked for and tested is read twice. `explode_outer`: for `explode`, the optimizer would ask for
    the size of the arrays before, and make them twice.
    """
    found = rows.select("entity", "key", entries.alias("all")).select("entity", "key", F.explode_outer("all").alias("e"))
    return found.where("e.sub IS NOT NULL AND (e.n IS NOT NULL OR e.o.t IS NOT NULL AND e.o.v IS NOT NULL)")


# -- entries of events ------------------------------------------------------------------------------------------------------


def _said(table: AttributeTable) -> Column:
    """All entries of one event; some may be none."""
    attributes = table.attributes.values()
    single = [_mentioned(a) for a in attributes if a.each is None]
    lists = [_mentions(a) for a in attributes if a.each is not None]
    return F.concat(F.array(*single, F.lit(None).cast(_ENTRY)), *lists)


@_kept
def _mentioned(attribute: Attribute) -> Column:
    return F.when(_fed(attribute), _mention(attribute, None, F.col("event_id")))


@_kept
def _mentions(attribute: Attribute) -> Column:
    items = _at(F.col("payload"), attribute.each or "$", "array<variant>")
    entries = F.transform(items, lambda item, place: _mention(attribute, item, F.concat_ws(".", "event_id", place.cast("string"))))
    return F.coalesce(F.when(_fed(attribute), entries), F.array().cast(T.ArrayType(_ENTRY)))


def _mention(attribute: Attribute, item: Column | None, id_: Column) -> Column:
    """The entry of one event that feeds the attribute, or of one item of its list; without `sub`, order or number if it says nothing."""
    value = _value(attribute, item)
    order = {
        "r": _rank(attribute),
        "t": F.col("event_time"),
        "s": F.col("source_sequence"),
        "a": F.col("arrival_time"),
        "i": id_,
        "v": value,
    }
    zero = {"r": F.lit(0), "s": F.lit(0), "a": F.lit(0)}
    one = F.lit(1) if attribute.value is None else F.when(value.isNotNull(), 1)
    match attribute.fold:
        case "latest":
            return _entry(attribute, order=order)
        case "first":
            return _entry(attribute, order={**order, "r": -order["r"]})
        case "min" | "max":
            return _entry(attribute, order={**zero, "t": _number(attribute, item), "i": F.lit(""), "v": F.lit("")})
        case "sum":
            raw = _text(attribute.value if isinstance(attribute.value, str) else "$", item)
            unit = F.lit("") if attribute.unit is None else F.coalesce(_text(attribute.unit, item), F.lit(""))
            n, scale = _decimal(F.when(raw.rlike(f"^({NUMBER.pattern})$"), raw))
            return _entry(attribute, sub=unit, n=n, scale=scale)
        case "count":
            return _entry(attribute, n=one)
        case "days":
            return _entry(attribute, sub=_day(F.col("event_time")), n=one)
        case "recent":
            return _entry(attribute, order={**order, **zero})
        case "set":
            return _entry(attribute, sub=F.nullif(value, F.lit("null")), order={**order, **zero, "v": F.lit("")})
        case _:
            return _entry(attribute, sub=_text(attribute.key or "$", item), order=order)


def _fed(attribute: Attribute) -> Column:
    """Whether the event feeds the attribute: its type does, and what its type requires is there and not false."""
    required = dict(attribute.requires)
    free = [type_ for type_ in attribute.types if type_ not in required]
    fed = F.col("type").isin(*free) if free else F.lit(False)
    for type_, path in required.items():
        held = F.coalesce(F.to_json(_at(F.col("payload"), path)).isin("null", "false"), F.lit(True))
        fed |= (F.col("type") == type_) & ~held
    return fed


def _rank(attribute: Attribute) -> Column:
    return reduce(lambda rest, pair: F.when(F.col("source") == pair[0], F.lit(pair[1])).otherwise(rest), attribute.rank, F.lit(0))


def _at(root: Column, path: str, type_: str = "variant") -> Column:
    return root if path == "$" and type_ == "variant" else F.try_variant_get(root, path, type_)


def _json(path: str, item: Column | None) -> Column:
    """Canonical JSON text of what a path leads to; null where there is nothing."""
    if path in META:
        return F.col("event_time").cast("string") if path == "@time" else F.concat(F.lit('"'), F.col(path[1:]), F.lit('"'))
    return F.to_json(_at(F.col("payload") if item is None else item, path))


def _text(path: str, item: Column | None) -> Column:
    if path in META:
        return F.col({"@type": "type", "@source": "source", "@time": "event_time"}[path]).cast("string")
    return F.try_variant_get(F.col("payload") if item is None else item, path, "string")


def _number(attribute: Attribute, item: Column | None) -> Column:
    path = attribute.value if isinstance(attribute.value, str) else "$"
    return F.col("event_time") if path == "@time" else F.try_variant_get(F.col("payload") if item is None else item, path, "bigint")


def _value(attribute: Attribute, item: Column | None) -> Column:
    if attribute.value is None:
        return F.lit("")
    if isinstance(attribute.value, str):
        return _json(attribute.value, item)
    found = [(member, _json(path, item)) for member, path in attribute.value]
    members = F.array_join(F.array(*[F.concat(F.lit(f'"{member}":'), text) for member, text in found]), ",")
    return F.when(members != "", F.concat(F.lit("{"), members, F.lit("}")))


def _day(time: Column) -> Column:
    return F.date_from_unix_date(F.floor(time / F.lit(DAY)).cast("int")).cast("string")


def _decimal(text: Column) -> tuple[Column, Column]:
    """(billionths, decimals written) of a number's text."""
    whole, decimals = F.regexp_extract(text, r"^(-?[0-9]+)", 1), F.regexp_extract(text, r"\.([0-9]+)$", 1)
    billionths = F.when(text.isNotNull(), F.concat(whole, F.rpad(decimals, _SCALE, "0")).cast(_NUMBER))
    return billionths, F.length(decimals)


def _entry(
    attribute: Attribute,
    *,
    sub: Column | None = None,
    order: dict[str, Column] | None = None,
    n: Column | None = None,
    scale: Column | None = None,
) -> Column:
    parts = [F.lit(None).cast(_ORDER)] if order is None else [F.struct(*[order[name].alias(name) for name in _ORDER.names]).cast(_ORDER)]
    columns = [
        F.lit(attribute.slot),
        F.lit(attribute.fold),
        F.lit(attribute.keep),
        F.lit("") if sub is None else sub,
        *parts,
        (F.lit(None) if n is None else n).cast(_NUMBER),
        F.lit(0) if scale is None else scale,
    ]
    return F.struct(*[column.alias(name) for column, name in zip(columns, _ENTRY.names, strict=True)]).cast(_ENTRY)


# -- entries of states ------------------------------------------------------------------------------------------------------


def _state_type(table: AttributeTable) -> T.StructType:
    fields = []
    for attribute in table.attributes.values():
        one = T.StructType([T.StructField(name, type_) for name, type_ in _PARTS[attribute.fold].items()])
        fields.append(T.StructField(attribute.slot, T.ArrayType(one) if attribute.fold in _MANY else one))
    return T.StructType(fields)


_LONG, _STRING = T.LongType(), T.StringType()
_SAID: dict[str, T.DataType] = {"r": _LONG, "t": _LONG, "s": _LONG, "a": _LONG, "i": _STRING, "v": _STRING}
_PARTS: dict[str, dict[str, T.DataType]] = {
    "latest": _SAID,
    "first": _SAID,
    "min": {"v": _LONG},
    "max": {"v": _LONG},
    "sum": {"u": _STRING, "n": _STRING},
    "count": {"n": _LONG},
    "days": {"d": _STRING, "n": _LONG},
    "recent": {"t": _LONG, "i": _STRING, "v": _STRING},
    "set": {"k": _STRING, "t": _LONG, "i": _STRING},
    "map": {"k": _STRING, **_SAID},
}
"""Members of one entry of a canonical state, by kind."""


@_kept
def _held(attribute: Attribute, column: str) -> Column:
    """Entries a state holds of one attribute; `column` has the parts of the state."""
    state = F.col(column)[attribute.slot]
    nothing = F.array().cast(T.ArrayType(_ENTRY))
    if attribute.fold in _MANY:
        return F.coalesce(F.transform(state, lambda part: _of_state(attribute, part)), nothing)
    return F.when(state.isNull(), nothing).otherwise(F.array(_of_state(attribute, state)))


def _of_state(attribute: Attribute, part: Column) -> Column:
    zero = {"r": F.lit(0), "s": F.lit(0), "a": F.lit(0)}
    match attribute.fold:
        case "latest" | "map":
            return _entry(attribute, sub=part["k"] if attribute.fold == "map" else None, order={name: part[name] for name in _SAID})
        case "first":
            return _entry(attribute, order={**{name: part[name] for name in _SAID}, "r": -part["r"]})
        case "min" | "max":
            return _entry(attribute, order={**zero, "t": part["v"], "i": F.lit(""), "v": F.lit("")})
        case "sum":
            n, scale = _decimal(part["n"])
            return _entry(attribute, sub=part["u"], n=n, scale=scale)
        case "count":
            return _entry(attribute, n=part["n"])
        case "days":
            return _entry(attribute, sub=part["d"], n=part["n"])
        case "recent":
            return _entry(attribute, order={**zero, **{name: part[name] for name in "tiv"}})
        case _:
            return _entry(attribute, sub=part["k"], order={**zero, "t": part["t"], "i": part["i"], "v": F.lit("")})


# -- union ------------------------------------------------------------------------------------------------------------------


def _united(entries: DataFrame) -> DataFrame:
    """(entity, key, state) of (entity, key, e): one entry a `sub`, then the newest `keep`, then the text."""
    least = F.col("e.kind").isin("first", "min")
    whole = F.concat_ws("\u0001", "e.o.t", "e.o.i", "e.o.v")
    entry = (
        entries.withColumn("sub", F.when(F.col("e.kind") == "recent", whole).otherwise(F.col("e.sub")))
        .groupBy("entity", "key", "e.slot", "e.kind", "e.keep", "sub")
        .agg(
            F.coalesce(F.max(F.when(~least, F.col("e.o"))), F.min(F.when(least, F.col("e.o")))).alias("o"),
            F.sum("e.n").alias("n"),
            F.max("e.scale").alias("scale"),
        )
        .select("entity", "key", "slot", "kind", "keep", F.struct("o", "sub", _written().alias("text")).alias("one"))
    )
    newest = F.sort_array(F.collect_list("one"), asc=False)
    attribute = entry.groupBy("entity", "key", "slot", "kind", "keep").agg(newest.alias("all"))
    # Units of a sum are sorted upwards; all else is newest first.
    ordered = (
        F.when(F.col("kind") == "sum", F.reverse("all")).when(F.col("keep") > 0, F.slice("all", 1, F.col("keep"))).otherwise(F.col("all"))
    )
    listed = F.concat(F.lit("["), F.array_join(F.transform(ordered, lambda one: one["text"]), ","), F.lit("]"))
    part = F.when(F.col("kind").isin(*_MANY), listed).otherwise(F.col("all")[0]["text"])
    parts = attribute.select("entity", "key", F.concat(F.lit('"'), "slot", F.lit('":'), part).alias("part"))
    state = F.concat(F.lit("{"), F.array_join(F.sort_array(F.collect_list("part")), ","), F.lit("}"))
    return parts.groupBy("entity", "key").agg(state.alias("state"))


def _written() -> Column:
    """The text of one entry, by kind."""
    o, kind = F.col("o"), F.col("kind")
    said = [o[name].alias(name) for name in "tsaiv"]
    count = F.col("n").cast("bigint").alias("n")
    forms = {
        "latest": F.struct(o["r"].alias("r"), *said),
        "first": F.struct((-o["r"]).alias("r"), *said),
        "min": F.struct(o["t"].alias("v")),
        "max": F.struct(o["t"].alias("v")),
        "sum": F.struct(F.col("sub").alias("u"), _plain().alias("n")),
        "count": F.struct(count),
        "days": F.struct(F.col("sub").alias("d"), count),
        "recent": F.struct(*[o[name].alias(name) for name in "tiv"]),
        "set": F.struct(F.col("sub").alias("k"), o["t"].alias("t"), o["i"].alias("i")),
        "map": F.struct(F.col("sub").alias("k"), o["r"].alias("r"), *said),
    }
    return reduce(lambda rest, form: F.when(kind == form[0], F.to_json(form[1])).otherwise(rest), forms.items(), F.lit(None))


def _plain() -> Column:
    """Decimal text with as many decimals as the most exact number had."""
    digits = F.abs(F.col("n")).cast("string")
    padded = F.when(F.length(digits) > _SCALE, digits).otherwise(F.lpad(digits, _SCALE + 1, "0"))
    places = F.length(padded) - _SCALE
    decimals = F.substring(padded, places + 1, F.col("scale"))
    sign = F.when(F.col("n") < 0, "-").otherwise("")
    return F.concat(sign, F.substring(padded, F.lit(1), places), F.when(F.col("scale") > 0, F.concat(F.lit("."), decimals)).otherwise(""))
