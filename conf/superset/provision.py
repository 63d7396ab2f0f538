"""Brings Superset to what its files say: tables, permissions, assets, the role Analyst, two users. Run again, it changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask_migrate import upgrade
from superset.app import create_app

ASSETS = Path(__file__).with_name("assets")
PAGES = (
    ("can_read", "Dashboard"),
    ("can_read", "Chart"),
    ("can_read", "Theme"),
    ("can_read", "CurrentUserRestApi"),
    ("can_read", "DashboardFilterStateRestApi"),
    ("can_write", "DashboardFilterStateRestApi"),
    ("can_read", "DashboardPermalinkRestApi"),
    ("can_dashboard", "Superset"),
    ("can_log", "Superset"),
    ("can_recent_activity", "Log"),
    ("can_time_range", "Api"),
    ("menu_access", "Home"),
    ("menu_access", "Dashboards"),
)
"""What the role Analyst may do beside asking the provisioned datasets: look at pages. No SQL, no users, no changes."""


def provision() -> None:
    """Returns when all is as the files say; raises what Superset raises, and then the step that failed has changed nothing."""
    app = create_app()
    with app.app_context():
        upgrade()
        from superset import appbuilder, db, security_manager

        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
        admin = _user(security_manager, "admin", "Admin", app.config["PASSWORDS"]["admin"])
        datasets = _assets(admin, app.config["DRUID_BROKER"])
        role = security_manager.add_role("Analyst")
        allowed = [security_manager.add_permission_view_menu(*page) for page in PAGES]
        allowed += [security_manager.add_permission_view_menu("datasource_access", dataset.perm) for dataset in datasets]
        if {one.id for one in role.permissions} != {one.id for one in allowed}:
            role.permissions = allowed
        db.session.commit()
        _user(security_manager, "analyst", "Analyst", app.config["PASSWORDS"]["analyst"])


def _assets(admin: Any, broker: str) -> list[Any]:
    """The datasets that the files name, once all files are imported."""
    import yaml
    from superset import db
    from superset.commands.importers.v1.assets import ImportAssetsCommand
    from superset.connectors.sqla.models import SqlaTable
    from superset.utils.core import override_user

    files = {str(file.relative_to(ASSETS)): file.read_text(encoding="utf-8") for file in sorted(ASSETS.rglob("*.yaml"))}
    files = {name: text.replace("${DRUID_BROKER}", broker) for name, text in files.items()}
    with override_user(admin):
        ImportAssetsCommand(files).run()
    uuids = [yaml.safe_load(text)["uuid"] for name, text in files.items() if name.startswith("datasets/")]
    return list(db.session.query(SqlaTable).filter(SqlaTable.uuid.in_(uuids)))


def _user(security_manager: Any, name: str, role: str, password: str) -> Any:
    """The user, with this role and password; whoever changed the password in the pages loses it here."""
    from werkzeug.security import check_password_hash

    found = security_manager.find_user(name)
    if found is None:
        names = (name, name.capitalize(), "Paxtrail", f"{name}@localhost")
        return security_manager.add_user(*names, security_manager.find_role(role), password=password)
    if not check_password_hash(found.password, password):
        security_manager.reset_password(found.id, password)
    return found


if __name__ == "__main__":
    provision()
