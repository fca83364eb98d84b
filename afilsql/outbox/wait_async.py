"""Wait for what becomes of a request without blocking an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from afilsql.outbox.base import Outbox
from afilsql.outbox.records import ItemDetail
from afilsql.outbox.wait import Patience


async def wait_for_async(
    outbox: Outbox,
    id: int,
    timeout: float,
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> ItemDetail:
    """Return the request once it is finished, or as it stands when the time is over; `wait_for` for asyncio.

    Each look is taken in a thread of the loop's default executor. Cancelled, it returns at once; a look that is under
    way ends by itself. `timeout` is when the last look begins: a database that does not answer takes up to its own
    time-out more, which `asyncio.timeout` cuts short.

    Args:
        outbox: Where the request is.
        id: Its id.
        timeout: Seconds to wait at most.
        sleep: Waits a number of seconds.

    Raises:
        RequestNotFound: No request has this id.
        DatabaseError: The outbox cannot be read.
    """
    patience = Patience(timeout)
    while (pause := patience.after(detail := await asyncio.to_thread(outbox.get, id))) is not None:
        await sleep(pause)
    return detail
