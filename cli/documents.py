"""What every verb writes with --json, and the exit codes it may end with: the source of docs/schemas and its tests.

A document may grow; a field that is there keeps its name, its type and its meaning.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from cli.exits import Exit
from cli.schema import Documents, fields

_PAYMENT: Final = fields("""
    id text the payment's handle
    portal text the portal's key
    invoice_id int the invoice
    pay_system_id int|null the pay system that pays
    bx_rest_handler text|null or the code of its REST handler
    status text queued, sending, in_doubt, paid, failed or cancelled
    evidence text|null how it is known to be paid: read_back, response or operator
    paid_at time|null when it was paid
    attempts int how often it was sent
    duplicate bool whether it answers a request that came after the invoice was paid
    enqueued_at time|null when it was accepted
    finished_at time|null when it ended
    because text|null what the person wrote who decided on it
""")
_ERROR: Final = fields("error object|null why it failed: code and text")
_SHOWN: Final = (*_PAYMENT, *_ERROR)
# What a dry run of `pay` tells as well; there is no payment yet.
_ASKED: Final = ("portal", "invoice_id", "pay_system_id", "bx_rest_handler")
_KEY: Final = fields("key text the portal's key")
_FINDINGS: Final = fields("""
    findings? list what the live look has shown: level, text, remedy
    pay_systems? list the portal's pay systems and whether they pay
""")
_HELD: Final = fields("""
    held bool whether the lane is held now
    was_held bool whether it was before
""")
_LOOK: Final = fields("""
    at time when it was counted
    totals object payments of all lanes by state
    held int how many lanes are held
    lanes list per lane: portal, payments by state, held (code and text, or null), due_at, driver
""")
_PORTAL: Final = fields("""
    key text the portal's key
    endpoint text its REST address, without the secret
    credential text webhook or application
    user_id int|null the webhook's user
    member_id text|null the portal's own name of itself
    plan text|null the plan as it was given
    limits object requests per second, burst, execution seconds
    version int grows with every change of the credential
    held object|null code, text, since, waiting, next_look_at, what_to_do
    payments object|null payments by state; null without a lane
""")
_CHANGED: Final = fields("""
    id text the payment as it was named
    changed bool whether it was changed; false in a dry run
    status text|null its state afterwards; null where it is not known
    text text what happened, in words
""")
_PARKED: Final = fields("""
    number int the message's number
    at time when it was parked
    queue text the queue it came from
    reason text why nobody could read it
    task text|null the task it names
    task_id text|null the task's id
    size int bytes
""")
_TOKEN: Final = fields("""
    id text 12 hexadecimal digits
    name text its name
    role text producer, viewer or operator
    portals list|null the portals it is limited to; null: all
    state text usable, expired, revoked or unreadable
    created_at time|null when it was made
    expires_at time|null when it ends; null: when it is revoked
    revoked_at time|null when it was revoked
    last_used_at time|null when a request last used it
""")

_R, _D, _P = Exit.REFUSED, Exit.IN_DOUBT, Exit.PARTLY
_T = Exit.TEMPORARY
# Every verb may end so: done, wrong usage, Redis or a portal away, for a moment or not, bad settings.
ALWAYS: Final = (Exit.DONE, Exit.USAGE, Exit.UNREACHABLE, Exit.TEMPORARY, Exit.CONFIGURATION)

DOCUMENTS: Final[Mapping[str, Documents]] = {
    "portal add": Documents(
        "one",
        (
            *_KEY,
            *fields("""
                stored bool whether it was stored; false in a dry run
                checked bool whether the portal was looked at
                resumed bool whether its held lane goes on
            """),
            *_FINDINGS,
        ),
        (_R,),
    ),
    "portal invite": Documents(
        "one",
        (
            *_KEY,
            *fields("""
                invited bool false in a dry run
                url? text the address; a secret until it has been used
                expires_at? time how long it is good
            """),
        ),
        (_R,),
    ),
    "portal list": Documents("a portal", _PORTAL),
    "portal show": Documents("one", _PORTAL, (_R,)),
    "portal check": Documents(
        "a portal",
        (
            *_KEY,
            *fields("""
                usable bool whether it can be paid
                reached bool whether the portal answered
                error? text why nobody could look
            """),
            *_FINDINGS,
        ),
        (_R,),
    ),
    "portal hold": Documents("one", (*_KEY, *_HELD), (_R,)),
    "portal resume": Documents("one", (*_KEY, *_HELD), (_R,)),
    "portal remove": Documents("one", (*_KEY, *fields("removed bool false in a dry run")), (_R,)),
    "keys rotate": Documents(
        "one",
        fields("""
            sealed_anew int how many were, or would be, sealed anew
            already int how many were sealed with the first key already
            not_opened list names of what no key opens
            restless list names of what changed again and again meanwhile
            dry_run bool whether nothing was changed
            old_keys_needed bool whether a key beside the first is still needed
        """),
        (_P, _T),
    ),
    "pay": Documents(
        "one",
        (
            *(replace(each, optional=each.name not in _ASKED) for each in _SHOWN),
            *fields("""
                idempotency_key? text|null in a dry run: the key that was given
                callback? text|null in a dry run: the address that would be told
                accepted? bool in a dry run: false
                text? text in a dry run: what would become of the request
            """),
        ),
        (_R, _D, _T),
    ),
    "import": Documents(
        "one",
        fields("""
            file text the file's name
            dry_run bool whether nothing was written
            rows int rows of the file
            accepted int rows that made a payment of their own
            resumed int rows known from an earlier run of this file
            joined int rows that joined the same request
            already_paid int rows whose invoice is known as paid
            invalid int rows that are no payment
            unknown_portal int rows of a portal that is not configured
            conflict int rows whose invoice another open payment pays otherwise
            rejected int the last three together
            rejections list the first 1,000 rejected rows: line, error
            seconds number how long it took
            exit_code int the exit code
            states? object with --wait: payments by state
            failed_by_code? object with --wait: failed payments by code
            held? object with --wait: portals whose lane is held, and why
            payments_per_s? number with --wait: ended payments a second
        """),
        (_R, _D, _P, _T),
    ),
    "status": Documents("a payment", _SHOWN, (_R, _P)),
    "list": Documents("a payment", _SHOWN, (_R,)),
    "inspect": Documents(
        "one",
        (
            *_PAYMENT,
            *fields("""
                error text|null code and text of why it failed
                idempotency_key text|null the producer's key
                sent_at time|null when it was last sent
                claim text|null the claim it was last sent under
                driver_deaths int how often a worker died while it was being sent
                quiet_until time|null until when an "unpaid" does not count
                last_read_error text|null why it could not be read back
                read_first_after text|null the paid payment after which it is read before it is sent
                lane_held text|null why its lane is held
                next text what happens to it from here on
                transitions list its way: at (null: not known), state, cause, by, evidence, code, attempt, fence, times
            """),
        ),
        (_R,),
    ),
    "stats": Documents(
        "one",
        (*_LOOK, *fields("failures list failed payments: portal, code (null: others), count, latest_at, counting")),
        (_R,),
    ),
    "watch": Documents("a look", (*_LOOK, *fields("paid_per_s number paid since the look before, a second")), (_R,)),
    "retry": Documents("a payment", _CHANGED, (_R, _P)),
    "cancel": Documents("a payment", _CHANGED, (_R, _P)),
    "doubts": Documents(
        "a payment",
        (
            *_SHOWN,
            *fields("""
                since time since when nobody knows
                unpaid_counts_from time|null from when on an "unpaid" counts
                next_read_at time|null when its lane is driven next
                last_read_error text|null why it could not be read back
                lane_held text|null why its lane is held
                what_to_do text what a person can do
            """),
        ),
        (_R,),
    ),
    "doubts verify": Documents(
        "a payment",
        (
            *_SHOWN,
            *fields("""
                last_read_error text|null why it could not be read back
                outcome text decided, quiet, unreadable, held, nobody or pending
                text text what happened, in words
            """),
        ),
        (_R, _D, _P, _T),
    ),
    "doubts resolve": Documents(
        "one",
        (
            *_SHOWN,
            *fields("""
                changed? bool in a dry run: false
                text? text in a dry run: what would happen
            """),
        ),
        (_R, _T),
    ),
    "reconcile": Documents(
        "a finding; the last one is the summary",
        fields("""
            kind text unpaid_there, paid_there or gone: differences; unreadable, in_doubt; or summary
            portal text the portal's key
            difference? bool whether ledger and portal contradict each other
            id? text the payment's handle
            invoice_id? int the invoice
            status? text what the ledger says: paid, failed, cancelled or in_doubt
            evidence? text|null how the ledger knew that it was paid
            finished_at? time|null when it ended by the ledger
            paid_there? bool|null what the portal says; null where it says nothing
            paid_there_at? time|null the portal's DATE_PAYED
            paid_there_by? text|null the portal's user who paid
            read_at? time|null when the portal said so
            text? text the finding in words
            since? time in the summary: the period's begin, ends at this moment included
            until? time in the summary: the period's end, ends at this moment not included
            counts? object in the summary: agreed, differing, unreadable, in_doubt, later, under_way, changed
            complete? bool in the summary: whether the whole period was walked through
            next_cursor? text|null in the summary: what --cursor goes on with; null when it was complete
            stopped? object|null in the summary: why it was not: code, text, remedy
        """),
        (_R, _D, _P),
    ),
    "callback hosts": Documents(
        "a host",
        fields("""
            host text the receiver's host
            allowed bool whether B24PAY_CALLBACK_HOSTS names it
            made_at time when its secret was made
            former_signs_until time|null until when the secret before signs as well
        """),
    ),
    "callback list": Documents(
        "a callback",
        fields("""
            id text the callback's id, the same in every try
            state text pending, failed or delivered
            type text the event
            payment text the payment's handle
            handle text the handle that the producer knows
            portal text the portal's key
            invoice_id int the invoice
            host text the receiver's host
            url text its address without the query
            created_at time when the payment ended
            tries int how often it was sent
            tried_at time|null when it was last sent
            due_at time|null when it is sent next
            remark text|null what the last try ended with
        """),
    ),
    "callback resend": Documents(
        "a callback",
        fields("""
            id text the callback as it was named
            resent bool whether it is sent again; false in a dry run
            text text what happened, in words
        """),
        (_R, _P),
    ),
    "callback secret": Documents(
        "one",
        fields("""
            host text the receiver's host
            secret text|null the signing secret, shown once; null in a dry run
            former_signs_until? time|null until when the secret before signs as well
            text? text in a dry run: what would happen
        """),
        (_R,),
    ),
    "parked": Documents("a message", _PARKED),
    "parked list": Documents("a message", _PARKED),
    "parked show": Documents("one", (*_PARKED, *fields("beginning text its beginning, secrets as stars")), (_R,)),
    "parked drop": Documents(
        "a message",
        fields("""
            number int the message as it was named
            dropped bool whether it was dropped; false in a dry run
            text text what happened, in words
        """),
        (_R, _P),
    ),
    "token create": Documents(
        "one",
        (
            *(replace(each, optional=each.name not in ("name", "role", "portals")) for each in _TOKEN),
            *fields("""
                created bool false in a dry run
                token? text the token itself, shown once
            """),
        ),
        (_R,),
    ),
    "token list": Documents("a token", _TOKEN),
    "token revoke": Documents("one", (*_TOKEN, *fields("was_revoked bool whether it was before")), (_R,)),
    "audit": Documents(
        "an entry",
        fields("""
            id text the entry's id
            at time when it was written down
            who text the person, or the token's name
            role text|null the token's role
            from text which door: the command line or HTTP
            what text the action, such as portal.hold
            subjects list what it was done to
            outcome text done, partly, refused, failed or unfinished
            why text|null the reason that was given
            before any how it was
            after any how it became
            error text|null what went wrong
            request_id text|null the HTTP request
            token text|null the token's id
        """),
    ),
    "health": Documents(
        "one",
        fields("""
            healthy bool whether Redis answers and every worker consumes
            workers list per worker: worker, condition, cause, age_s, pid, metrics
        """),
        (_R,),
    ),
    "doctor": Documents(
        "one",
        fields("""
            healthy bool whether nothing keeps payments from working
            settings list per setting: name, value without secrets, origin, meaning
            findings list per finding: level (ok, warning, problem), text, remedy
        """),
    ),
    "demo": Documents(
        "one",
        fields("""
            ok bool whether everything came as it had to
            rows int rows of the file
            accepted int rows that made a payment
            rejected int rows that made none
            duplicates int rows that asked for the same again
            paid int payments paid
            failed int payments failed
            failed_by_code object failed payments by code
            in_doubt int payments in doubt
            requests object requests by portal
            http_503 int answers 503
            paid_once_at_portal int invoices that both sides agree on
            paid_twice_at_portal int invoices paid more than once
            differences list what is not as it had to be
            payments_per_s number payments a second
            import_seconds number from the first row to the last end
            seconds number with starting everything
        """),
        (_D,),
    ),
    "chaos": Documents(
        "one",
        fields("""
            ok bool whether nothing was wrong
            seed int the plan's seed
            findings object how often each kind of wrong was found
            payments object asked_for, accepted, paid and how the others ended
            faults object per kind of fault: planned, struck
            deaths object how soon somebody decided about what the dead left
            portals object requests, replies_lost, calls, reads
            seconds object storm, rest, total
            details list the first findings: finding, invoice, text
        """),
        (_D,),
    ),
    "completion": Documents(
        "one",
        fields("""
            shell text bash, zsh or fish
            script text what the shell runs
        """),
    ),
}
