"""Consent: the golden examples of the rules, and that order, repetition and pieces of a ledger never change a decision."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paxtrail.adapters import configuration
from paxtrail.core import consent, folds, views
from paxtrail.core.consent import ANY, CHANNELS, GRANTS, Decision, Record, Subject, decide
from paxtrail.core.consent_rules import ASKABLE, age, rules
from paxtrail.errors import ConfigurationError
from paxtrail.settings import ROOT

RULES = configuration.consent(ROOT / "conf")
GUARDED = ("restricted", "restriction_lifted", "objected", "objection_lifted", "signalled")


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def act(purpose: str, status: str, at: str, *, recorded: str = "", expires: str = "", channel: str = ANY, **more: Any) -> Record:
    return Record(
        f"{purpose}{status}{at}{recorded}", purpose, channel, status, us(at), us(recorded or at), us(expires) if expires else None, **more
    )  # fmt: skip


def asked(purpose: str, at: str, *acts: Record, channel: str = ANY, **subject: Any) -> tuple[bool, str]:
    found = decide(RULES, Subject(ledgers=(acts,), **subject), purpose, at=us(at), channel=channel)
    return found.allowed, found.reason


# -- the golden examples (domain rules §1.2) ----------------------------------------------------------------------------------

GIVEN = act("marketing", "given", "2026-01-01", expires="2028-01-01", channel="email")


def test_a_without_a_record_a_european_gets_no_marketing_by_e_mail() -> None:
    assert asked("marketing", "2026-11-22", channel="email", residence="DE") == (False, "default:opt_in")


def test_b_a_consent_of_two_years_has_run_out_after_them() -> None:
    assert asked("marketing", "2027-12-31", GIVEN, channel="email", residence="DE") == (True, "given")
    assert asked("marketing", "2028-01-02", GIVEN, channel="email", residence="DE") == (False, "expired")


def test_c_a_withdrawal_by_phone_counts_though_the_consent_on_the_web_arrives_after_it() -> None:
    on_web = act("marketing", "given", "2026-03-01T10:00", recorded="2026-03-01T10:20")
    by_phone = act("marketing", "withdrawn", "2026-03-01T10:05", recorded="2026-03-01T10:06")
    for acts in itertools.permutations((on_web, by_phone)):
        assert asked("marketing", "2026-03-02", *acts, residence="DE") == (False, "withdrawn")


def test_d_a_californian_adult_is_sold_until_a_browser_signals() -> None:
    assert asked("partner_sharing", "2026-11-22", residence="US-CA", age=30) == (True, "default:opt_out")
    signal = act("all", "signalled", "2026-05-01")
    assert asked("partner_sharing", "2026-11-22", signal, residence="US-CA", age=30) == (False, "gpc")


def test_only_a_consent_that_holds_counts_as_one_whatever_else_allows() -> None:
    def consented(*acts: Record, purpose: str = "partner_sharing") -> tuple[bool, bool]:
        found = decide(RULES, Subject(ledgers=(acts,), residence="US-CA", age=30), purpose, at=us("2026-11-22"))
        return found.allowed, found.consented

    said = act("partner_sharing", "given", "2026-01-01", expires="2028-01-01")
    assert consented(said) == consented(said._replace(status="renewed")) == (True, True)
    assert consented() == consented(purpose="care") == (True, False)
    assert consented(said._replace(expires_at=us("2026-11-22"))) == (False, False)
    assert consented(said, act("partner_sharing", "withdrawn", "2026-02-01")) == (False, False)


def test_e_a_californian_of_15_is_sold_by_their_own_consent_only() -> None:
    assert asked("partner_sharing", "2026-11-22", residence="US-CA", age=15) == (False, "minor_opt_in")
    assert asked("partner_sharing", "2026-11-22", act("partner_sharing", "given", "2026-01-01"), residence="US-CA", age=15)[0]
    assert asked("partner_sharing", "2026-11-22", residence="US-CA", age=12) == (False, "child")


@pytest.mark.parametrize("residence", ["DE", "GB", "US-CA", "BR", "IN", "CN", "AE", None])
def test_f_a_disruption_is_told_to_who_withdrew_from_marketing(residence: str | None) -> None:
    withdrawn = act("marketing", "withdrawn", "2026-01-01")
    assert asked("disruption", "2026-11-22", withdrawn, residence=residence, age=10) == (True, "basis:contract")


def test_g_an_indian_of_17_cannot_consent_to_profiling() -> None:
    own = act("personalisation", "given", "2026-01-01")
    assert asked("personalisation", "2026-11-22", own, residence="IN", age=17) == (False, "child")
    assert asked("personalisation", "2026-11-22", own, residence="IN", age=18) == (True, "given")


# -- the rules one by one -----------------------------------------------------------------------------------------------------


def test_a_legal_block_and_a_restriction_come_before_everything_but_the_office_of_data_protection() -> None:
    restricted = act("all", "restricted", "2026-01-01")
    assert asked("care", "2026-11-22", restricted) == (False, "restricted")
    assert asked("analysis", "2026-11-22", restricted) == (False, "restricted")
    assert asked("data_protection", "2026-11-22", restricted) == (True, "basis:legal_obligation")
    assert asked("care", "2026-11-22", restricted, act("all", "restriction_lifted", "2026-02-01")) == (True, "basis:contract")
    assert asked("data_protection", "2026-11-22", blocks=frozenset({"erased"})) == (False, "erased")


def test_an_objection_outweighs_a_later_consent_until_it_is_taken_back() -> None:
    objected, given_later = act("personalisation", "objected", "2026-01-01"), act("personalisation", "given", "2026-02-01")
    assert asked("personalisation", "2026-11-22", residence="DE") == (True, "default:legitimate_interest")
    assert asked("personalisation", "2026-11-22", objected, given_later, residence="DE") == (False, "objection")
    lifted = act("personalisation", "objection_lifted", "2026-01-15")
    assert asked("personalisation", "2026-11-22", objected, lifted, given_later, residence="DE") == (True, "given")


def test_a_consent_for_one_channel_is_none_for_another_and_a_withdrawal_from_all_ends_it() -> None:
    assert asked("marketing", "2026-11-22", GIVEN, channel="sms", residence="DE") == (False, "default:opt_in")
    assert asked("marketing", "2026-11-22", GIVEN, residence="DE") == (False, "default:opt_in")
    everywhere = act("marketing", "withdrawn", "2026-02-01")
    assert asked("marketing", "2026-11-22", GIVEN, everywhere, channel="email", residence="DE") == (False, "withdrawn")
    assert asked("marketing", "2026-11-22", residence="US-CA", channel="sms") == (False, "default:opt_in")
    assert asked("marketing", "2026-11-22", residence="US-CA", channel="email") == (True, "default:opt_out")


def test_a_withdrawal_wins_an_exact_tie() -> None:
    tied = [act("marketing", "withdrawn", "2026-01-01")._replace(record_id="a")]
    tied += [act("marketing", status, "2026-01-01")._replace(record_id="b") for status in ("given", "renewed")]
    for acts in itertools.permutations(tied):
        assert asked("marketing", "2026-11-22", *acts, residence="DE") == (False, "withdrawn")


def test_a_guardian_consents_for_a_child_but_not_to_what_is_never_done_to_one() -> None:
    by_guardian = act("social_enrichment", "given", "2026-01-01", by="guardian")
    later_own = act("social_enrichment", "given", "2026-02-01")
    assert asked("social_enrichment", "2026-11-22", by_guardian, later_own, residence="FR", age=14) == (True, "given")
    assert asked("social_enrichment", "2026-11-22", later_own, residence="FR", age=14) == (False, "child")
    assert asked("social_enrichment", "2026-11-22", later_own, residence="FR", age=15) == (True, "given")
    assert asked("social_enrichment", "2026-11-22", by_guardian, residence="IN", age=14) == (False, "child")


def test_an_age_that_cannot_be_read_counts_as_a_child_s() -> None:
    given_ = act("marketing", "given", "2026-01-01")
    assert asked("marketing", "2026-11-22", given_, residence="DE", age_hidden=True) == (False, "age_unknown")


def test_what_nobody_knows_a_region_for_is_decided_by_the_strict_column() -> None:
    for residence in (None, "US", "US-NY", "ZZ"):
        assert asked("partner_sharing", "2026-11-22", residence=residence) == (False, "default:opt_in")


def test_a_decision_cites_its_act_and_the_version_of_the_rules() -> None:
    found = decide(RULES, Subject(((GIVEN,),), "DE"), "marketing", at=us("2026-11-22"), channel="email")
    assert found == Decision(True, "marketing", "given", GIVEN.record_id, "eu/2018-05-25")


def test_a_decision_of_then_leaves_out_what_was_learnt_since() -> None:
    late = act("marketing", "withdrawn", "2026-02-01", recorded="2026-05-01")
    subject = Subject(((GIVEN, late),), "DE")
    at = us("2026-03-01")
    assert decide(RULES, subject, "marketing", at=at, channel="email").reason == "withdrawn"
    assert decide(RULES, subject, "marketing", at=at, channel="email", known_at=at).reason == "given"


def test_a_version_that_is_off_never_holds_and_one_that_is_on_holds_from_its_day() -> None:
    table = configuration._read(ROOT / "conf" / "consent.toml")
    signal = act("all", "signalled", "2026-05-01")
    assert asked("marketing", "2027-06-01", GIVEN, signal, channel="email", residence="DE") == (True, "given")
    for version in table["parameters"]:
        version["on"] = True
    on = rules(table)
    for day, reason in (("2026-12-31T23:59", "given"), ("2027-01-01", "gpc")):
        assert decide(on, Subject(((GIVEN, signal),), "DE"), "marketing", at=us(day), channel="email").reason == reason


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t["purposes"]["marketing"].update(basis="contract"), "purposes"),
        (lambda t: t["parameters"][0]["defaults"].pop("analysis"), "eu/2018-05-25"),
        (lambda t: t["parameters"][0].update(region="mars"), "mars"),
        (lambda t: t["parameters"].append(t["parameters"][0]), "two versions"),
        (lambda t: t["parameters"][2].update(on=False), "uk"),
        (lambda t: t["fields"]["profile"]["searches"].update(purpose="curiosity"), "curiosity"),
        (lambda t: t.update(region_unknown="mars"), "mars"),
        (lambda t: t["parameters"][0].update(gpc=["care"]), "care"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused_with_its_place(change: Any, named: str) -> None:
    table = configuration._read(ROOT / "conf" / "consent.toml")
    change(table)
    with pytest.raises(ConfigurationError, match=named):
        rules(table)


def test_ages_are_whole_years_on_the_day() -> None:
    assert [age("2010-11-22", us(day)) for day in ("2026-11-21T23:59", "2026-11-22")] == [15, 16]
    assert age("2010-11", us("2026-11-22")) is None


# -- properties ---------------------------------------------------------------------------------------------------------------

TIMES = st.integers(0, 3)
ACTS = st.lists(
    st.builds(
        lambda purpose, channel, status, at, late, expires, by, n: Record(
            f"{n:04x}", "all" if status in GUARDED[:2] else purpose, channel, status, at, at + late, expires, by
        ),
        st.sampled_from((*ASKABLE[:2], "all")),
        st.sampled_from(CHANNELS[:3]),
        st.sampled_from(("given", "withdrawn", "renewed", "refused", "expired", "requested", *GUARDED)),
        TIMES,
        TIMES,
        st.none() | st.integers(2, 6),
        st.sampled_from(consent.SPEAKERS),
        st.integers(0, 50),
    ),
    max_size=12,
)
PLACES = st.sampled_from((None, "DE", "US-CA", "IN"))
AGES = st.none() | st.integers(10, 20)


def all_decisions(ledgers: Any, place: str | None, years: int | None, at: int = 5) -> list[tuple[bool, str]]:
    subject = Subject(ledgers, place, years)
    found = [decide(RULES, subject, purpose, at=at, channel=channel) for purpose in ASKABLE[:2] for channel in CHANNELS[:3]]
    return [(one.allowed, one.reason) for one in found]


@given(ACTS, PLACES, AGES, st.randoms())
def test_order_and_repetition_of_acts_change_no_decision(acts: list[Record], place: str | None, years: int | None, random: Random) -> None:
    shuffled = acts + acts[: len(acts) // 2]
    random.shuffle(shuffled)
    assert all_decisions((shuffled,), place, years) == all_decisions((acts,), place, years)


@given(ACTS, ACTS, PLACES, AGES, st.randoms())
def test_of_two_customers_that_become_one_the_most_restrictive_counts(
    one: list[Record], other: list[Record], place: str | None, years: int | None, random: Random
) -> None:
    united = all_decisions((one, other), place, years)
    assert united == all_decisions((other, one), place, years)
    for both, mine, theirs in zip(united, all_decisions((one,), place, years), all_decisions((other,), place, years), strict=True):
        if {mine[1], theirs[1]} & {"withdrawn", "refused", "objection", "gpc", "restricted"}:
            assert not both[0]
        if both[0]:
            assert mine[0] or theirs[0]
        if mine[0] and theirs[0]:
            assert both[0]


def test_an_act_under_an_identifier_of_both_ends_what_one_of_them_refused() -> None:
    refused = act("marketing", "withdrawn", "2026-01-01")
    shared, own = act("marketing", "given", "2026-02-01"), act("marketing", "given", "2026-03-01")
    subject = Subject(((refused,), (own,)), "DE")
    assert not decide(RULES, subject, "marketing", at=us("2026-11-22")).allowed
    subject = Subject(((refused, shared), (shared,)), "DE")
    assert decide(RULES, subject, "marketing", at=us("2026-11-22")).allowed


TABLE = configuration.attributes(ROOT / "conf")["profile"]


def event(record: Record, event_id: str) -> folds.Event:
    facts = {"act": consent.key(record.purpose, record.channel, record.status, record.by), "expires_at": record.expires_at}
    return folds.Event(event_id, "loyalty", "loyalty.consent_changed", record.at, 0, record.recorded_at, facts)


@given(ACTS, PLACES, AGES, st.integers(0, 12))
def test_what_a_state_keeps_decides_as_the_whole_history_does(acts: list[Record], place: str | None, years: int | None, cut: int) -> None:
    acts = [record._replace(record_id=f"{n:04x}") for n, record in enumerate(acts)]
    events = [event(record, record.record_id) for record in acts]
    state = folds.merge(TABLE, folds.fold(TABLE, events[cut:]), folds.fold(TABLE, events[:cut]))
    (kept,) = views.ledgers({"t": state}, TABLE) or [[]]
    assert all_decisions((consent.ledger(kept),), place, years) == all_decisions((acts,), place, years)


def test_a_state_keeps_every_act_there_can_be() -> None:
    assert TABLE.attributes[views.LEDGERS].keep >= consent.SPACE


@given(ACTS)
def test_only_a_consent_or_a_default_ever_allows(acts: list[Record]) -> None:
    denials = [act for act in acts if act.status not in GRANTS]
    for allowed, reason in all_decisions((denials,), "IN", None):
        assert not allowed, reason
