"""Web processes that die while a stream is read: nothing is lost and nothing is there twice."""

import socket
from contextlib import suppress

from tests.house import EmulatedPortal, House
from tests.integration.web.api_house import NDJSON, PAYMENTS, a_payment, ids, lines, listed, results_in, streamed
from tests.integration.web.conftest import Street, Web

KILLS = 2  # `through_kills(street, portal, 30)` plays more
COUNT = 3000


def test_a_stream_that_is_sent_again_after_every_kill_makes_each_payment_once(house: House, street: Street):
    """What was answered before a kill keeps its id; what was not, is there once all the same."""
    portal = house.add_portal()
    through_kills(street, portal, KILLS)
    [lane] = portal.ledger(lambda ledger: ledger.lanes([portal.key]))
    assert sum(lane.counts.values()) == COUNT


def through_kills(street: Street, portal: EmulatedPortal, kills: int) -> None:
    """Send the same payments to one process after another, and kill all but the last in the middle."""
    body = lines(a_payment(portal, n) for n in range(1, COUNT + 1))
    named: dict[int, str] = {}
    for n in range(kills):
        web = street.start(f"{portal.key}-dies-{n}")
        told = _until_killed(web, body, after=COUNT * (n + 1) // (kills + 1))
        for each in results_in(told):
            assert named.setdefault(each["index"], each["id"]) == each["id"]
    web = street.start(f"{portal.key}-lives")
    status, came = streamed(web, body)
    assert (status, came[-1]["end"], came[-1]["refused"]) == (202, True, 0)
    assert all(came[index]["id"] == payment_id for index, payment_id in named.items())
    rows = listed(web, f"portal={portal.key}&limit=500")
    assert sorted(ids(rows)) == sorted(ids(came[:-1]))
    assert sorted(row["invoice_id"] for row in rows) == list(range(1, COUNT + 1))
    web.stop()


def _until_killed(web: Web, body: bytes, after: int) -> bytes:
    """What a process answered before it was killed, which was after so many answers."""
    host, port = web.address.removeprefix("http://").split(":")
    kind = NDJSON["Content-Type"]
    head = f"POST {PAYMENTS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    told = b""
    with socket.create_connection((host, int(port)), timeout=60) as raw:
        raw.sendall(head.encode() + body)
        while told.count(b'"outcome"') < after:
            told += raw.recv(4096)
        web.guarded.process.kill()
        with suppress(ConnectionError):
            told += b"".join(iter(lambda: raw.recv(65536), b""))
    web.guarded.process.wait()
    return told
