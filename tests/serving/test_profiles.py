"""Reads of customers: profile, 360 view, timeline; what is masked, what is never shown, and the record of every read."""

from __future__ import annotations

import psycopg
import pytest
from tests.serving.world import EMAIL, LEG, PASSPORT, SUBJECT, TAG, Client, World, account, passenger, reservation, smith, texts

from paxtrail.adapters.postgres import dsn

UNKNOWN = "0" * 32


async def test_a_profile_is_answered_by_id_with_its_version_and_freshness(api: Client, world: World) -> None:
    customer = world.customer()
    answer = await api.get(f"/v1/profiles/{customer}")
    body = answer.json()
    assert answer.status_code == 200
    assert body["customer_id"] == customer
    assert body["attributes"]["tier"] == "GOLD"
    assert body["attributes"]["emails"] == [EMAIL]
    assert [(body["version"],)] == world.sql("select version from versions where entity = 'customer' and key = %s", customer)
    assert set(body["freshness"]) == {"committed", "age_s"} and body["as_of"].endswith("Z")


async def test_the_second_read_takes_the_kept_document(api: Client, world: World) -> None:
    path = f"/v1/profiles/{world.customer()}"
    first = await api.get(path)
    world.sql("delete from states where entity = 'profile'")
    second = await api.get(path)
    assert second.json()["attributes"] == first.json()["attributes"]


async def test_a_change_is_seen_by_the_next_read(api: Client, world: World) -> None:
    path = f"/v1/profiles/{world.customer()}"
    before = (await api.get(path)).json()
    world.feed(("loyalty", account(sequence=2) | {"at": "2013-02-02T00:00:00Z", "tier": "PLATINUM"}))
    after = (await api.get(path)).json()
    assert (before["attributes"]["tier"], after["attributes"]["tier"]) == ("GOLD", "PLATINUM")
    assert after["version"] > before["version"]


async def test_a_kept_document_is_never_replaced_by_an_older_one(api: Client, world: World) -> None:
    customer = world.customer()
    await api.get(f"/v1/profiles/{customer}")
    kept = "select version, document from documents where entity = 'customer' and key = %s"
    ((version, document),) = world.sql(kept, customer)
    serving = api.app.state.serving
    await serving.store.keep([("customer", customer, version - 1, "x", "{}")])
    assert world.sql(kept, customer) == [(version, document)]
    await serving.store.keep([("customer", customer, version + 1, "x", "{}")])
    assert world.sql(kept, customer) == [(version + 1, "{}")]


async def test_a_document_of_another_attribute_table_is_rendered_again(api: Client, world: World) -> None:
    customer = world.customer()
    await api.get(f"/v1/profiles/{customer}")
    world.sql("update documents set digest = 'older table', document = '{}' where key = %s", customer)
    assert (await api.get(f"/v1/profiles/{customer}")).json()["attributes"]["tier"] == "GOLD"


async def test_an_id_that_was_merged_away_answers_the_current_customer(api: Client, world: World) -> None:
    mine, other = world.customer(), world.customer("passenger", "BR0WNX|2013-01-20|BROWN/ANN")
    ann = passenger(1, "BROWN", "ANN", loyalty={"airline": "UA", "number": "AB123456"})
    world.feed(("reservations", reservation("BR0WNX", version=2, passengers=[ann])))
    oldest, merged = sorted((mine, other))
    assert world.customer() == oldest
    answer = await api.get(f"/v1/profiles/{merged}")
    assert answer.json()["customer_id"] == oldest
    assert answer.headers["content-location"] == f"/v1/profiles/{oldest}"


@pytest.mark.parametrize("rest", ["", "/360", "/timeline"])
async def test_an_unknown_id_is_not_found(api: Client, rest: str) -> None:
    answer = await api.get(f"/v1/profiles/{UNKNOWN}{rest}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_documents_are_masked_and_health_is_an_icon_for_an_agent(api: Client, world: World) -> None:
    attributes = (await api.get(f"/v1/profiles/{world.customer()}")).json()["attributes"]
    assert attributes["document"]["number"] == f"•••{PASSPORT[-3:]}"
    icon = {"icon": "health"}
    (request,) = attributes["care_requests"]
    assert request == {"code": icon, "kind": "mobility", "leg": LEG, "status": "HK", "text": icon}


async def test_a_customer_and_the_protection_officer_see_a_sensitive_request_in_full(api: Client, world: World) -> None:
    attributes = (await api.get(f"/v1/profiles/{world.customer()}", "dpo")).json()["attributes"]
    (request,) = attributes["care_requests"]
    assert request == {"code": "WCHR", "kind": "mobility", "leg": LEG, "status": "HK", "text": "own wheelchair"}


async def test_a_request_cancelled_under_another_token_is_cancelled_for_who_sees_it_as_an_icon_too(api: Client, world: World) -> None:
    again = [{"code": "WCHR", "passenger": 1, "segment": 1, "status": "XX"}]
    john = passenger(1, "SMITH", "JOHN", document={"type": "P", "number": PASSPORT, "country": "US", "expires": "2020-01-01"})
    (before,) = (await api.get(f"/v1/profiles/{world.customer()}/360")).json()["journeys"]
    assert [(one["kind"], one["cancelled"]) for one in before["journey"]["care_requests"]] == [("mobility", False)]
    # Without the membership the passport is the subject: another token, another key, other sealed bytes for the same request.
    world.feed(("reservations", reservation(version=2, passengers=[john], ssrs=again)))
    for role in ("agent", "dpo"):
        body = (await api.get(f"/v1/profiles/{world.customer()}/360", role)).json()
        assert "care_requests" not in body["profile"]["attributes"]
        (journey,) = body["journeys"]
        assert [(one["kind"], one["cancelled"]) for one in journey["journey"]["care_requests"]] == [("mobility", True)]


async def test_the_protection_officer_sees_the_document_in_full(api: Client, world: World) -> None:
    attributes = (await api.get(f"/v1/profiles/{world.customer()}", "dpo")).json()["attributes"]
    assert attributes["document"]["number"] == PASSPORT


async def test_an_engineer_sees_no_personal_value_and_no_sensitive_request(api: Client, world: World) -> None:
    body = (await api.get(f"/v1/profiles/{world.customer()}/360", "engineer")).json()
    found = set(texts(body))
    assert not found & {EMAIL, PASSPORT, "SMITH", "Smith", "JOHN", "1970-01-02", "WCHR", "K7Q2ZP"}
    assert body["profile"]["attributes"]["tier"] == "GOLD"
    assert not any(text.startswith("sealed:") for text in found)
    assert "care_requests" not in body["profile"]["attributes"] and "care_requests" not in body["journeys"][0]["journey"]


async def test_the_360_view_has_live_flight_bags_orders_and_history(api: Client, world: World) -> None:
    path = f"/v1/profiles/{world.customer()}/360"
    body = (await api.get(path)).json()
    (journey,) = body["journeys"]
    assert journey["flights"][0]["key"] == LEG and journey["flights"][0]["departure_delay"] == 30
    assert journey["bags"][0]["key"] == TAG and journey["bags"][0]["custody"] == "accepted"
    assert body["orders"][0]["locator"] == "K7Q2ZP"
    assert body["journeys_total"] == 1
    assert [body["history"][part]["flights_booked"] for part in ("up_to_cut", "since", "total")] == [0, 1, 1]
    world.feed(("flights", world.flight("2013-02-08T09:30:00Z", "2013-02-08T11:15:00Z")))
    again = (await api.get(path)).json()
    assert again["journeys"][0]["flights"][0]["departure_delay"] == 60
    assert again["version"] == body["version"]


async def test_history_adds_what_closed_since_the_cut_once(api: Client, world: World) -> None:
    customer = world.customer()
    path = f"/v1/profiles/{customer}/360"
    world.feed(("flights", world.flight("2013-02-08T09:30:00Z", status="DX")))
    before = (await api.get(path)).json()["history"]
    assert [before[part]["flights_cancelled"] for part in ("up_to_cut", "since", "total")] == [0, 1, 1]
    assert [before[part]["flights_booked"] for part in ("up_to_cut", "since", "total")] == [0, 1, 1]
    # The next publication concludes the journey: it is in the history then, and no longer added.
    key = world.journey(customer)
    outcome = f'{{"journey":"{key}","leg":"{LEG}","result":"flight_cancelled","by":"carrier","bags_checked":1,"bags_mishandled":0}}'
    world.sql("insert into states values ('outcome', %s, 0, '', %s)", key, outcome)
    between = (await api.get(path)).json()["history"]  # a range of outcomes is published before the one of histories
    assert [between[part]["flights_cancelled"] for part in ("up_to_cut", "since", "total")] == [0, 1, 1]
    world.sql("insert into states values ('history', %s, 0, '', %s)", customer, f'{{"journeys":{{"{key}":{outcome}}}}}')
    world.sql("update versions set version = nextval('version_seq') where entity = 'customer' and key = %s", customer)
    body = (await api.get(path)).json()
    assert [body["history"][part]["flights_cancelled"] for part in ("up_to_cut", "since", "total")] == [1, 0, 1]
    assert body["profile"]["history"]["flights_cancelled"] == 1
    assert body["journeys"][0]["outcome"]["result"] == "flight_cancelled"


async def test_a_timeline_is_paged_newest_first_without_gap_or_repetition(api: Client, world: World) -> None:
    for version in range(2, 9):
        world.feed(("reservations", smith(version)))
    path = f"/v1/profiles/{world.customer()}/timeline"
    whole = (await api.get(f"{path}?limit=200")).json()["items"]
    pages, query = [], "?limit=4"
    while True:
        page = (await api.get(path + query)).json()
        pages.append(page["items"])
        if "next" not in page:
            break
        query = f"?limit=4&cursor={page['next']}"
    assert [len(items) for items in pages[:-1]] == [4] * (len(pages) - 1) and len(pages) > 2
    assert [item for items in pages for item in items] == whole
    assert [item["at"] for item in whole] == sorted((item["at"] for item in whole), reverse=True)


async def test_a_cursor_of_another_list_or_made_up_is_refused(api: Client, world: World) -> None:
    for version in range(2, 5):
        world.feed(("reservations", smith(version)))
    page = (await api.get(f"/v1/profiles/{world.customer()}/timeline?limit=1")).json()
    for path, cursor in ((f"/v1/bags/{TAG}/timeline", page["next"]), (f"/v1/profiles/{world.customer()}/timeline", "bm9uc2Vuc2U")):
        answer = await api.get(f"{path}?cursor={cursor}")
        assert (answer.status_code, answer.json()["code"]) == (400, "cursor_refused")


async def test_an_etag_saves_the_body_until_something_seen_changes(api: Client, world: World) -> None:
    path = f"/v1/profiles/{world.customer()}/360"
    tag = (await api.get(path)).headers["etag"]
    assert not tag.startswith("W/")
    again = await api.get(path, headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert (await api.get(path, "supervisor")).headers["etag"] != tag
    world.feed(("flights", world.flight("2013-02-08T09:30:00Z", "2013-02-08T11:15:00Z")))
    assert (await api.get(path, headers={"if-none-match": tag})).status_code == 200


async def test_a_deleted_key_hides_the_values_at_once(api: Client, world: World) -> None:
    customer = world.customer()
    first = await api.get(f"/v1/profiles/{customer}")
    world.forget(*[token for (token,) in world.sql("select token from links where customer_id = %s", customer)])
    answer = await api.get(f"/v1/profiles/{customer}", headers={"if-none-match": first.headers["etag"]})
    assert answer.status_code == 200
    assert not set(texts(answer.json())) & {EMAIL, "Smith", "SMITH"}
    assert answer.json()["attributes"]["tier"] == "GOLD"


async def test_a_customer_sees_itself_and_nobody_else(api: Client, world: World) -> None:
    mine, other = world.customer(), world.customer("passenger", "BR0WNX|2013-01-20|BROWN/ANN")
    own = await api.get(f"/v1/profiles/{mine}/360", "channel", subject=SUBJECT)
    assert own.status_code == 200 and own.json()["profile"]["attributes"]["emails"] == [EMAIL]
    for rest in ("", "/360", "/timeline"):
        assert (await api.get(f"/v1/profiles/{other}{rest}", "channel", subject=SUBJECT)).status_code == 404
        assert (await api.get(f"/v1/profiles/{mine}{rest}", "channel", subject="somebody-else")).status_code == 404


async def test_every_read_is_recorded_with_who_whom_why_and_where(api: Client, world: World) -> None:
    customer = world.customer()
    trace = "0af7651916cd43dd8448eb211c80319c"
    await api.get(
        f"/v1/profiles/{customer}", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"}, subject="agent-7", purpose="baggage"
    )
    found = world.sql("select subject, client, role, purpose, route, customers, trace from reads", database="vault")
    assert found == [("agent-7", "paxtrail-cli", "agent", "baggage", "profiles.read", [customer], trace)]
    for rest in ("/360", "/timeline"):
        await api.get(f"/v1/profiles/{customer}{rest}")
    assert world.sql("select count(*) from reads where customers = %s", [customer], database="vault") == [(3,)]


async def test_no_answer_leaves_before_its_record_is_durable(api: Client, world: World) -> None:
    path = f"/v1/profiles/{world.customer()}"
    assert (await api.get(path)).status_code == 200
    world.sql("revoke insert on reads from api", database="vault")
    try:
        answer = await api.get(path)
    finally:
        world.sql("grant insert on reads to api", database="vault")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert (await api.get(path)).status_code == 200


async def test_without_the_vault_personal_reads_wait_and_others_go_on(api: Client, world: World) -> None:
    customer, journey = world.customer(), world.journey(world.customer())
    paths = {f"/v1/profiles/{customer}": "engineer", f"/v1/flights/{LEG}": "agent", f"/v1/journeys/{journey}": "analyst"}
    name = world.settings.postgres.vault_database
    with psycopg.connect(dsn(world.settings, "postgres", "postgres"), autocommit=True) as server:
        server.execute(f"alter database {name} allow_connections false")
        server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
        try:
            refused = await api.get(f"/v1/profiles/{customer}")
            answers = {path: (await api.get(path, role)).status_code for path, role in paths.items()}
            ready = await api.http.get("/health/ready")
        finally:
            server.execute(f"alter database {name} allow_connections true")
    assert refused.status_code == 503 and set(answers.values()) == {200}
    assert (ready.status_code, ready.json()["missing"]) == (503, ["vault"])
    # The engineer's read was kept on disk meanwhile, and is moved into the vault with the next ones.
    reads = api.app.state.serving.reads
    await reads.drain()
    assert (await api.get(f"/v1/profiles/{customer}")).status_code == 200
    assert world.sql("select role from reads order by id", database="vault") == [("engineer",), ("agent",)]


async def test_a_broken_store_is_an_error_and_never_an_empty_profile(api: Client, world: World) -> None:
    customer = world.customer()
    name = world.settings.postgres.serving_database
    with psycopg.connect(dsn(world.settings, "postgres", "postgres"), autocommit=True) as server:
        server.execute(f"alter database {name} allow_connections false")
        server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
        try:
            answers = [await api.get(f"/v1/profiles/{customer}{rest}") for rest in ("", "/360", "/timeline")]
            live = await api.http.get("/health/live")
        finally:
            server.execute(f"alter database {name} allow_connections true")
    assert [answer.status_code for answer in answers] == [503, 503, 503]
    assert all(answer.headers["retry-after"] and answer.json()["code"] == "unavailable" for answer in answers)
    assert live.status_code == 200
    assert (await api.get(f"/v1/profiles/{customer}")).status_code == 200
