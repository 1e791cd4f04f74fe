"""Planted bugs that would let a hostile far side in; what each entry means is told in `tests.planted.bugs`."""

from typing import Final

from tests.planted.bugs import HOSTILE, Bug

_HERE: Final = "tests/integration/bitrix24/"

OF_THE_FAR_SIDE: Final = (
    Bug(
        "no look at the address of a connection",
        "bitrix24/transport.py",
        "if self._public_only and not is_public_address(where[0]):",
        "if False:",
        (_HERE + "test_inside_addresses.py::test_the_last_look_is_at_the_connection",),
    ),
    Bug(
        "any address of a name is believed",
        "bitrix24/resolver.py",
        'if is_public_address(address["host"])]',
        "if True]",
        (_HERE + "test_inside_addresses.py::test_a_name_is_judged_by_all_its_addresses",),
    ),
    Bug(
        "an idle connection is listened to",
        "bitrix24/unasked.py",
        "if self._caller is None or self._room < 0:",
        "if self._room < 0:",
        (_HERE + "test_unasked_bytes.py::test_an_idle_connection_that_speaks_is_ended",),
    ),
    Bug(
        "a second answer is kept for the next call",
        "bitrix24/unasked.py",
        'if getattr(self._behind, "should_close", True):',
        "if False:",
        (_HERE + "test_unasked_bytes.py::test_a_connection_that_answers_twice_is_ended",),
    ),
    Bug(
        "proxies of the environment are used",
        "bitrix24/transport.py",
        "trust_env=False,",
        "trust_env=True,",
        (_HERE + "test_proxy.py::test_a_proxy_of_the_environment_is_not_used",),
    ),
    Bug(
        "redirects are followed",
        "bitrix24/transport.py",
        "allow_redirects=False",
        "allow_redirects=True",
        (_HERE + "test_redirects.py::test_a_redirect_that_may_be_ours_is_named",),
    ),
    Bug(
        "certificates are not verified",
        "bitrix24/transport.py",
        "limit=self._connections,",
        "limit=self._connections, ssl=False,",
        (_HERE + "test_certificates.py::test_only_a_valid_certificate_is_told_anything",),
    ),
    Bug(
        "a proxy of the environment is used",
        "bitrix24/transport.py",
        "trust_env=False",
        "trust_env=True",
        (HOSTILE + "test_a_proxy_of_the_environment_is_not_used",),
    ),
    Bug(
        "the last of two keys counts",
        "bitrix24/shapes.py",
        "if len(found) != len(pairs):",
        "if False:",
        ("tests/unit/bitrix24/test_php_shapes.py::test_what_json_leaves_open_is_not_read",),
    ),
)
