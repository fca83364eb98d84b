"""The operators' page: what `afilsql web` serves. Needs the extra `web`."""

from __future__ import annotations

from importlib.util import find_spec

from afilsql.errors import ConfigError


def require() -> None:
    """Raises ConfigError where what the page needs is not installed."""
    missing = [name for name in ("argon2", "itsdangerous", "jinja2") if find_spec(name) is None]
    if missing:
        raise ConfigError(f"the page needs {', '.join(missing)}, not installed here: run `pip install 'afilsql[web]'`")
