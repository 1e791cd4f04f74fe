"""Reading messages without trust: whatever the bytes and the headers are, an answer comes out and nothing is raised."""

import base64
import bz2
import json
import lzma
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.transport.virtual import Channel

from worker.envelope import LONGEST_BODY, Message, Spoilt, read_envelope
from worker.inspection import defect_of
from worker.parking import misfit_of

TASKS = ("tasks.pay_invoice", "tasks.pay_invoices")
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
GOOD: dict[str, Any] = {
    "body": base64.b64encode(b'[[], {"portal": "acme"}, {"callbacks": null}]').decode(),
    "content-encoding": "utf-8",
    "content-type": "application/json",
    "headers": {"task": "tasks.pay_invoice", "id": "a", "eta": None, "expires": None, "timelimit": [None, None]},
    "properties": {"body_encoding": "base64", "delivery_tag": "theirs"},
}


class Unconnected(Channel):  # type: ignore[misc]  # kombu has no types
    """As much of a channel as a message needs."""

    def __init__(self) -> None:
        self.no_ack_consumers = None


def message_of(envelope: object) -> Any:
    """The message that a consumer gets."""
    return Message(read_envelope(json.dumps(envelope).encode(), "tag", "payments"), channel=Unconnected())


def with_changes(place: str, changes: dict[str, object]) -> dict[str, object]:
    """The good envelope with other values in one place; "" is the envelope itself."""
    return {**GOOD, **changes} if not place else {**GOOD, place: {**GOOD[place], **changes}}


def test_a_stock_producers_message_is_accepted() -> None:
    """Under the tag that it was fetched with, not the one that it came with."""
    message = message_of(GOOD)
    assert defect_of(message, TASKS) is None
    assert message.delivery_tag == "tag"


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message(raw: bytes) -> None:
    """Spoilt or not, it can be parked."""
    message = Message(read_envelope(raw, "tag", "payments"), channel=Unconnected())
    assert message.errors or defect_of(message, TASKS)
    assert misfit_of(message, "why").size >= 0


@given(
    st.sampled_from(["", "headers", "properties"]),
    st.dictionaries(
        st.sampled_from(
            [*GOOD, *GOOD["headers"], *GOOD["properties"], "root_id", "retries", "stamps", "delivery_info"]
        ),
        ANYTHING,
        max_size=3,
    ),
)
def test_any_values_give_a_verdict(place: str, changes: dict[str, object]) -> None:
    """Types that nobody expects are a sentence, not an exception."""
    message = message_of(with_changes(place, changes))
    reason = str(message.errors[0][1]) if message.errors else defect_of(message, TASKS)
    assert reason is None or reason
    misfit = misfit_of(message, reason or "")
    assert misfit.task_id is None or isinstance(misfit.task_id, str)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("task", value) for value in (["x"], None, 1, {})),
        *(("id", value) for value in (None, "", 1, "x" * 256, "a\nb", "\x1b[31m", ["a"])),
        *(("eta", value) for value in ("soon", 5, "9999-12-31T23:59:59-12:00", {})),
        *(("expires", value) for value in ("never", 12.5, [])),
        *(("timelimit", value) for value in ("x", [1], [1, "x"], [1, -1], [1e400, 1], {"a": 1})),
        *(("retries", value) for value in ("1", -1, 2**40, True)),
        *(("root_id", 1), ("stamps", []), ("stamped_headers", [1]), ("ignore_result", "no"), ("shadow", ["x"])),
    ],
)
def test_a_header_of_the_wrong_kind_is_named(name: str, value: object) -> None:
    """The operator reads which one it was."""
    reason = defect_of(message_of(with_changes("headers", {name: value})), TASKS)
    assert reason is not None
    assert repr(name) in reason


@pytest.mark.parametrize(
    ("kind", "compress"),
    [
        *(("application/x-gzip", zlib.compress), ("bzip2", bz2.compress)),
        *(("application/x-lzma", lzma.compress), ("zlib", zlib.compress)),
    ],
)
def test_compressed_bodies_are_read_up_to_a_limit(kind: str, compress: Callable[[bytes], bytes]) -> None:
    """Kombu expands whatever comes; a few kilobytes may hold gigabytes."""
    headers = {**GOOD["headers"], "compression": kind}
    body = base64.b64decode(GOOD["body"])
    message = message_of({**GOOD, "headers": headers, "body": base64.b64encode(compress(body)).decode()})
    assert defect_of(message, TASKS) is None
    bomb = base64.b64encode(compress(b"[" * (LONGEST_BODY + 1))).decode()
    assert "longer than" in str(message_of({**GOOD, "headers": headers, "body": bomb}).errors[0][1])
    damaged = message_of({**GOOD, "headers": headers, "body": base64.b64encode(b"nothing of the kind").decode()})
    assert "damaged" in str(damaged.errors[0][1])


def test_a_spoilt_element_says_nothing_of_itself() -> None:
    """Its reason goes into logs; the bytes may hold secrets."""
    spoilt = read_envelope(b'{"webhook": "https://acme.bitrix24.com/rest/1/code/"', "tag", "payments")
    assert isinstance(spoilt, Spoilt)
    assert spoilt.reason == "it is not JSON (JSONDecodeError)"


def test_a_message_that_was_put_back_is_marked() -> None:
    """By the blank in front of it, which no JSON reader minds."""
    raw = b" " + json.dumps(GOOD).encode()
    message = Message(read_envelope(raw, "tag", "payments"), channel=Unconnected())
    assert message.headers["redelivered"] is message.delivery_info["redelivered"] is True
