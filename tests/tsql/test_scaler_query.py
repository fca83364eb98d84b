"""What Kubernetes' scaler asks the database, so that as many workers run as the queue is deep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tsql.rows import add, take

pytestmark = pytest.mark.tsql

FILE = Path(__file__).parents[2] / ".ops" / "kubernetes" / "scaledobject.yaml"


def depth(query: Any) -> int:
    """Ask the query of the manifest."""
    scaled, _ = yaml.safe_load_all(FILE.read_text(encoding="utf-8"))
    (trigger,) = scaled["spec"]["triggers"]
    ((found,),) = query(trigger["metadata"]["query"])
    return int(found)


def test_what_waits_and_what_is_under_way_counts(query: Any) -> None:
    assert depth(query) == 0
    for destination in ("1", "2", "3"):
        add(query, destination=destination)
    assert depth(query) == 3
    assert take(query)
    assert depth(query) == 3


def test_what_is_scheduled_or_belongs_to_a_held_account_does_not_count(query: Any) -> None:
    add(query, account="shop")
    add(query, "scheduled")
    add(query)
    query("EXEC afil.pause @account = N'shop'")
    assert depth(query) == 1
