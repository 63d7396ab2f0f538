"""A contact is in the profile and the 360 view at once: how it sounded for everybody who cares, its text for those who may see texts."""

from __future__ import annotations

from tests.serving.world import COMMENT, TEXT, Client, World, contact


async def test_a_contact_shows_channel_reason_label_and_score_without_its_text(api: Client, world: World) -> None:
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
        assert "Terrible" not in told.text and COMMENT not in told.text


async def test_the_360_view_has_the_trend(api: Client, world: World) -> None:
    world.feed(contact(name="C-78", at="2013-02-08T13:00:00Z", text="Wonderful crew, thank you!"))
    attributes = (await api.get(f"/v1/profiles/{world.customer()}/360")).json()["profile"]["attributes"]
    assert [shown["sentiment"] for shown in attributes["contacts"]] == ["positive", "negative"]
    assert attributes["sentiment"]["label"] == "positive"
    assert [attributes[f"contacts_{label}"]["by_day"] for label in ("negative", "positive")] == [{"2013-02-08": 1}] * 2
    assert "contacts_neutral" not in attributes


async def test_a_role_with_class_text_reads_what_was_said(api: Client, world: World) -> None:
    attributes = (await api.get(f"/v1/profiles/{world.customer()}", "supervisor")).json()["attributes"]
    assert [said["text"] for said in attributes["contact_texts"]] == [TEXT]
