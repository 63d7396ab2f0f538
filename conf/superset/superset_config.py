"""Superset's configuration: addresses from the environment, secrets from the environment or from files of <home>/secrets."""

import os
from pathlib import Path
from urllib.parse import quote

from flask import Flask, request
from flask.sessions import SecureCookieSessionInterface, SessionMixin


def _secret(name: str) -> str:
    """As the other programs find it: PAXTRAIL_PASSWORD_<NAME>, else <home>/secrets/<name>.password."""
    variable = f"PAXTRAIL_PASSWORD_{name.upper()}"
    if given := os.environ.get(variable):
        return given
    if home := os.environ.get("PAXTRAIL_HOME"):
        return (Path(home) / "secrets" / f"{name}.password").read_text(encoding="utf-8").strip()
    raise RuntimeError(f"set {variable}")


def _setting(part: str, name: str) -> str:
    return os.environ[f"PAXTRAIL_{part}__{name}".upper()]


def _kept(folder: str, seconds: int) -> dict[str, object]:
    return {
        "CACHE_TYPE": "FileSystemCache",
        "CACHE_DIR": str(Path(os.environ["SUPERSET_HOME"]) / folder),
        "CACHE_DEFAULT_TIMEOUT": seconds,
        "CACHE_THRESHOLD": 2000,
    }


SECRET_KEY = _secret("superset_key")
SQLALCHEMY_DATABASE_URI = (
    f"postgresql+psycopg2://superset:{quote(_secret('superset'), safe='')}@{_setting('postgres', 'host')}:{_setting('postgres', 'port')}"
    f"/{_setting('postgres', 'superset_database')}?sslmode={_setting('postgres', 'sslmode')}"
)
if authority := os.environ.get("PAXTRAIL_POSTGRES__SSLROOTCERT"):
    SQLALCHEMY_DATABASE_URI += f"&sslrootcert={quote(authority, safe='/')}"

# Read by provision.py, which is the only one that needs them.
DRUID_BROKER = f"{_setting('druid', 'broker_host')}:{_setting('druid', 'broker_port')}"
PASSWORDS = {user: _secret(f"superset_{user}") for user in ("admin", "analyst")}

# Nobody sees anything without signing in, and no other page shows ours inside itself.
AUTH_ROLE_PUBLIC = "Public"
PUBLIC_ROLE_LIKE = None
AUTH_USER_REGISTRATION = False
ENABLE_CORS = False  # Superset's default lets the scripts of a map service read answers
FEATURE_FLAGS = {
    "EMBEDDED_SUPERSET": False,
    "ALLOW_ADHOC_SUBQUERY": False,  # an analyst's own expression stays within a dataset: it is what keeps small counts of persons back
    "ENABLE_TEMPLATE_PROCESSING": False,
}
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = os.environ.get("PAXTRAIL_ENV") == "production"
SESSION_PROTECTION = None  # what it marks in a session, nothing here reads; and each answer to a stranger would be a new cookie


class Sessions(SecureCookieSessionInterface):
    """Whoever is not signed in gets a cookie from the sign-in page only.

    The page sends a log entry on its way out, beside the form. Superset refuses it with a cookie of its own, which holds no user: answered
    last, it would take the place of the session that signing in has just given.
    """

    def should_set_cookie(self, app: Flask, session: SessionMixin) -> bool:
        return super().should_set_cookie(app, session) and ("_user_id" in session or request.path in ("/login/", "/logout/"))


def FLASK_APP_MUTATOR(app: Flask) -> None:
    app.session_interface = Sessions()


# Stricter than Superset's own, which lets a third party's tracking pixel through, and maps and fonts of others.
TALISMAN_ENABLED = True
TALISMAN_CONFIG = {
    "content_security_policy": {
        "base-uri": ["'self'"],
        "default-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:"],
        "worker-src": ["'self'", "blob:"],
        "connect-src": ["'self'"],
        "object-src": "'none'",
        "style-src": ["'self'", "'unsafe-inline'"],
        "font-src": ["'self'"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
        "script-src": ["'self'", "'strict-dynamic'"],
    },
    "content_security_policy_nonce_in": ["script-src"],
    "force_https": False,  # TLS ends before it
    "session_cookie_secure": SESSION_COOKIE_SECURE,
}

# What a chart shows may be this old (s); a dashboard that renews itself asks anew.
DATA_CACHE_CONFIG = _kept("data", 10)
CACHE_CONFIG = _kept("pages", 300)
RATELIMIT_STORAGE_URI = "memory://"  # one process
WTF_CSRF_ENABLED = True
ROW_LIMIT = 1000
SQL_MAX_ROW = 1000
SUPERSET_WEBSERVER_TIMEOUT = 60
