"""Was it sent? What a conversation says of an uncertain message, and when it says nothing for certain."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afilsql.api.reply import Message
from afilsql.delivery.reconcile import Verdict, judge, next_look
from afilsql.outbox.records import KNOWN_LIMIT, Check, Known

SENT_AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
TEXT = "Your order left today."
SETTLE = timedelta(seconds=300)


def at(seconds: float) -> datetime:
    return SENT_AT + timedelta(seconds=seconds)


def listed(text: str | None, seconds: float | None, *, sent: bool | None = True, form: str = "%Y-%m-%d %H:%M:%S"):
    when = None if seconds is None else at(seconds).strftime(form)
    return Message("100", "whatsapp", text, "346", "1", sent, "sent", when)


def known(id: int, seconds: float, *texts: str, certain: bool = True) -> Known:
    return Known(id, certain, at(seconds), texts)


def verdict(messages, others=(), *, age: float = 400, text: str = TEXT, zone: str = "UTC", **more: str) -> Verdict:
    check = Check(now=at(age), unknown_since=SENT_AT, taken_at=SENT_AT, known=others)
    return judge(check, {"message": text, **more}, messages, zone=ZoneInfo(zone), settle=SETTLE)


BEFORE = known(1, -600, "Your order is packed.")
BEFORE_LISTED = listed("Your order is packed.", -599)


def test_a_text_listed_at_its_time_has_arrived() -> None:
    assert verdict([listed(TEXT, 1)], age=15).outcome == "arrived"


def test_line_ends_outer_space_and_composed_letters_make_no_difference() -> None:
    assert verdict([listed(" l\u00ednea\n2", 1)], text="li\u0301nea\r\n2 ").outcome == "arrived"


def test_a_file_is_known_by_its_text_or_its_url() -> None:
    url = "https://example.com/a.pdf"
    assert verdict([listed(url, 1)], text="", fileurl=url).outcome == "arrived"
    assert verdict([listed("caption", 1)], text="caption", fileurl=url).outcome == "arrived"


def test_what_is_not_listed_is_absent_once_the_list_is_proven_complete() -> None:
    assert verdict([BEFORE_LISTED], [BEFORE]).outcome == "absent"


def test_nothing_is_absent_before_the_api_has_had_time_to_list_it() -> None:
    assert verdict([BEFORE_LISTED], [BEFORE], age=299).outcome == "doubt"


@pytest.mark.parametrize("messages", [[], [listed("Hello?", -900, sent=False)], [listed("Hello?", 60, sent=False)]])
def test_a_list_that_shows_nothing_of_ours_proves_nothing(messages) -> None:
    assert verdict(messages, [BEFORE]).outcome == "doubt"
    assert verdict(messages).outcome == "doubt"


def test_a_list_of_the_latest_messages_only_that_does_not_reach_back_is_doubt() -> None:
    """The same text went out earlier; the one copy listed may be either."""
    earlier = [known(1, -60, TEXT), known(2, -30, "Thank you.")]
    assert verdict([listed("Thank you.", -30), listed(TEXT, 1)], earlier).outcome == "doubt"
    assert verdict([listed(TEXT, 1)], earlier).outcome == "doubt"


def test_an_identical_text_sent_before_is_not_taken_for_this_one() -> None:
    twice = [known(1, -3600, TEXT), BEFORE]
    assert verdict([listed(TEXT, -3600), BEFORE_LISTED], twice).outcome == "absent"
    assert verdict([listed(TEXT, -3600), BEFORE_LISTED, listed(TEXT, 1)], twice).outcome == "arrived"


def test_identical_texts_within_seconds_are_counted() -> None:
    burst = [BEFORE, known(2, -4, TEXT), known(3, -2, TEXT)]
    two = [BEFORE_LISTED, listed(TEXT, -4), listed(TEXT, -2)]
    assert verdict([*two, listed(TEXT, 0)], burst).outcome == "arrived"
    assert verdict(two, burst).outcome == "doubt", "one of the two could be this one, and the other cut off"
    assert verdict(two[:2], burst).outcome == "doubt"


def test_an_identical_text_that_is_itself_uncertain_is_doubt() -> None:
    assert verdict([listed(TEXT, -9)], [known(1, -10, TEXT, certain=False)]).outcome == "doubt"


def test_more_copies_than_were_sent_from_here_is_doubt_for_others_send_the_text_too() -> None:
    assert verdict([listed(TEXT, 1), listed(TEXT, 2)]).outcome == "doubt"


def test_somebody_elses_old_copy_is_ignored_and_their_recent_one_is_doubt() -> None:
    old = listed(TEXT, -3 * 24 * 3600)
    assert verdict([old, BEFORE_LISTED], [BEFORE]).outcome == "absent"
    assert verdict([old, listed(TEXT, 1)]).outcome == "arrived"
    assert verdict([listed(TEXT, -7200), BEFORE_LISTED], [BEFORE]).outcome == "doubt"


def test_another_message_of_that_time_is_doubt_for_it_could_be_this_one_in_another_form() -> None:
    changed = listed("Your order left today&period;", 1)
    assert verdict([BEFORE_LISTED, changed], [BEFORE]).outcome == "doubt"
    assert verdict([BEFORE_LISTED, listed(None, 1)], [BEFORE]).outcome == "doubt"
    assert verdict([BEFORE_LISTED, listed("Photo", None)], [BEFORE]).outcome == "doubt"


def test_messages_of_others_before_the_try_and_of_the_customer_since_do_not_matter() -> None:
    others = [listed("An operator was here.", -500), listed("Where is it?", 30, sent=False)]
    assert verdict([BEFORE_LISTED, *others], [BEFORE]).outcome == "absent"


def test_a_customer_who_repeats_the_text_is_not_taken_for_the_sender() -> None:
    assert verdict([BEFORE_LISTED, listed(TEXT, 5, sent=False)], [BEFORE]).outcome == "absent"


def test_a_text_without_a_sender_or_without_a_time_is_doubt() -> None:
    assert verdict([listed(TEXT, 1, sent=None)]).outcome == "doubt"
    assert verdict([listed(TEXT, None)]).outcome == "doubt"
    assert verdict([listed(TEXT, 1, form="%d/%m/%Y %H:%M")]).outcome == "doubt"


@pytest.mark.parametrize("skew", [-3600, -121, 800, 3600, 7200])
def test_a_clock_or_time_zone_that_disagrees_is_doubt(skew: float) -> None:
    assert verdict([listed(TEXT, skew)]).outcome == "doubt"
    assert verdict([listed("Your order is packed.", -600 + skew)], [BEFORE]).outcome == "doubt"


@pytest.mark.parametrize("skew", [-100, 100])
def test_clocks_may_differ_by_two_minutes(skew: float) -> None:
    assert verdict([listed(TEXT, skew)]).outcome == "arrived"
    assert verdict([listed("Your order is packed.", -600 + skew)], [BEFORE]).outcome == "absent"


def test_times_are_read_in_the_time_zone_of_the_settings_or_their_own() -> None:
    assert verdict([listed(TEXT, 3600)], zone="Europe/Madrid").outcome == "arrived"
    assert verdict([listed(TEXT, 1, form="%Y-%m-%dT%H:%M:%SZ")], zone="Europe/Madrid").outcome == "arrived"


def test_an_hour_that_comes_twice_is_doubt() -> None:
    when = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    check = Check(when + timedelta(seconds=400), when, when)
    row = Message("100", "whatsapp", TEXT, "346", "1", True, "sent", "2026-10-25 02:30:00")
    assert judge(check, {"message": TEXT}, [row], zone=ZoneInfo("Europe/Madrid"), settle=SETTLE).outcome == "doubt"


def test_a_conversation_with_too_many_messages_is_doubt() -> None:
    many = [known(n, -n, f"text {n}") for n in range(1, KNOWN_LIMIT + 1)]
    assert verdict([listed(TEXT, 1)], many).outcome == "doubt"


def test_long_texts_are_told_apart_by_what_the_outbox_keeps_of_them() -> None:
    long = "x" * 5000
    assert verdict([listed(long, 1)], text=long).outcome == "arrived"
    assert verdict([listed(long, -60)], [known(1, -60, long[:4000])], text=long).outcome != "arrived"


def test_looks_come_ever_later_and_the_last_one_when_the_api_has_had_its_time() -> None:
    ages, age = [], 15.0
    while (pause := next_look(Check(at(age), SENT_AT, SENT_AT), 15, 300)) is not None:
        age += pause
        ages.append(round(age))
    assert ages == [60, 240, 300]


# One conversation as it might be: ours and others' messages, in any of the ways a list can be cut, late, or off.
_texts = st.sampled_from([TEXT, "a", "b"])
_others = st.lists(st.tuples(st.floats(-100_000, -1), _texts), max_size=6)


@given(
    earlier=_others,
    arrived=st.booleans(),
    hidden=st.integers(0, 7),
    skew=st.floats(-119, 119),
    age=st.floats(0, 1000),
    delay=st.floats(0, 1),
)
def test_no_way_of_listing_makes_an_arrived_message_absent_or_an_absent_one_arrived(
    earlier, arrived, hidden, skew, age, delay
) -> None:
    """Whatever the list leaves out at its old end, and however clocks differ within the tolerance."""
    ours = sorted(earlier)
    everything = [listed(text, when + skew) for when, text in ours]
    if arrived:
        everything.append(listed(TEXT, delay + skew))
    others = [known(n, when, text) for n, (when, text) in enumerate(ours)]
    found = verdict(everything[hidden:], others, age=age).outcome
    assert found != ("absent" if arrived else "arrived")
