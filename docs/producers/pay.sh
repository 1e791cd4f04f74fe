#!/bin/sh
# Pay one invoice from a shell, by HTTP: curl and nothing else.
#
#   PAY_URL=https://pay.example.com PAY_TOKEN=… ./pay.sh PORTAL INVOICE PAY_SYSTEM [KEY]
#
# Prints the payment's id at once and its document at the end. Exit code: 0 paid, 1 refused, 75 no result yet.
# KEY is yours to choose (your order's number). The same key with the same content is the same payment, so the request
# is sent again here whenever no answer came, and never pays twice.
set -eu

if [ $# -lt 3 ]; then
    echo "usage: PAY_URL=… PAY_TOKEN=… pay.sh PORTAL INVOICE PAY_SYSTEM [KEY]" >&2
    exit 2
fi
key=${4:-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')}

# The token goes through a pipe: whoever lists processes sees no command line with it.
ask() {
    curl --silent --show-error --max-time 30 --config - "$@" <<CONFIG
header = "Authorization: Bearer ${PAY_TOKEN}"
CONFIG
}

# One field of a document on one line.
field() {
    sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" | head -n 1
}

# --retry repeats what got no answer, 429 and 503; with a key that is safe.
answer=$(ask --retry 5 --retry-connrefused --fail-with-body \
    --header "Content-Type: application/json" --header "Idempotency-Key: $key" \
    --data "{\"portal\": \"$1\", \"invoice_id\": $2, \"pay_system_id\": $3}" \
    "$PAY_URL/v1/payments") || {
    echo "$answer" >&2
    exit 1
}
id=$(echo "$answer" | field id)
echo "$id"

tries=0
while [ "$tries" -lt 240 ]; do
    answer=$(ask --retry 5 --retry-connrefused "$PAY_URL/v1/payments/$id")
    case $(echo "$answer" | field status) in
        paid) echo "$answer"; exit 0 ;;
        failed | cancelled) echo "$answer"; exit 1 ;;
    esac
    tries=$((tries + 1))
    sleep 0.5
done
exit 75
