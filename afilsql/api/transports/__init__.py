"""The ways the vendor offers to call the API, one module each; `AfilnetClient` sends what they write."""

from __future__ import annotations

from afilsql.api.transports.base import HttpCall, Login, Transport
from afilsql.api.transports.basic import Basic
from afilsql.api.transports.form import DEFAULT_URL, Get, Post
from afilsql.api.transports.json_oauth import JsonOAuth
from afilsql.api.transports.soap import Soap

__all__ = ["DEFAULT_URL", "Basic", "Get", "HttpCall", "JsonOAuth", "Login", "Post", "Soap", "Transport"]
