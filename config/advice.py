"""What mends a Redis that refuses: missing rights, and TLS that does not come about. From the error's text to words.

redis-py, kombu and Celery tell the same refusal by different classes, and within a script the server tells a missing
right as an ordinary error; what all of them have in common is the text.
"""

import re
from typing import Final, NamedTuple


class Advice(NamedTuple):
    """A sentence that says what is wrong, and one that mends it."""

    cause: str
    next_step: str


_RIGHTS: Final = (
    "Use the user of this role (commands of b24pay have b24pay-operator), or load deploy/redis/users.acl of this "
    "version into the server; see docs/redis.md. On the server, ACL LOG names what was refused."
)
_USER: Final = re.compile(r"User (\S+) has no permissions to run the '([^']+)' command")
_NAME: Final = "NoPermissionError"  # redis-py's; log lines often have nothing but it
_NOT_PERMITTED: Final = re.compile(r"NOPERM|ACL failure in script|[Nn]o permissions to access")

_TLS: Final = (
    (
        r"Hostname mismatch|IP address mismatch|doesn't match",
        "The certificate of the Redis server is for another host name than the one in the URL.",
        "Write the name that is in the certificate (subjectAltName) into the URL, or have one made for this name.",
    ),
    (
        r"certificate has expired|alert certificate expired",
        "A certificate on the way to Redis has expired.",
        "Renew it (`openssl x509 -enddate -noout -in FILE`): the server's, the CA's, or the one of ssl_certfile.",
    ),
    (
        r"unable to get (local )?issuer certificate|self[- ]signed certificate|unable to verify the first certificate",
        "The certificate of the Redis server is signed by a CA that is not known here.",
        "Name the CA in the URL: rediss://…?ssl_ca_certs=/path/ca.pem.",
    ),
    (
        r"(?i)alert[ _]certificate[ _]required|EOF occurred in violation of protocol",
        "The Redis server ended the TLS handshake: it asks for a client certificate, and the URL names none.",
        "Add ssl_certfile=/path/client.crt&ssl_keyfile=/path/client.key to the URL.",
    ),
    (
        r"alert unknown ca|UNKNOWN_CA|alert bad certificate",
        "The Redis server does not know the CA of our client certificate.",
        "Use a client certificate that is signed by the server's tls-ca-cert-file.",
    ),
    (
        r"WRONG_VERSION_NUMBER|wrong version number|packet length too long|record layer failure",
        "The Redis server does not speak TLS at this port.",
        "Use its TLS port (tls-port), or redis:// without the final s.",
    ),
    (
        # A socket's path would stand in the place of host and port.
        r"Error (2|13) connecting to [^/ ]+:\d+\.",
        "A file that the URL names for TLS is not there, or may not be read.",
        "Look at ssl_ca_certs, ssl_certfile and ssl_keyfile of the URL.",
    ),
    (
        r"KEY_VALUES_MISMATCH|key values mismatch",
        "ssl_keyfile is not the key of ssl_certfile.",
        "Name the two files that belong together.",
    ),
)


def advice(error: BaseException | str) -> Advice | None:
    """What is known to mend this, None for all other errors."""
    text = str(error)
    if _NOT_PERMITTED.search(text) or _USER.search(text) or _NAME in (type(error).__name__, text):
        found = _USER.search(text)
        who, what = (f"user {found[1]}", f"run '{found[2]}'") if found else ("user of this URL", _what(text))
        return Advice(f"Redis does not let the {who} {what}.", _RIGHTS)
    for pattern, cause, step in _TLS:
        if re.search(pattern, text):
            return Advice(cause, step)
    return None


def _what(text: str) -> str:
    return "use this channel" if "channel" in text else "use a key that is needed"
