"""The classification: every row of `protocol.md` [A], asked through the one function that decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitrix24.classification import TABLE, Body, Credential, Ending, Where, classify, usable
from bitrix24.errors import Effect, Fate

NOT_RUN, REFUSED, IF_UNPAID, UNKNOWN = Fate.NOT_RUN, Fate.REFUSED, Fate.REFUSED_IF_UNPAID, Fate.UNKNOWN
GO_ON, HOLD, BACKOFF = Effect.GO_ON, Effect.HOLD, Effect.BACKOFF


def replied(status: int, code: str = "", text: str = "", body: Body = Body.ERROR, **more: object) -> Ending:
    """A whole reply with an error in JSON, unless told otherwise."""
    return Ending(where=Where.REPLY, status=status, code=code, text=text, body=body, **more)  # type: ignore[arg-type]


def page(status: int, **more: object) -> Ending:
    """A whole reply that is no JSON."""
    return replied(status, body=Body.OTHER, **more)


def command(code: str = "", text: str = "", body: Body = Body.ERROR) -> Ending:
    """An entry of a batch's `result_error`."""
    return Ending(where=Where.COMMAND, code=code, text=text, body=body, in_batch=True)


OAUTH = {"credential": Credential.OAUTH}

ROWS = [
    # 200 without what the method answers
    ("a result that is not true", replied(200, body=Body.JSON), UNKNOWN, GO_ON),
    ("a command's result that is not true", command(body=Body.JSON), UNKNOWN, GO_ON),
    ("an HTML, empty or cut body with 200", page(200), UNKNOWN, BACKOFF),
    # refused for good
    ("a failed check", replied(400, "ERROR_CHECK_FAILURE", "Empty field INVOICE_ID!"), REFUSED, GO_ON),
    ("the documentation's own sample", replied(400, " ERROR_CHECK_FAILURE", "Pay system not found"), REFUSED, GO_ON),
    ("an unknown invoice", replied(400, "ERROR_INTERNAL_INVOICE_NOT_FOUND", "Invoice #2 not found"), REFUSED, GO_ON),
    ("a wrong pay system", replied(400, "ERROR_PROCESS_REQUEST_RESULT", "Pay system not found"), REFUSED, GO_ON),
    ("another refusal of processing", replied(400, "ERROR_PROCESS_REQUEST_RESULT", "Order canceled"), IF_UNPAID, GO_ON),
    (
        "a processing error that only mentions it",
        replied(400, "ERROR_PROCESS_REQUEST_RESULT", "Pay system not found\nsomething was saved"),
        IF_UNPAID,
        GO_ON,
    ),
    # for a person
    ("no CRM", replied(400, "ERROR_INVOICE_NO_SUPPORTED"), NOT_RUN, HOLD),
    ("no CRM, as documented", replied(400, "ERROR_PAY_INVOICE_NOT_SUPPORTED"), NOT_RUN, HOLD),
    ("missing rights", replied(403, "ACCESS_DENIED", "Access denied!"), NOT_RUN, HOLD),
    (
        "a plan without REST",
        replied(401, "ACCESS_DENIED", "REST is available only on commercial plans."),
        NOT_RUN,
        HOLD,
    ),
    ("a missing scope", replied(401, "insufficient_scope"), NOT_RUN, HOLD),
    ("a missing scope, per command", command("insufficient_scope"), NOT_RUN, HOLD),
    *(
        (code, replied(401, code), NOT_RUN, HOLD)
        for code in (
            "invalid_scope",
            "WRONG_AUTH_TYPE",
            "METHOD_CONFIRM_DENIED",
            "METHOD_CONFIRM_WAITING",
            "user_access_error",
            "authorization_error",
            "APPLICATION_NOT_FOUND",
            "ERROR_OAUTH",
            "NOT_INSTALLED",
            "PAYMENT_REQUIRED",
            "INVALID_CREDENTIALS",
            "NO_AUTH_FOUND",
        )
    ),
    ("a block by hand, documented status", replied(503, "OVERLOAD_LIMIT"), NOT_RUN, HOLD),
    ("a block by hand, status of the source", replied(401, "OVERLOAD_LIMIT"), NOT_RUN, HOLD),
    ("a deleted portal", replied(403, "PORTAL_DELETED"), NOT_RUN, HOLD),
    ("a deleted portal, documented status", replied(500, "PORTAL_DELETED"), NOT_RUN, HOLD),
    ("no manifest", replied(404, "ERROR_MANIFEST_IS_NOT_AVAILABLE"), NOT_RUN, HOLD),
    ("no such method", replied(404, "ERROR_METHOD_NOT_FOUND", "Method not found!"), NOT_RUN, HOLD),
    ("http instead of https", replied(400, "INVALID_REQUEST", "Https required."), NOT_RUN, HOLD),
    # batches
    ("not in a batch", command("ERROR_BATCH_METHOD_NOT_ALLOWED"), NOT_RUN, Effect.SINGLY),
    ("one command too many", command("ERROR_BATCH_LENGTH_EXCEEDED"), NOT_RUN, GO_ON),
    ("skipped after a halt", Ending(where=Where.SKIPPED, in_batch=True), NOT_RUN, GO_ON),
    ("not mentioned at all", Ending(where=Where.MISSING, in_batch=True), UNKNOWN, GO_ON),
    # limits
    ("the request rate", replied(503, "QUERY_LIMIT_EXCEEDED", "Too many requests"), NOT_RUN, Effect.RATE),
    ("execution time", replied(429, "OPERATION_TIME_LIMIT"), NOT_RUN, Effect.EXECUTION),
    ("execution time, per command", command("OPERATION_TIME_LIMIT"), NOT_RUN, Effect.EXECUTION),
    ("429 without a code", page(429), NOT_RUN, Effect.EXECUTION),
    # authorisation
    ("an expired access token", replied(401, "expired_token", **OAUTH), NOT_RUN, Effect.REFRESH),
    ("an expired webhook", replied(401, "expired_token"), NOT_RUN, HOLD),
    ("an invalid access token", replied(401, "invalid_token", **OAUTH), NOT_RUN, Effect.REFRESH),
    ("an invalid webhook", replied(401, "invalid_token"), NOT_RUN, HOLD),
    ("no OAuth server in reach of the portal", replied(401, "CONNECTION_ERROR"), NOT_RUN, BACKOFF),
    ("another 401 for a token", page(401, **OAUTH), NOT_RUN, Effect.REFRESH),
    ("another 401 for a webhook", replied(401, "something_new"), NOT_RUN, HOLD),
    ("a used refresh token", Ending(where=Where.REFRESH, code="invalid_grant"), NOT_RUN, HOLD),
    *(
        (f"refresh: {code}", Ending(where=Where.REFRESH, status=200, code=code), NOT_RUN, HOLD)
        for code in (
            "wrong_client",
            "invalid_client",
            "invalid_request",
            "invalid_scope",
            "NOT_INSTALLED",
            "PAYMENT_REQUIRED",
        )
    ),
    ("refresh: no answer", Ending(where=Where.REFRESH), NOT_RUN, BACKOFF),
    ("refresh: 503", Ending(where=Where.REFRESH, status=503), NOT_RUN, BACKOFF),
    # redirects
    *(
        (f"{status} to the new address", page(status, moved=True), NOT_RUN, Effect.MOVED)
        for status in (301, 302, 307, 308)
    ),
    *((f"{status} elsewhere", page(status), NOT_RUN, HOLD) for status in (301, 302, 307, 308)),
    # the way there and back
    ("nothing left", Ending(where=Where.BEFORE_SEND), NOT_RUN, BACKOFF),
    ("a bad certificate", Ending(where=Where.CERTIFICATE), NOT_RUN, BACKOFF),
    ("no answer", Ending(where=Where.AFTER_SEND), UNKNOWN, BACKOFF),
    *((f"{status} of a proxy", page(status), UNKNOWN, BACKOFF) for status in (502, 504, 408, 499, 520, 527)),
    ("503 without its code", page(503), UNKNOWN, BACKOFF),
    ("503 with another code", replied(503, "MAINTENANCE"), UNKNOWN, BACKOFF),
    # something broke inside
    ("500 without JSON", page(500), UNKNOWN, BACKOFF),
    *(
        (f"500 with {code}", replied(500, code), UNKNOWN, BACKOFF)
        for code in ("INTERNAL_SERVER_ERROR", "ERROR_UNEXPECTED_ANSWER", "ERROR_CORE", "ERROR_CHECK_FAILURE")
    ),
    ("a broken query, per command", command("ERROR_CORE", "SQL query error!"), UNKNOWN, GO_ON),
    ("INTERNAL_SERVER_ERROR, per command", command("INTERNAL_SERVER_ERROR"), UNKNOWN, GO_ON),
    *(
        (f"400 with {code!r}", replied(400, code), IF_UNPAID, GO_ON)
        for code in ("ERROR_CORE", "ERROR_ARGUMENT", "", "X1")
    ),
    *(
        (f"command with {code!r}", command(code), IF_UNPAID, GO_ON)
        for code in ("ERROR_CORE", "ERROR_ARGUMENT", "", "17")
    ),
    ("a reply that could not be encoded", replied(200, "WRONG_ENCODING"), UNKNOWN, GO_ON),
    # the front end
    *((f"{status} for one payment", page(status), REFUSED, GO_ON) for status in (400, 413, 414, 431)),
    *(
        (f"{status} for a batch", page(status, in_batch=True), NOT_RUN, Effect.SINGLY)
        for status in (400, 413, 414, 431)
    ),
    ("a forbidding page", page(403), UNKNOWN, HOLD),
    *((f"a {status} page", page(status), NOT_RUN, HOLD) for status in (404, 410)),
    # reading back
    ("reading: no such invoice", replied(400, "", "Not found.", reading=True), UNKNOWN, GO_ON),
    ("reading: denied", replied(400, "", "Access denied.", reading=True), UNKNOWN, GO_ON),
    ("reading: no scope", replied(401, "insufficient_scope", reading=True), UNKNOWN, GO_ON),
    ("reading: a credential that is gone", replied(401, "INVALID_CREDENTIALS", reading=True), UNKNOWN, HOLD),
    ("reading: nothing left", Ending(where=Where.BEFORE_SEND, reading=True), UNKNOWN, BACKOFF),
    ("reading: the rate", replied(503, "QUERY_LIMIT_EXCEEDED", reading=True), UNKNOWN, Effect.RATE),
]


@pytest.mark.parametrize(("ending", "fate", "effect"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_every_ending_has_its_documented_meaning(ending: Ending, fate: Fate, effect: Effect):
    """Each row of the protocol's classification decides as written there."""
    meaning = classify(ending)
    assert (meaning.fate, meaning.effect) == (fate, effect)


@pytest.mark.parametrize("ending", [row[1] for row in ROWS if row[3] is HOLD], ids=[r[0] for r in ROWS if r[3] is HOLD])
def test_a_held_lane_tells_a_person_what_to_do(ending: Ending):
    """No meaning holds a lane without a remedy."""
    assert len(classify(ending).remedy) > 30


@pytest.mark.parametrize(
    "text",
    ["Pay system with ID=99 not found", "Incorrect rest handler code", "Empty field BX_REST_HANDLER and PAY_SYSTEM_ID"],
)
def test_a_wrong_pay_system_tells_what_to_choose(text: str):
    """A check that failed for the pay system or handler carries a remedy; other checks speak for themselves."""
    assert "portal check" in classify(replied(400, "ERROR_CHECK_FAILURE", text)).remedy


KNOWN = {code for row in TABLE for code in row.codes if code}
# hypothesis also tries the literals it finds in our modules, so the known codes are taken out.
codes = (st.text(max_size=20) | st.sampled_from(["ERROR_CORE", "ERROR_X", "0", "200640400001"])).filter(
    lambda code: usable(code) not in KNOWN
)


@given(code=codes, status=st.integers(100, 599), body=st.sampled_from(Body), in_batch=st.booleans(), text=st.text())
def test_nothing_unknown_is_sent_again_blindly(code: str, status: int, body: Body, in_batch: bool, text: str):
    """An ending is only called "not executed" or "refused" for a reason the protocol states: a code or a status."""
    meaning = classify(replied(status, code, text, body=body, in_batch=in_batch))
    stated = {401, 429, 301, 302, 303, 307, 308}
    shape = {400, 413, 414, 431}
    if meaning.fate in (Fate.NOT_RUN, Fate.REFUSED):
        assert status in stated | shape | {404, 410}
    if status >= 500:
        assert meaning.fate is Fate.UNKNOWN


@given(code=codes, text=st.text(), body=st.sampled_from(Body))
def test_no_unknown_command_error_is_sent_again_blindly(code: str, text: str, body: Body):
    """In a batch, an unknown code is at best a refusal after a read-back."""
    assert classify(command(code, text, body)).fate in (Fate.UNKNOWN, Fate.REFUSED_IF_UNPAID)


@pytest.mark.parametrize("code", ["query_limit_exceeded", " QUERY_LIMIT_EXCEEDED ", "Query_Limit_Exceeded"])
def test_codes_are_compared_without_case_and_blanks(code: str):
    """The portal's spelling of a code does not matter."""
    assert classify(replied(503, code)).effect is Effect.RATE


@given(ending=st.builds(Ending, where=st.sampled_from(Where), status=st.none() | st.integers(100, 599), code=st.text()))
def test_a_failed_reading_never_decides_about_a_payment(ending: Ending):
    """Whatever a read-back runs into, the payment's fate stays unknown."""
    from dataclasses import replace

    assert classify(replace(ending, reading=True)).fate is Fate.UNKNOWN
