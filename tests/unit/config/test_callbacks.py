"""Which addresses may be told of a payment's end: read by one narrow pattern, the same for everybody who parses it."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from config.callbacks import BadCallback, CallbackRules, read_callback, read_hosts

RULES = CallbackRules(read_hosts("shop.example, *.Shops.example"), allow_insecure=False)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://shop.example", "shop.example"),
        ("https://SHOP.example/Paid?of=1&b=%20", "shop.example"),
        ("https://shop.example:8443/a@b/c:d", "shop.example"),
        ("https://a.shops.example?x", "a.shops.example"),
        ("https://a.b.shops.example/", "a.b.shops.example"),
    ],
)
def test_what_is_accepted(address: str, host: str):
    """The host in lower case and without its port; the address to the letter."""
    assert read_callback(address, RULES) == (host, address)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "http://shop.example/",
            "ftp://shop.example/",
            "//shop.example/",
            "shop.example",
            "",
            None,
            7,
            ["https://shop.example"],
        ),
        *("https://shop.example@evil.example/", "https://evil.example@shop.example/", "https://u:p@shop.example/"),
        *(
            "https://shop.example\\@evil.example/",
            "https://evil.example\\.shop.example/",
            "https://evil.example#.shop.example",
        ),
        *(
            "https://shop.example.evil.example/",
            "https://evilshop.example/",
            "https://shops.example/",
            "https://.shops.example/",
        ),
        *("https://shop.example./", "https://shop..example/", "https://shop.example:0/", "https://shop.example:99999/"),
        *(
            "https://shop.example/#part",
            "https://shop.example/ x",
            "https://shop.example/\t",
            "https://shop.example\n/",
        ),
        " https://shop.example",
        *("https://shop.example/\u00e4", "https://sh\u043ep.example/", "https:///shop.example/", "https:shop.example"),
        "HTTPS//shop.example",
        *(
            "https://shop%2eexample/",
            "https://[shop.example]/",
            "https://-a.shops.example/",
            "https://shop.example:/",
            "https://shop.example:8a/",
        ),
        "https://shop.example/" + "x" * 2000,
    ],
)
def test_what_is_refused(address: object):
    """Users, other schemes, other hosts that look alike, and whatever parsers may read in two ways."""
    with pytest.raises(BadCallback):
        read_callback(address, RULES)


@given(st.text("htps:/@.#?\\[]%&=shop.exampleevil0127 \t", max_size=40).map("https://".__add__))
def test_every_parser_sees_the_same_host(address: str):
    """What is accepted leads to one host, whoever reads it."""
    rules = CallbackRules(("shop.example", "*.example"), allow_insecure=False)
    try:
        host, _ = read_callback(address, rules)
    except BadCallback:
        return
    assert urlsplit(address).hostname == URL(address, encoded=True).raw_host == host


def test_without_allowed_hosts_the_refusal_says_which_setting():
    """So does one of another host."""
    with pytest.raises(BadCallback, match="B24PAY_CALLBACK_HOSTS"):
        read_callback("https://shop.example/", CallbackRules((), allow_insecure=True))
    with pytest.raises(BadCallback, match=r"evil\.example.*B24PAY_CALLBACK_HOSTS"):
        read_callback("https://evil.example/?token=secret", RULES)


def test_refusals_repeat_no_address():
    """Its query may be a secret of the receiver's."""
    with pytest.raises(BadCallback) as caught:
        read_callback("https://evil.example/?token=canary", RULES)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "hosts", ["https://shop.example", "shop.example:443", "*", "*.", "a b", "*.10.0.0.1", "shop.example/"]
)
def test_hosts_that_are_none(hosts: str):
    """The position of the bad one is told."""
    with pytest.raises(ValueError, match="entry 2 of 2"):
        read_hosts(f"good.example,{hosts}")
