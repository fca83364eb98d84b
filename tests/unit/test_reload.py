"""Settings that a running worker takes anew; tests/faults/test_service_worker.py has the rest, with real workers."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import CapturingLogger

from afilsql.clients import Clients
from afilsql.config import Settings
from afilsql.delivery.terms import Terms
from afilsql.errors import ConfigError
from afilsql.logs import Threshold
from afilsql.service.notify import Notifier
from afilsql.service.reload import CHANGEABLE, Reloader, require_account, terms_of
from afilsql.service.watchers import Manager
from afilsql.websettings import WebSettings
from tests.unit.test_worker import wait_for
from tests.web.site import USERS

FIRST = Settings(user="ana", password="Se-cret-9", database_url="sqlite:///a.db")  # type: ignore[arg-type]


def reload(
    after: Settings | Exception, first: Settings = FIRST
) -> tuple[list[Terms], CapturingLogger, Threshold, Manager]:
    """Have a worker with its first settings read them anew."""

    def load() -> Settings:
        if isinstance(after, Exception):
            raise after
        return after

    adopted: list[Terms] = []
    log, threshold = CapturingLogger(), Threshold("info")
    manager = Manager(Notifier(None), watchdog=None, grace_seconds=30.0)
    reloader = Reloader(
        first,
        load=load,
        clients_for=lambda settings: Clients(settings, lambda account: None),  # type: ignore[arg-type,return-value]
        adopt=adopted.append,
        threshold=threshold,
        manager=manager,
        logger=structlog.wrap_logger(log, processors=[]),
    )
    reloader.ask()
    wait_for(lambda: log.calls)
    reloader.close()
    wait_for(lambda: not any(thread.name == "reload" for thread in threading.enumerate()))
    return adopted, log, threshold, manager


def test_only_settings_there_are_can_change() -> None:
    assert Settings.model_fields.keys() >= CHANGEABLE
    assert not CHANGEABLE & {"database_url", "worker_name", "lease_seconds"}


def test_what_may_change_does_and_no_value_is_logged() -> None:
    after = FIRST.model_copy(update={"concurrency": 5, "grace_seconds": 7.0, "log_level": "error", "user": "berta"})
    (terms,), log, threshold, manager = reload(after)
    assert (terms.concurrency, terms.grace_seconds, manager.grace_seconds) == (5, 7.0, 7.0)
    assert threshold.level == "error"
    assert log.calls[0].kwargs["changed"] == ["concurrency", "grace_seconds", "log_level", "user"]
    assert "berta" not in repr(log.calls)


def test_what_takes_a_restart_stays_as_it_was(tmp_path: Path) -> None:
    changed: dict[str, Any] = {"database_url": "sqlite:///b.db", "pulse_file": tmp_path, "rate": 3.0}
    (terms,), log, _, _ = reload(FIRST.model_copy(update=changed))
    assert terms.rates["default"].per_second == 3.0
    assert log.calls[1].kwargs["settings"] == ["database_url", "pulse_file"]


def test_more_databases_take_a_restart_and_it_is_said() -> None:
    _, log, _, _ = reload(FIRST.model_copy(update={"databases": ("support",)}))
    assert log.calls[1].method_name == "warning"
    assert log.calls[1].kwargs == {
        "event": "settings_kept",
        "settings": ["databases"],
        "detail": "they take a restart of the worker",
    }


@pytest.mark.parametrize(
    ("port", "web", "said"),
    [
        (8765, {"users": USERS}, []),
        (8765, {"users": USERS, "mask_messages": True}, ["web"]),
        (None, {"mask_messages": True}, []),
    ],
    ids=["who may sign in is read anew by the page", "the rest is not", "a worker without the page has no use for it"],
)
def test_of_the_page_only_what_it_does_not_read_anew_takes_a_restart(
    port: int | None, web: dict[str, Any], said: list[str]
) -> None:
    changed = FIRST.model_copy(update={"web": WebSettings.model_validate(web), "web_port": port, "concurrency": 9})
    first = FIRST.model_copy(update={"web_port": port})
    _, log, _, _ = reload(changed, first)
    assert log.calls[0].kwargs["changed"] == ["concurrency"]
    assert [call.kwargs["settings"] for call in log.calls[1:]] == [said] * len(said)


@pytest.mark.parametrize("wrong", [ConfigError("no"), Settings(), RuntimeError("Se-cret-9")], ids=str)
def test_what_cannot_be_used_is_refused_with_the_reason_and_no_text_of_a_defect(wrong: Settings | Exception) -> None:
    adopted, log, threshold, _ = reload(wrong)
    assert adopted == []
    assert threshold.level == "info"
    assert log.calls[0].method_name == "error"
    assert "Se-cret-9" not in repr(log.calls)


def test_the_terms_at_the_start_are_those_of_the_settings() -> None:
    require_account(FIRST)
    terms = terms_of(FIRST, Clients(FIRST, lambda account: None))  # type: ignore[arg-type,return-value]
    assert (terms.concurrency, terms.share, terms.rates) == (32, None, {})
    assert [account.name for account in terms.accounts] == ["default"]
