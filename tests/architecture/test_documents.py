"""What the documents say is there: generated files are up to date, and named tests, files, links and commands exist."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from paxtrail import tables
from paxtrail.adapters import migrations
from paxtrail.cli.dictionary import DELTA, sql_tables
from paxtrail.cli.docs import docs
from paxtrail.cli.main import COMMANDS, main
from paxtrail.serving import agent
from paxtrail.settings import ROOT
from paxtrail.tables.contracts import Table

DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = ROOT / "docs" / "dictionary.md"

_TEST = re.compile(r"`(?P<file>tests/[\w/]+\.py)?::(?P<test>test_\w+)`")
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([\w-]+))?\)")
_PATH = re.compile(r"`((?:src|conf|docs|tests|streaming|spark_jobs|api|dags|dbt|ml|benchmarks)/[\w./-]+)`")
_MODULE = re.compile(r"`((?:core|adapters|serving|stack|transforms|cli)/[\w/]+\.(?:py|sql))`")
_COMMAND = re.compile(r"paxtrail(?:\.cli\.main)? (?P<general>(?:--[\w-]+ \S+ )*)(?P<name>[a-z]+)\b(?P<rest>[^`\n|;&#)]*)")
_OPTION = re.compile(r"(?<!\S)--?[a-z][\w-]*")
_ROUTE = re.compile(r"(?<![\w.>}/-])(?:\$api|http://127\.0\.0\.1:80\d\d)?(/(?:v1|health|metrics|agent|dev)(?:/[^\s`'\"?|),]*)?)(?![\w.])")
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)


def missing(document: Path, root: Path = ROOT) -> list[str]:
    """What a document names and the checkout does not have."""
    text = document.read_text(encoding="utf-8")
    return [*_tests(text, root), *_links(document, text), *_files(text, root), *_commands(text), *_routes(text)]


def _tests(text: str, root: Path) -> Iterator[str]:
    file = ""
    for match in _TEST.finditer(text):
        file = match["file"] or file
        path = root / file
        if not path.is_file() or f"def {match['test']}(" not in path.read_text(encoding="utf-8"):
            yield f"the test {file}::{match['test']}"


def _links(document: Path, text: str) -> Iterator[str]:
    for target, anchor in _LINK.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        path = document.parent / target if target else document
        if not path.exists():
            yield f"the link {target}"
        elif anchor and anchor not in _anchors(path):
            yield f"the heading {target}#{anchor}"


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def _files(text: str, root: Path) -> Iterator[str]:
    for name in _PATH.findall(text):
        if not (root / name).exists():
            yield f"the file {name}"
    for name in _MODULE.findall(text):
        if not (root / "src" / "paxtrail" / name).exists():
            yield f"the module {name}"


def _commands(text: str) -> Iterator[str]:
    for code in _CODE.findall(text):
        for match in _COMMAND.finditer(code.replace("\\\n", " ")):
            if match["name"] == "exec":
                continue
            if match["name"] not in COMMANDS:
                yield f"the command {match['name']}"
                continue
            module, _, attribute = COMMANDS[match["name"]].partition(":")
            yield from _unknown(getattr(importlib.import_module(module), attribute), match["rest"].split(), match["name"])
            yield from _unknown(main, match["general"].split(), "paxtrail")


def _unknown(command: click.Command, words: list[str], name: str) -> Iterator[str]:
    """Subcommands and options that a command does not have; what it hands on to another program is that one's business."""
    if command.context_settings.get("ignore_unknown_options"):
        return
    if isinstance(command, click.Group) and name != "paxtrail" and words and re.fullmatch(r"[a-z]+", words[0]):
        if words[0] not in command.commands:
            yield f"the command {name} {words[0]}"
            return
        command, name, words = command.commands[words[0]], f"{name} {words[0]}", words[1:]
    known = {"--help", *(option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts))}
    yield from (f"the option {word} of {name}" for word in _OPTION.findall(" ".join(words)) if word not in known)


def _routes(text: str) -> Iterator[str]:
    """A path of a document is one of the API's or begins one; a segment in braces stands for any."""
    for path in _ROUTE.findall(text):
        parts = path.strip("/").split("/")
        if not any(len(parts) <= len(route) and all(map(_stands_for, route, parts)) for route in served()):
            yield f"the route {path}"


def _stands_for(template: str, part: str) -> bool:
    return template.startswith("{") or template == part


@cache
def served() -> list[list[str]]:
    """Paths of the contract, and those of the pages and the development issuer, which it leaves out, as segments."""
    contract = json.loads((ROOT / "api" / "openapi.json").read_text(encoding="utf-8"))["paths"]
    return [path.strip("/").split("/") for path in (*contract, "/dev/jwks.json", *(path for _, _, path, *_ in agent.PAGES))]


def test_the_dictionary_is_up_to_date() -> None:
    assert CliRunner().invoke(docs, ["--check"]).exit_code == 0, "run ./paxtrail docs"


def test_a_stale_dictionary_is_noticed(tmp_path: Path) -> None:
    stale = tmp_path / "dictionary.md"
    stale.write_text(GENERATED.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert CliRunner().invoke(docs, ["--check", "--output", str(stale)]).exit_code == 1
    assert CliRunner().invoke(docs, ["--output", str(stale)]).exit_code == 0
    assert CliRunner().invoke(docs, ["--check", "--output", str(stale)]).exit_code == 0


def test_the_dictionary_has_every_contract() -> None:
    contracts = {
        contract.name
        for module in pkgutil.iter_modules(tables.__path__)
        for contract in vars(importlib.import_module(f"paxtrail.tables.{module.name}")).values()
        if isinstance(contract, Table)
    }
    assert contracts == {table.name for table in DELTA}


@pytest.mark.parametrize("database", ["serving", "vault", "marts"])
def test_every_table_of_postgresql_says_what_it_is(database: str) -> None:
    text = Path(migrations.__file__).with_name("sql").joinpath(f"{database}.sql").read_text(encoding="utf-8")
    found = sql_tables(text)
    assert len(found) == text.count("CREATE TABLE")
    assert [table.name for table in found if not (table.about and table.columns and table.key)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_document_names_is_there(document: Path) -> None:
    assert missing(document) == []


@pytest.mark.parametrize(
    "planted",
    [
        "`tests/architecture/test_documents.py::test_that_never_was`",
        "`tests/architecture/test_documents.py::test_the_dictionary_is_up_to_date`, `::test_that_never_was`",
        "[a page](nowhere.md)",
        "[a heading](#nowhere)",
        "`src/paxtrail/nowhere.py`",
        "`core/nowhere.py`",
        "`./paxtrail vanish`",
        "```sh\n./paxtrail --home /tmp/second vanish\n```",
        "`./paxtrail rejects vanish`",
        "`./paxtrail decode FILE --sauce flights`",
        "`./paxtrail rejects list --sauce flights`",
        "`./paxtrail --house /tmp/second status`",
        "```sh\n./paxtrail decode FILE \\\n    --sauce flights\n```",
        "`GET /v1/customers`",
        "`/v1/profiles/{id}/secrets`",
        "`curl $api/v1/vanish/x?from=2026-11-22T00`",
        "http://127.0.0.1:8080/health/wealth",
    ],
)
def test_what_a_document_makes_up_is_found(planted: str, tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(f"# Page\n\nSee {planted}.\n", encoding="utf-8")
    assert len(missing(document)) == 1


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_document_stands_on_its_own(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert not re.search(r"\b(TODO|FIXME|TBD)\b|/(?:work|root)/|\.\./shared", text)


@pytest.mark.parametrize("folder", ["adr", "guides"])
def test_an_index_lists_every_page_once(folder: str) -> None:
    pages = ROOT / "docs" / folder
    listed = [target for target, _ in _LINK.findall((pages / "README.md").read_text(encoding="utf-8"))]
    assert sorted(listed) == sorted(page.name for page in pages.glob("*.md") if page.name != "README.md")
    assert folder != "adr" or listed == sorted(listed)
