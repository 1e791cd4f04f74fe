"""Fields of what verbs show beside payments and portals: findings of a comparison, parked messages, tokens."""

from typing import Final

from cli.schema import fields

FINDING: Final = fields("""
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
""")
PARKED: Final = fields("""
    number int the message's number
    at time when it was parked
    queue text the queue it came from
    reason text why nobody could read it
    task text|null the task it names
    task_id text|null the task's id
    size int bytes
""")
TOKEN: Final = fields("""
    id text 12 hexadecimal digits
    name text its name
    role text producer, viewer or operator
    portals list|null the portals it is limited to; null: all
    callback text|null told of the end of payments that name nobody; a query is shown as ***
    state text usable, expired, revoked or unreadable
    created_at time|null when it was made
    expires_at time|null when it ends; null: when it is revoked
    revoked_at time|null when it was revoked
    last_used_at time|null when a request last used it
""")
