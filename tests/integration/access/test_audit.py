"""The audit on a real server: what is written, how it is read, and what a crash in between looks like."""

from datetime import UTC, datetime, timedelta
from typing import Any

from access.audit import Audit, Ending, Entry, Intent, Origin, Outcome
from tests.canaries import BEARER_SECRET

STREAM = "b24pay:{0}:audit"
DAY_S = 86_400.0


def an_intent(what: str = "portal.hold", *subjects: str, **changes: Any) -> Intent:
    """Somebody's plan."""
    fields: dict[str, Any] = {"who": "bob", "role": "operator", "origin": Origin.HTTP, "request_id": "r1", **changes}
    return Intent(what=what, subjects=subjects or ("acme",), **fields)


async def entries(redis: Any, since_s: float = DAY_S) -> list[Entry]:
    """All that is read."""
    return [each async for each in Audit(redis, retention_s=DAY_S).entries(since_s)]


async def test_a_change_is_one_entry_with_before_and_after(redis: Any):
    """Who, what, which, why, from where, and how it ended."""
    audit = Audit(redis, retention_s=DAY_S)
    begun = await audit.begin(an_intent(why="too many refusals", before={"held": False}, token="0123456789ab"))
    await audit.end(begun, Ending(outcome=Outcome.DONE, after={"held": True}))
    [entry] = await entries(redis)
    assert (entry.who, entry.role, entry.origin, entry.what, entry.subjects) == (
        "bob",
        "operator",
        "http",
        "portal.hold",
        ("acme",),
    )
    assert (entry.why, entry.before, entry.after) == ("too many refusals", {"held": False}, {"held": True})
    assert (entry.outcome, entry.request_id, entry.token, entry.id) == (Outcome.DONE, "r1", "0123456789ab", begun)
    assert abs(datetime.now(UTC) - entry.at) < timedelta(minutes=1)


async def test_a_process_that_dies_in_between_leaves_an_unfinished_entry(redis: Any):
    """Nobody guesses how it ended; the others beside it are whole."""
    audit = Audit(redis, retention_s=DAY_S)
    died = await audit.begin(an_intent("token.revoke", "shop", before={"role": "viewer"}))
    whole = await audit.begin(an_intent())
    await audit.end(whole, Ending(outcome=Outcome.REFUSED, error="there is no portal acme"))
    first, second = await entries(redis)
    assert (first.id, first.outcome, first.error) == (whole, Outcome.REFUSED, "there is no portal acme")
    assert (second.id, second.outcome, second.before) == (died, Outcome.UNFINISHED, {"role": "viewer"})


async def test_many_are_read_newest_first_whatever_order_they_end_in(redis: Any):
    """Over several pages, each joined with its own ending."""
    audit = Audit(redis, retention_s=DAY_S)
    begun = [await audit.begin(an_intent("payment.retry", str(number))) for number in range(700)]
    for number in reversed(range(700)):
        await audit.end(begun[number], Ending(outcome=Outcome.DONE, after=number))
    read = await entries(redis)
    assert [each.subjects for each in read] == [(str(number),) for number in reversed(range(700))]
    assert [each.after for each in read] == list(reversed(range(700)))


async def test_what_is_known_at_the_end_only_takes_its_place(redis: Any):
    """A handler names the payment that it found; what it says nothing of stays."""
    audit = Audit(redis, retention_s=DAY_S)
    begun = await audit.begin(an_intent("payments.retry", "p1", why="asked"))
    await audit.end(begun, Ending(outcome=Outcome.DONE, what="payment.retry", subjects=["p1", "acme"], before="failed"))
    await audit.note(an_intent("payment.cancel", "p2"), Ending(outcome=Outcome.DONE))
    second, first = await entries(redis)
    assert (first.what, first.subjects, first.before, first.why) == ("payment.retry", ("p1", "acme"), "failed", "asked")
    assert (second.what, second.outcome) == ("payment.cancel", Outcome.DONE)


async def test_rows_go_by_age_and_never_by_number(redis: Any):
    """Those past the retention go with the next ones; of the younger ones none is lost, however many there are."""
    audit = Audit(redis, retention_s=DAY_S)
    now = await redis.time()
    for age_s in range(300):
        at = int((now[0] - 2 * DAY_S - 400 + age_s) * 1000)
        await redis.xadd(STREAM, {"row": '{"who": "old"}'}, id=f"{at}-0")
    for age_s in (DAY_S - 60, DAY_S / 2):
        await redis.xadd(STREAM, {"row": '{"who": "young"}'}, id=f"{int((now[0] - age_s) * 1000)}-0")
    for number in range(1000):
        await audit.begin(an_intent("payment.retry", str(number)))
    left = [each.who for each in await entries(redis, 10 * DAY_S)]
    assert left.count("young") == 2
    assert left.count("bob") == 1000
    # The server drops whole nodes of a hundred rows.
    assert left.count("old") < 100


async def test_only_what_is_asked_for_is_read(redis: Any):
    """`since` counts by the server's clock."""
    now = await redis.time()
    for age_s in (150, 50):
        await redis.xadd(STREAM, {"row": f'{{"who": "{age_s}"}}'}, id=f"{int((now[0] - age_s) * 1000)}-0")
    await redis.xadd(STREAM, {"another": "field"})
    await redis.xadd(STREAM, {"row": "no JSON"})
    await redis.xadd(STREAM, {"row": '{"who": "newer", "outcome": "half", "v": 9}'})
    found = {each.who: each.outcome for each in reversed(await entries(redis, 150 - 50))}
    assert found == {"50": Outcome.UNFINISHED, "unknown": Outcome.UNFINISHED, "newer": Outcome.UNFINISHED}
    assert "150" in [each.who for each in await entries(redis, 200)]


async def test_no_secret_is_written_and_no_text_without_an_end(redis: Any):
    """Whatever somebody gives as a reason."""
    text = f"b24t_0123456789ab_{BEARER_SECRET}"
    audit = Audit(redis, retention_s=DAY_S)
    fields = {"why": f"leaked {text}", "before": {"token": text}, "who": text}
    begun = await audit.begin(an_intent("token.revoke", text, **fields))
    await audit.end(begun, Ending(outcome=Outcome.FAILED, after=[text], error=f"{text} {'x' * 5000}"))
    [entry] = await entries(redis)
    assert BEARER_SECRET not in repr(entry)
    assert len(entry.error or "") <= 1000


async def test_the_audit_is_written_on_a_server_without_memory(redis: Any):
    """Cancelling and revoking must go on there, and so must their record."""
    audit = Audit(redis, retention_s=DAY_S)
    await audit.begin(an_intent())
    await redis.config_set("maxmemory", "1")
    try:
        begun = await audit.begin(an_intent())
        await audit.end(begun, Ending(outcome=Outcome.DONE))
    finally:
        await redis.config_set("maxmemory", "0")
    assert len(await entries(redis)) == 2
