"""A contact is in the profile and the 360 view at once: how it sounded for everybody who cares, its text for those who may see texts."""

from __future__ import annotations

from typing import Any

from tests.serving.world import Client, World

TEXT = "Terrible, my bag is lost and I am very angry."


def contact(event: str, **more: Any) -> dict[str, Any]:
    return {
        "event": event,
        "contact": "C-77",
        "at": "2013-02-08T12:00:00Z",
        "channel": "chat",
        "reason": "baggage",
        "customer": {"loyalty": {"airline": "UA", "number": "AB123456"}},
        **more,
    }


def feed(world: World) -> None:
    world.feed(("contacts", contact("received", text=TEXT)), ("contacts", contact("surveyed", score=1, scale=5, comment="Secret comment")))


async def test_a_contact_shows_channel_reason_label_and_score_without_its_text(api: Client, world: World) -> None:
    feed(world)
    path = f"/v1/profiles/{world.customer()}"
    answer = await api.get(path)
    attributes = answer.json()["attributes"]
    [shown] = attributes["contacts"]
    assert {name: shown[name] for name in ("channel", "reason", "sentiment", "model")} == {
        "channel": "chat",
        "reason": "baggage",
        "sentiment": "negative",
        "model": "lexicon/1",
    }
    assert attributes["sentiment"]["label"] == "negative"
    assert attributes["contacts_negative"]["by_day"] == {"2013-02-08": 1} and "last_90_days" in attributes["contacts_negative"]
    assert [(rated["score"], rated["scale"]) for rated in attributes["survey_scores"]] == [(1, 5)]
    for told in (answer, await api.get(f"{path}/360"), await api.get(f"{path}/timeline")):
        assert told.status_code == 200
        assert "Terrible" not in told.text and "Secret comment" not in told.text
    assert (await api.get(f"{path}/360")).json()["profile"]["attributes"]["contacts"] == attributes["contacts"]


async def test_a_role_with_class_text_reads_what_was_said(api: Client, world: World) -> None:
    feed(world)
    attributes = (await api.get(f"/v1/profiles/{world.customer()}", "supervisor")).json()["attributes"]
    assert [said["text"] for said in attributes["contact_texts"]] == [TEXT]
