"""The campaign against processes, with few kills; `python -m tests.faults.process_campaign` runs it with many."""

from __future__ import annotations

import os

import pytest

from tests.faults.process_campaign import campaign

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes are killed the POSIX way")


def test_workers_killed_at_random_moments_lose_nothing_and_send_nothing_twice(empty_outbox: str) -> None:
    audit = campaign(empty_outbox, kills=4, seed=7, pause=0.4, conversations=60, rate=100).audit
    assert audit.lost == audit.twice == audit.out_of_order == 0, audit
    assert audit.statuses["sent"] + audit.uncertain_arrived + audit.uncertain_absent == audit.accepted, audit
    assert audit.arrived > audit.accepted / 2, audit
