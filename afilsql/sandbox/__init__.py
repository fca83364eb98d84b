"""A simulated chat API, for trying things without credit and for tests. Nothing leaves the machine."""

from __future__ import annotations

from afilsql.sandbox.app import Sandbox, create_app
from afilsql.sandbox.server import SandboxServer, serve

__all__ = ["Sandbox", "SandboxServer", "create_app", "serve"]
