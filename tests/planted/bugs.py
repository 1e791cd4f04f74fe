"""Bugs that somebody could write one day, each a small change of a product file, and the tests that must notice it.

`old` must occur exactly once in its file; where a line has moved, move the entry along. `tests` must all fail with the
bug in place and pass without it.
"""

from dataclasses import dataclass
from typing import Final

LEDGER: Final = "tests/integration/ledger/test_redis_ledger.py::TestRedis::"
DRIVER: Final = "tests/integration/worker/test_driver.py::"
POLICY: Final = "tests/unit/worker/test_policy.py::"
LANE: Final = "tests/unit/worker/test_lane.py::"
ADMISSION: Final = "tests/unit/worker/test_admission.py::"
RESULTS: Final = "tests/unit/worker/test_results.py::"
TRANSPORT: Final = "tests/integration/worker/test_transport.py::"
STREAM: Final = "tests/integration/worker/test_transport_stream.py::"
CHECKER: Final = "tests/unit/chaos/test_checker.py::"
HOSTILE: Final = "tests/integration/bitrix24/test_hostile_replies.py::"


@dataclass(frozen=True, slots=True)
class Bug:
    """One bug: what is put in the place of what, and which tests catch it."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def a_bug(name: str, file: str, old: str, new: str, *tests: str) -> Bug:
    """A bug, and the tests that catch it."""
    return Bug(name, file, old, new, tests)


def _step(name: str, script: str, old: str, new: str, *claims: str) -> Bug:
    """A bug in a step of the ledger, caught by claims of the suite on a real server."""
    return a_bug(name, f"ledger/redis/lua/{script}.lua", old, new, *(LEDGER + claim for claim in claims))


# Who may write, and when something may leave.
OF_LEASES: Final = (
    _step(
        "no fence check",
        "prelude",
        "lane[1] == owner and lane[2] == fence",
        "lane[1] == owner",
        "test_the_same_owner_under_an_older_fence_is_a_stranger",
    ),
    _step(
        "claim without lease check",
        "claim",
        "if not drives_still(",
        "if not drives(",
        "test_nothing_is_claimed_under_a_lease_that_has_run_out",
    ),
    _step(
        "a repeated claim claims more",
        "claim",
        "if number <= tonumber(redis.call('HGET', lane, 'claim')) then",
        "if false then",
        "test_a_claim_repeated_under_its_number_gives_the_same_payments",
    ),
    _step(
        "a decision on an older claim counts",
        "settle",
        "(record.c or '') ~= claim",
        "false",
        "test_a_decision_on_an_older_claim_is_left_out",
    ),
    a_bug(
        "lease not checked before a send",
        "worker/driver.py",
        "if must_end_by is None:",
        "if False:",
        DRIVER + "test_nothing_leaves_under_a_lease_that_a_call_could_outlive",
    ),
    a_bug(
        "a call may outlive its lease",
        "worker/lane.py",
        "if soon and ends <= self.believed_until else None",
        "if soon else None",
        LANE + "test_nothing_is_sent_that_could_outlive_the_lease",
        DRIVER + "test_nothing_leaves_under_a_lease_that_a_call_could_outlive",
    ),
    a_bug(
        "an old claim is sent",
        "worker/lane.py",
        "now - claim_began <= CLAIM_TO_SEND_S",
        "True",
        LANE + "test_a_claim_that_waited_too_long_is_not_sent",
    ),
    a_bug(
        "deadline of the first byte ignored",
        "bitrix24/transport.py",
        "if left_s <= 0:",
        "if False:",
        "tests/integration/bitrix24/test_first_byte.py::test_after_a_standstill_nothing_leaves",
    ),
    a_bug(
        "the fence never runs out",
        "bitrix24/fence.py",
        "self._set(seconds)",
        "self._set(0.0)",
        "tests/unit/bitrix24/test_fence.py::test_a_process_that_was_stopped_at_the_fence_is_ended",
    ),
    a_bug(
        "a lease may be shorter than a call",
        "config/rules.py",
        "if settings.lease_s <= settings.http_total_s and",
        "if False and",
        "tests/unit/config/test_settings.py::test_the_lease_must_outlive_the_call",
    ),
    a_bug(
        "a lane is handed back with calls in flight",
        "worker/driver.py",
        "    await lane.all_landed()\n",
        "",
        DRIVER + "test_a_lane_is_handed_back_when_everything_has_landed",
    ),
)

# Nothing that may have been executed is sent again before the portal was asked.
OF_DOUBTS: Final = (
    a_bug(
        "resend on timeout",
        "worker/policy.py",
        "return InDoubt(quiet_s=quiet_s)",
        "return Requeue()",
        POLICY + "test_a_request_that_failed_as_a_whole",
    ),
    a_bug(
        "no quiet time after a timeout",
        "worker/policy.py",
        "return InDoubt(quiet_s=quiet_s)",
        "return InDoubt(quiet_s=0.0)",
        POLICY + "test_a_request_that_failed_as_a_whole",
    ),
    _step(
        "no quiet time after a death",
        "recover",
        "doubt(id, record, tonumber(ARGV[4]), 'X')",
        "doubt(id, record, 0, 'X')",
        "test_what_a_dead_driver_left_in_sending_is_in_doubt",
    ),
    a_bug(
        "quiet time without the portal's part",
        "worker/deps.py",
        " + http_total_s + portal_cut_s",
        " + http_total_s",
        "tests/unit/worker/test_quiet_time.py::test_the_quiet_time_covers_the_whole_life_of_a_call",
    ),
    _step(
        "unpaid counts before the quiet time has ended",
        "settle",
        "if (tonumber(asked_at) or NOW) < quiet_until then",
        "if false then",
        "test_a_doubt_is_read_soon_and_its_unpaid_counts_after_the_quiet_time",
    ),
    _step(
        "unpaid counts by when it is written down",
        "settle",
        "if (tonumber(asked_at) or NOW) < quiet_until then",
        "if NOW < quiet_until then",
        "test_an_unpaid_that_was_read_before_the_quiet_time_ended_never_counts",
    ),
    _step(
        "what a dead driver left is queued again",
        "recover",
        "doubt(id, record, tonumber(ARGV[4]), 'X')",
        "redis.call('ZREM', P .. 's:' .. record.l, id) redis.call('LPUSH', queue_of(record), id) move(id, record, 'q')",
        "test_what_a_dead_driver_left_in_sending_is_in_doubt",
    ),
    _step(
        "retry without a read",
        "retry",
        "if (record.t or record.o) and not record.r then",
        "if false then",
        "test_a_retried_payment_that_was_sent_is_read_before_it_is_sent",
    ),
    _step(
        "a new key on a paid invoice is sent unread",
        "open",
        "return write(ask, id) end",
        "return write(ask, nil) end",
        "test_a_new_key_on_a_paid_invoice_is_read_before_anything_is_sent",
    ),
    _step(
        "no epoch guard",
        "guard",
        "elseif lost or known[2] ~= server then",
        "elseif lost then",
        "test_a_queued_payment_is_in_doubt_after_the_server_was_another_one",
    ),
    _step(
        "an emptied ledger is not noticed",
        "guard",
        "local lost = remembered ~= ''",
        "local lost = false",
        "test_a_ledger_that_was_emptied_under_a_worker_is_guarded",
    ),
    _step(
        "a person may call a running call unpaid",
        "decide",
        "if ARGV[2] == '0' and NOW < quiet_until then",
        "if false then",
        "test_a_person_ends_a_doubt_as_unpaid_after_its_quiet_time",
    ),
    a_bug(
        "a lost call counts as not sent",
        "bitrix24/transport.py",
        "left=payload.left_at is not None",
        "left=False",
        HOSTILE + "test_no_reply_in_time_is_a_doubt",
    ),
    a_bug(
        "an unknown answer is sent again",
        "bitrix24/classification.py",
        "    Row(means=_DOUBT_AND_PAUSE),\n",
        "    Row(means=_PAUSE),\n",
        "tests/unit/bitrix24/test_classification.py::test_nothing_unknown_is_sent_again_blindly",
    ),
)

# What an answer proves.
OF_PROOFS: Final = (
    a_bug(
        "true taken as proof",
        "worker/policy.py",
        "_proven(invoice) if invoice.paid else Failed(ACCEPTED_NOT_PAID)",
        "Paid(Evidence.RESPONSE)",
        POLICY + "test_true_is_only_a_claim",
    ),
    a_bug(
        "the row of another invoice taken as proof",
        "worker/policy.py",
        "    invoice = invoices.get(payment.invoice_id)\n    if invoice is None:\n        return InDoubt",
        "    invoice = next(iter(invoices.values()), None)\n    if invoice is None:\n        return InDoubt",
        POLICY + "test_the_row_of_another_invoice_proves_nothing",
    ),
    a_bug(
        "a dropped filter is not noticed",
        "bitrix24/invoices.py",
        "        if invoice_id not in asked:\n            return None\n",
        "        if invoice_id not in asked:\n            continue\n",
        "tests/unit/bitrix24/test_read_back_rows.py::test_a_foreign_invoice_means_the_filter_was_dropped",
    ),
    a_bug(
        "the refusal of a group fails all",
        "worker/policy.py",
        "return Failed(refusal) if alone else Requeue()",
        "return Failed(refusal)",
        POLICY + "test_a_request_that_failed_as_a_whole",
    ),
)

# Accepted means that it ends, and that its producer hears of it.
OF_PROMISES: Final = (
    a_bug(
        "acknowledged before the ledger has it",
        "worker/admission.py",
        '        failpoint("admission.popped", wanted)\n',
        '        failpoint("admission.popped", wanted)\n        [_acknowledge(request) for request in group]\n',
        ADMISSION + "test_a_message_is_acknowledged_when_the_ledger_has_it",
        ADMISSION + "test_a_message_that_the_ledger_does_not_have_is_not_acknowledged",
    ),
    a_bug(
        "a message leaves its queue before it is written down",
        "worker/lua/fetch.lua",
        "    redis.call('HSET', KEYS[1], tag(), KEYS[at] .. '\\n' .. message)\n",
        "",
        TRANSPORT + "test_a_fetched_message_is_on_record_before_anybody_has_it",
    ),
    a_bug(
        "a lost reply costs the fetched messages",
        "worker/lua/fetch.lua",
        "local entry = redis.call('HGET', KEYS[1], tag())",
        "local entry = nil",
        TRANSPORT + "test_a_step_whose_reply_was_lost_may_be_repeated",
    ),
    a_bug(
        "a step that was not answered is forgotten",
        "worker/transport.py",
        "            self._begin_anew()\n",
        "            self._asked = None\n",
        STREAM + "test_a_lost_answer_costs_no_message",
    ),
    a_bug(
        "what a refused step was to tell is forgotten",
        "worker/unacked.py",
        "        return list(self._told)\n",
        "        told = list(self._told)\n        self._told.clear()\n        return told\n",
        STREAM + "test_what_a_refused_step_was_to_tell_is_told_at_the_end",
    ),
    a_bug(
        "messages of dead consumers stay theirs",
        "worker/lua/recover.lua",
        "if are_dead[owner_of(tag)] then",
        "if false then",
        TRANSPORT + "test_a_dead_consumers_messages_go_back_in_their_order",
    ),
    _step(
        "a second open payment of an invoice",
        "open",
        "if not same_content(record, ask) then return {'C', id, 'invoice'} end",
        "if not same_content(record, ask) then return write(ask, nil) end",
        "test_an_open_invoice_is_not_paid_in_another_way_as_well",
    ),
    _step(
        "the result of a joined request is not owed",
        "prelude",
        "if kind == 'h' then handles[#handles + 1] = name end",
        "",
        "test_every_handle_of_a_final_payment_is_owed_its_result",
    ),
    a_bug(
        "a result is confirmed before it is stored",
        "worker/results.py",
        'return False\n        failpoint("results.stored"',
        'pass\n        failpoint("results.stored"',
        RESULTS + "test_a_result_that_was_not_stored_is_still_owed",
    ),
    a_bug(
        "the sweeper delivers nothing",
        "worker/sweeper.py",
        "if not left or not await self._results.deliver(left):",
        "if True:",
        RESULTS + "test_a_sweep_delivers_what_was_left",
    ),
    _step(
        "the sweeper repairs nothing",
        "sweep",
        "if forgotten(portal) then",
        "if false then",
        "test_a_forgotten_lane_with_work_is_found",
        "test_the_forgotten_lane_of_a_dead_driver_is_found",
    ),
    _step(
        "a payment kills workers for ever",
        "settle",
        "elseif tonumber(record.x or 0) >= MOST_DEATHS then",
        "elseif false then",
        "test_a_payment_ends_after_three_deaths",
    ),
    _step(
        "suspects are sent in company",
        "prelude",
        "and 'x:' or 'q:')",
        "and 'q:' or 'q:')",
        "test_a_suspect_is_claimed_alone",
    ),
)

# What looks for faults must find them.
OF_JUDGES: Final = (
    a_bug(
        "a checker that finds nothing",
        "chaos/checker.py",
        "findings=tuple(findings)",
        "findings=()",
        CHECKER + "test_an_accepted_payment_that_nobody_knows_is_lost",
        CHECKER + "test_a_call_for_a_paid_invoice_pays_twice",
        CHECKER + "test_calls_at_the_same_time_overlap",
        CHECKER + "test_paid_in_the_ledger_only_is_a_wrong_verdict",
    ),
    a_bug(
        "a checker that takes any read for the one that was due",
        "chaos/checker.py",
        "return asked_after and read.answered_s <= second.arrived_s",
        "return True",
        CHECKER + "test_a_second_call_without_a_read_between_is_found",
    ),
)

BUGS: Final = (*OF_LEASES, *OF_DOUBTS, *OF_PROOFS, *OF_PROMISES, *OF_JUDGES)
