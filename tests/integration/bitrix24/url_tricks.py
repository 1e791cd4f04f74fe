"""Ways to write an address that is not for us: OWASP's list for server-side request forgery, and what parsers add."""

import ipaddress
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

# Loopback, private, shared, link-local with the metadata services of clouds, "this host", multicast, broadcast.
INSIDE_4: Final = (
    *("127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254"),
    *("0.0.0.0", "224.0.0.1", "255.255.255.255", "192.0.0.9", "192.0.2.1", "198.18.0.1", "192.88.99.1", "240.0.0.1"),
)
INSIDE_6: Final = (
    *(
        "::1",
        "::",
        "0:0:0:0:0:0:0:1",
        "::2",
        "fe80::1",
        "fe80::1%25lo",
        "fe80::1%lo",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
    ),
    *(
        "ff02::1",
        "ff0e::1",
        "100::1",
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "4000::1",
        "2001::1",
        "2001:2::1",
        "::1%25lo",
    ),
    *("64:ff9b:1::7f00:1", "2001:4860:4860::8888%25lo"),
)
NAMES: Final = (
    *("localhost", "LOCALHOST", "localhost.", "localhost.localdomain", "a.localhost", "ip6-localhost", "x.local"),
    *("metadata.google.internal", "metadata", "kubernetes.default.svc", "redis", "host.docker.internal"),
    *("127.0.0.1.nip.io", "localtest.me", "spoofed.example", "customer1.app.localhost.my.company.127.0.0.1.nip.io"),
    *(
        "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
        "".join(chr(ord(c) + 0xFEE0) for c in "localhost"),
        "loc\u00adalhost",
        "localhost\u3002",
        "xn--localhost-",
        "acme.bitrix24.com",
    ),
    *(
        "127.0.0.1.xn--p1ai",
        "acme.bitrix24.com.",
        "a_b.example",
        "-",
        ".",
        "..",
        "a..b",
        "*",
        "acme.bitrix24.com.127.1",
    ),
)
# Whole addresses: what stands before the host, around it, and instead of the scheme.
ADDRESSES: Final = (
    "https://acme.bitrix24.com@127.0.0.1/",
    "https://acme.bitrix24.com:443@127.0.0.1/",
    "https://acme.bitrix24.com%40127.0.0.1/",
    "https://user:pass@127.0.0.1/",
    "https://127.0.0.1@acme.bitrix24.com/",
    "https://127.0.0.1#@acme.bitrix24.com/",
    "https://127.0.0.1?@acme.bitrix24.com/",
    "https://127.0.0.1/@acme.bitrix24.com/",
    "https://127.0.0.1\\@acme.bitrix24.com/",
    "https://127.0.0.1:443\\@acme.bitrix24.com/",
    "https://acme.bitrix24.com\\@127.0.0.1/",
    "https://acme.bitrix24.com#@127.0.0.1/",
    "https://acme.bitrix24.com?@127.0.0.1/",
    "https://acme.bitrix24.com&@127.0.0.1/",
    "https://acme.bitrix24.com @127.0.0.1/",
    "https://127.0.0.1 acme.bitrix24.com/",
    "https://127.0.0.1\tacme.bitrix24.com/",
    "https://127.0.0.1\r\n.bitrix24.com/",
    "https://127.0.0.1%00.bitrix24.com/",
    "https://127.0.0.1%0d%0aHost:%20x/",
    "https://127.0.0.1%2f.bitrix24.com/",
    "https://127.0.0.1%252f.bitrix24.com/",
    "https://127.0.0.1:80@acme.bitrix24.com:443/",
    "https://127.0.0.1:0/",
    "https://127.0.0.1:65536/",
    "https://127.0.0.1:-1/",
    "https://127.0.0.1:+443/",
    "https://127.0.0.1:\u0664\u0664\u0663/",
    "https:127.0.0.1/",
    "https:/127.0.0.1/",
    "https:///127.0.0.1/",
    "https:////127.0.0.1/",
    "https:\\\\127.0.0.1/",
    "//127.0.0.1/",
    "\\\\127.0.0.1/",
    "127.0.0.1/",
    "http://127.0.0.1/",
    "HTTPS://127.0.0.1/",
    "hTTp://[::1]:6379/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "dict://127.0.0.1:6379/info",
    "redis://127.0.0.1:6379/",
    "unix:///var/run/docker.sock",
    "data:text/plain,x",
    "javascript:alert(1)",
    "jar:https://127.0.0.1!/",
    "https://[127.0.0.1]/",
    "https://[::1/",
    "https://::1/",
    "https://[::1].bitrix24.com/",
    "https://[v1.127.0.0.1]/",
    "https://[::ffff:127.0.0.1]@acme.bitrix24.com/",
    "https:// 127.0.0.1/",
    " https://127.0.0.1/",
    "https://",
    "",
)


def notations(dotted: str) -> Iterator[str]:
    """One IPv4 address in every way that some resolver, browser or proxy understands."""
    packed = ipaddress.IPv4Address(dotted)
    number, parts = int(packed), [int(part) for part in dotted.split(".")]
    yield from (
        dotted,
        f"{dotted}.",
        f"{number}",
        f"0x{number:x}",
        f"0X{number:08X}",
        f"0{number:o}",
        f"0x0000{number:x}",
    )
    yield from (f"{number}.", f"0x{number:x}.", f"{number + 2**32}")
    yield ".".join(f"0x{part:x}" for part in parts)
    yield ".".join(f"0{part:o}" for part in parts)
    yield ".".join(f"{part:04o}" for part in parts)
    yield ".".join(f"{part:03d}" for part in parts)
    yield f"0x{parts[0]:x}.{parts[1]}.0{parts[2]:o}.{parts[3]}"
    yield f"{parts[0]}.{number & 0xFFFFFF}"
    yield f"{parts[0]}.{parts[1]}.{number & 0xFFFF}"
    yield f"{parts[0]}.0x{number & 0xFFFFFF:x}"
    yield from (dotted.replace(".", dot) for dot in ("\u3002", "\uff0e", "\uff61", "%2e", "%E3%80%82"))
    yield quote(dotted, safe="").replace("1", "%31")
    for first in (0x2460 - 1, 0xFF10):  # circled and full-width digits
        yield "".join("⓪" if d == "0" and first < 0xFF00 else chr(first + int(d)) if d != "." else d for d in dotted)
    for carrier in ("::ffff:", "::", "::ffff:0:", "64:ff9b::", "0:0:0:0:0:ffff:", "64:ff9b:1::"):
        yield f"[{carrier}{dotted}]"
        yield f"[{carrier}{number >> 16:x}:{number & 0xFFFF:x}]"
    yield f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::1]"
    yield f"[::ffff:{dotted}%25lo]"


def tricks() -> list[str]:
    """All of them, as addresses of a webhook's portal without a path."""
    hosts = [each for dotted in INSIDE_4 for each in notations(dotted)]
    hosts += [f"[{address}]" for address in INSIDE_6] + list(NAMES)
    return [*dict.fromkeys([*(f"https://{host}/" for host in hosts), *ADDRESSES])]
