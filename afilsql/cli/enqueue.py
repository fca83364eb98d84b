"""Commands that put requests in the outbox: one for each method of the API, and import."""

from __future__ import annotations

from array import array
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from afilsql.cli.context import Exit, Json, note, outbox_of, settings_of
from afilsql.errors import InvalidParameter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from afilsql.importer import BadLine, GoodLine
    from afilsql.outbox.base import Outbox
    from afilsql.outbox.records import ItemDetail

    Read = Callable[[Iterable[str]], Iterator[GoodLine | BadLine]]

#: Requests queued in one transaction, and the characters of text after which there are fewer.
BATCH = 500
BATCH_CHARS = 4_000_000
#: Bad lines that --json lists; every one is told on standard error.
REASONS = 1000

Platform = Annotated[str, typer.Option(help="webchat, whatsapp, telegram or operator.")]
PlatformId = Annotated[str, typer.Option("--platformid", help="Id of the channel; `afilsql channels` lists them.")]
Destination = Annotated[str, typer.Option(help="Whom to write to: a phone number or a chat's id.")]
Message = Annotated[str, typer.Option(help="Text of the message.")]
FileType = Annotated[str, typer.Option("--type", help="image, video, audio, voice, document or contact.")]
FileUrl = Annotated[str, typer.Option("--fileurl", help="Where the API fetches the file.")]
ThumbUrl = Annotated[str | None, typer.Option("--thumburl", help="Where the API fetches the thumbnail.")]
Caption = Annotated[str | None, typer.Option("--message", help="Text beside the file.")]
Account = Annotated[str, typer.Option(help="Account in the worker's settings.")]
Priority = Annotated[int, typer.Option(min=0, max=9, help="0 goes first, 9 last.")]
SendAt = Annotated[str | None, typer.Option("--send-at", metavar="TIME", help="Not before; ISO 8601, UTC if no zone.")]
DedupKey = Annotated[
    str | None,
    typer.Option("--dedup-key", help="A second request with this key is not written: the first's id prints."),
]
Wait = Annotated[
    float | None, typer.Option("--wait", min=0, metavar="SECONDS", help="Wait for the answer this long, then print it.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("send")(send)
    app.command("send-file")(send_file)
    app.command("channels")(channels)
    app.command("chats")(chats)
    app.command("messages")(messages)
    app.command("unread")(unread)
    app.command("import")(import_)


def send(
    ctx: typer.Context,
    platform: Platform,
    platformid: PlatformId,
    destination: Destination,
    message: Message,
    account: Account = "default",
    priority: Priority = 5,
    send_at: SendAt = None,
    dedup_key: DedupKey = None,
    wait: Wait = None,
    json: Json = False,
) -> None:
    """Queue a text message and print its id."""
    _enqueue(ctx, "sendmessage", _given(ctx), wait, json)


def send_file(
    ctx: typer.Context,
    platform: Platform,
    platformid: PlatformId,
    destination: Destination,
    type: FileType,
    fileurl: FileUrl,
    thumburl: ThumbUrl = None,
    message: Caption = None,
    account: Account = "default",
    priority: Priority = 5,
    send_at: SendAt = None,
    dedup_key: DedupKey = None,
    wait: Wait = None,
    json: Json = False,
) -> None:
    """Queue a file to send and print its id."""
    _enqueue(ctx, "sendfile", _given(ctx), wait, json)


def channels(
    ctx: typer.Context,
    account: Account = "default",
    priority: Priority = 5,
    send_at: SendAt = None,
    dedup_key: DedupKey = None,
    wait: Wait = None,
    json: Json = False,
) -> None:
    """Queue a request for the account's channels."""
    _enqueue(ctx, "getchatchannels", _given(ctx), wait, json)


def chats(
    ctx: typer.Context,
    platform: Platform,
    platformid: PlatformId,
    account: Account = "default",
    priority: Priority = 5,
    send_at: SendAt = None,
    dedup_key: DedupKey = None,
    wait: Wait = None,
    json: Json = False,
) -> None:
    """Queue a request for a channel's chats."""
    _enqueue(ctx, "getchats", _given(ctx), wait, json)


def messages(
    ctx: typer.Context,
    platform: Platform,
    platformid: PlatformId,
    destination: Destination,
    account: Account = "default",
    priority: Priority = 5,
    send_at: SendAt = None,
    dedup_key: DedupKey = None,
    wait: Wait = None,
    json: Json = False,
) -> None:
    """Queue a request for a chat's messages."""
    _enqueue(ctx, "getmessages", _given(ctx), wait, json)


def unread(
    ctx: typer.Context,
    platform: Platform,
    platformid: PlatformId,
    destination: Destination,
    account: Account = "default",
    priority: Priority = 5,
    send_at: SendAt = None,
    dedup_key: DedupKey = None,
    wait: Wait = None,
    json: Json = False,
) -> None:
    """Queue a request for a chat's unread messages."""
    _enqueue(ctx, "getunreadmessages", _given(ctx), wait, json)


def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="UTF-8 with a header of the API's parameter names.")],
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Queue the good lines though others are bad.")] = False,
    json: Json = False,
) -> None:
    """Queue every line of a CSV file.

    Columns: platform, platformid, destination, message, type, fileurl, thumburl, method (sendmessage if absent),
    account, priority, send_at, dedup_key. With a bad line nothing is queued, unless --skip-bad. A file of any size
    takes little memory: it is read twice, once to check it. - reads standard input.
    """
    from afilsql.display import print_json
    from afilsql.importer import opened, read_csv

    allow = settings_of(ctx).allow_private_urls
    ids = array("q")
    with opened(file) as source, outbox_of(ctx) as outbox:
        read = partial(read_csv, known=outbox.known_accounts(), allow_private_urls=allow)
        good, bad, reasons = _check(source, file, read)
        if good and (skip_bad or not bad):
            _enqueue_all(outbox, source, good, skip_bad, read, ids)
        elif bad:
            note(f"nothing was queued: {bad} of {good + bad} lines are bad; correct them or use --skip-bad")
    if json:
        print_json({"queued": len(ids), "ids": list(ids), "bad": reasons})
    elif ids:
        print(f"Queued {len(ids)} requests, {ids[0]} to {ids[-1]}.")
    if bad:
        raise typer.Exit(Exit.FAILED if skip_bad else Exit.USAGE)


def _given(ctx: typer.Context) -> dict[str, str | None]:
    """Return the options that belong to the request: all but --wait and --json."""
    return {k: None if v is None else str(v) for k, v in ctx.params.items() if k not in ("wait", "json")}


def _enqueue(ctx: typer.Context, method: str, fields: dict[str, str | None], wait: float | None, json: bool) -> None:
    from afilsql.display import print_json
    from afilsql.importer import make_request
    from afilsql.outbox.wait import wait_for

    allow = settings_of(ctx).allow_private_urls
    request = make_request({**fields, "method": method}, allow_private_urls=allow)
    with outbox_of(ctx) as outbox:
        id = outbox.enqueue(request)
        if wait is not None:
            _show_outcome(wait_for(outbox, id, wait), wait, json)
        elif json:
            print_json({"id": id})
        else:
            print(id)


def _show_outcome(detail: ItemDetail, waited: float, json: bool) -> None:
    from afilsql.display import console, detail_table, item_dict, print_json

    if json:
        print_json(item_dict(detail))
    else:
        console().print(detail_table(detail))
    item = detail.item
    if item.status == "sent":
        return
    if item.status in ("failed", "uncertain", "cancelled"):
        note(f"request {item.id} is {item.status} ({item.error_code}): `afilsql show {item.id}` says more")
        raise typer.Exit(Exit.FAILED)
    note(f"request {item.id} is still {item.status} after {waited:g} s: is `afilsql worker` running?")
    raise typer.Exit(Exit.TIMEOUT)


def _check(source: TextIO, file: Path, read: Read) -> tuple[int, int, list[dict[str, object]]]:
    """Read the file through once, telling each bad line; return how many are good, how many bad, and the first bad."""
    from afilsql.importer import GoodLine, lines_of

    good = bad = 0
    reasons: list[dict[str, object]] = []
    for line in read(lines_of(source)):
        if isinstance(line, GoodLine):
            good += 1
            continue
        bad += 1
        note(f"{file}, line {line.line}: {line.reason}")
        if len(reasons) < REASONS:
            reasons.append({"line": line.line, "reason": line.reason})
    return good, bad, reasons


def _batch(found: Iterator[GoodLine | BadLine]) -> list[GoodLine | BadLine]:
    """Return the next lines: BATCH of them, or fewer once their text is long."""
    lines: list[GoodLine | BadLine] = []
    size = 0
    for line in islice(found, BATCH):
        lines.append(line)
        request = getattr(line, "request", None)  # a bad line has none
        size += sum(len(v or "") for v in request.parameters.values()) if request else 0
        if size > BATCH_CHARS:
            break
    return lines


def _enqueue_all(outbox: Outbox, source: TextIO, good: int, skip_bad: bool, read: Read, ids: array[int]) -> None:
    """Read the file again, a batch at a time, and queue what was found good; `ids` takes the ids as they come."""
    from rich.progress import Progress

    from afilsql.display import console
    from afilsql.importer import BadLine, GoodLine, lines_of

    terminal = console(stderr=True)
    done = 0
    with Progress(console=terminal, transient=True, disable=not terminal.is_terminal) as progress:
        task = progress.add_task("Queueing", total=good)
        found = iter(read(lines_of(source)))
        try:
            while chunk := _batch(found):
                if not skip_bad and (changed := next((x for x in chunk if isinstance(x, BadLine)), None)):
                    raise InvalidParameter(f"line {changed.line} changed while the file was read: {changed.reason}")
                batch = [x for x in chunk if isinstance(x, GoodLine)]
                if batch:
                    ids.extend(outbox.enqueue_many([line.request for line in batch]))
                    done = batch[-1].line
                progress.advance(task, len(batch))
        except BaseException:
            told = f"the lines up to line {done} are queued" if done else "nothing of the file is queued yet"
            note(f"stopped: {told}; import the rest once this is solved")
            raise
