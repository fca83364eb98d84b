"""What an operator can do on the page, each after a confirmation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from afilsql.outbox.browse import Browser
from afilsql.outbox.records import Item, Status

#: What it is done to: one request, one account, or everything.
On = Literal["item", "account", "queue"]

_MAX_REASON = 300


@dataclass(frozen=True, slots=True)
class Action:
    """One action.

    Attributes:
        title: What the button says.
        question: What the confirmation asks and explains; {target} is what it is done to.
        states: Of a request to which it can be done.
        done, not_done: What is said afterwards; not_done where nothing was changed.
        run: Does it; returns whether something changed. Takes the browser, the target and a reason.
        asks_why: The confirmation asks for a reason.
        grave: It cannot be taken back, or may send twice.
    """

    name: str
    on: On
    title: str
    question: str
    done: str
    not_done: str
    run: Callable[[Browser, str, str], bool]
    states: tuple[Status, ...] = ()
    asks_why: bool = False
    grave: bool = False


def _resolved(browser: Browser, target: str, outcome: Literal["arrived", "send again"]) -> bool:
    browser.resolve(int(target), outcome)
    return True


def _paused(browser: Browser, account: str | None, reason: str) -> bool:
    browser.pause(account, reason)
    return True


_TABLE = (
    Action(
        "requeue",
        "item",
        "Send again",
        "Put request {target} back in the queue, with a fresh set of tries?",
        "Request {target} is queued again.",
        "Request {target} was not changed: it is no longer failed, uncertain or cancelled.",
        lambda browser, target, _: browser.requeue([int(target)]) > 0,
        states=("failed", "cancelled"),
    ),
    Action(
        "arrived",
        "item",
        "It arrived",
        "Did the message of request {target} arrive? It then counts as sent and is not sent again.",
        "Request {target} counts as sent.",
        "",
        lambda browser, target, _: _resolved(browser, target, "arrived"),
        states=("uncertain",),
        grave=True,
    ),
    Action(
        "send-again",
        "item",
        "Send again",
        "Send request {target} again? Nobody can say whether it arrived: if it did, it will arrive twice. "
        "Look into the conversation first.",
        "Request {target} is queued again.",
        "",
        lambda browser, target, _: _resolved(browser, target, "send again"),
        states=("uncertain",),
        grave=True,
    ),
    Action(
        "cancel",
        "item",
        "Cancel",
        "Take request {target} out of the queue? It is not sent then; what is being sent right now is not stopped.",
        "Request {target} is cancelled.",
        "Request {target} was not changed: it no longer waits.",
        lambda browser, target, _: browser.cancel([int(target)]) > 0,
        states=("queued", "scheduled"),
        grave=True,
    ),
    Action(
        "pause",
        "queue",
        "Pause everything",
        "Stop sending for all accounts? Requests stay queued, new ones are accepted, and calls under way end as they "
        "would.",
        "Everything is paused.",
        "",
        lambda browser, _, reason: _paused(browser, None, reason),
        asks_why=True,
        grave=True,
    ),
    Action(
        "resume",
        "queue",
        "Resume",
        "Go on sending, for all accounts that are not held?",
        "Sending goes on.",
        "Nothing was paused.",
        lambda browser, _, __: browser.resume(),
    ),
    Action(
        "pause-account",
        "account",
        "Pause",
        "Stop sending for the account {target}? Its requests stay queued until it is released.",
        "The account {target} is paused.",
        "",
        lambda browser, target, reason: _paused(browser, target, reason),
        asks_why=True,
        grave=True,
    ),
    Action(
        "release-account",
        "account",
        "Release",
        "Send for the account {target} again? Where its credentials were refused, mend them first.",
        "The account {target} is released.",
        "The account {target} was not held.",
        lambda browser, target, _: browser.release_account(target),
    ),
)
ACTIONS = {action.name: action for action in _TABLE}


def of_item(item: Item) -> list[Action]:
    """Return what can be done to a request as it stands."""
    return [action for action in _TABLE if item.status in action.states]


def is_target(action: Action, target: str) -> bool:
    """Whether a text can be what the action is done to."""
    match action.on:
        case "item":
            return target.isascii() and target.isdigit() and len(target) <= 18
        case "account":
            return 1 <= len(target) <= 128
        case "queue":
            return not target


def reason_of(text: str, user: str) -> str:
    """Return the reason that the outbox keeps: what was written, and by whom."""
    said = " ".join(text.split())[:_MAX_REASON] or "paused"
    return f"{said}, by {user} on the page"
