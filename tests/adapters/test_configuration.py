"""The configuration folder: schemas and attribute tables that fit each other, and errors that name the file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from paxtrail.adapters import configuration
from paxtrail.core.attributes import KINDS
from paxtrail.errors import ConfigurationError


@pytest.fixture
def conf(root: Path, tmp_path: Path) -> Path:
    for folder in ("schemas", "attributes"):
        shutil.copytree(root / "conf" / folder, tmp_path / folder)
    return tmp_path


def test_the_tables_of_the_project_fit_its_schemas(root: Path) -> None:
    tables = configuration.attributes(root / "conf")
    assert tuple(sorted(tables)) == configuration.ENTITIES
    assert {attribute.fold for table in tables.values() for attribute in table.attributes.values()} == set(KINDS)
    assert all(
        attribute.class_ == "public" for attribute in tables["flight"].attributes.values() if attribute.value and "@" not in attribute.value
    )


def test_a_bad_attribute_is_named_with_its_file(conf: Path) -> None:
    file = conf / "attributes" / "flight.toml"
    file.write_text(file.read_text() + '\n[belt]\nfrom = ["flight.leg_updated"]\nvalue = "$.belt"\nfold = "latest"\n')
    with pytest.raises(ConfigurationError, match=r"flight\.toml: flight\.belt: .*declares nothing at \$\.belt"):
        configuration.attributes(conf)


@pytest.mark.parametrize("file", ["attributes/flight.toml", "schemas/flights.toml"])
def test_a_file_that_is_no_toml_is_named(conf: Path, file: str) -> None:
    (conf / file).write_text("[flight")
    with pytest.raises(ConfigurationError, match=f"{file}: not valid TOML"):
        configuration.attributes(conf)


def test_a_missing_and_an_unknown_table_are_named(conf: Path) -> None:
    (conf / "attributes" / "order.toml").rename(conf / "attributes" / "orders.toml")
    with pytest.raises(ConfigurationError, match=r"orders\.toml: orders is no entity"):
        configuration.attributes(conf)
    (conf / "attributes" / "orders.toml").unlink()
    with pytest.raises(ConfigurationError, match=r"order\.toml is missing"):
        configuration.attributes(conf)


def test_a_wrong_folder_is_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="PAXTRAIL_CONF"):
        configuration.schemas(tmp_path)
