"""What `b24pay doctor` says about a server, from the server's own words."""

from collections.abc import Mapping

import pytest

from cli.fitness import fitness
from cli.symptoms import Level, Symptom, summary
from cli.vulnerabilities import holes_of
from config.addresses import parse_address

GOOD_INFO = {"redis_version": "8.10.1", "role": "master", "maxmemory": "0", "used_memory": "1000000"}
GOOD_CONFIG = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
LOCAL = "redis://127.0.0.1/0"


def found(
    info: Mapping[str, str] | None = None, config: Mapping[str, str] | None = None, url: str = LOCAL
) -> list[Symptom]:
    """What is not as it should be on a good server with these changes."""
    told = fitness({**GOOD_INFO, **(info or {})}, {**GOOD_CONFIG, **(config or {})}, parse_address(url))
    return [symptom for symptom in told if symptom.level is not Level.OK]


def test_a_good_server_has_no_finding():
    """Nobody learns to overlook warnings."""
    assert found() == []
    assert summary([]).plain == "Everything is as it should be."


@pytest.mark.parametrize(
    ("info", "config", "level", "words"),
    [
        ({}, {"appendonly": "no"}, Level.PROBLEM, "forgets accepted payments"),
        ({}, {"appendfsync": "everysec"}, Level.WARNING, "last second"),
        ({}, {"appendfsync": "no"}, Level.PROBLEM, "half minute"),
        ({}, {"maxmemory-policy": "allkeys-lru"}, Level.PROBLEM, "throws payments away"),
        ({"redis_version": "6.2.5"}, {}, Level.PROBLEM, "older than 7"),
        (
            {"role": "slave", "master_link_status": "down"},
            {},
            Level.PROBLEM,
            "is a replica, and its master is not there",
        ),
        ({"role": "slave", "master_link_status": "up"}, {}, Level.PROBLEM, "it takes no payments"),
        ({"aof_last_write_status": "err"}, {}, Level.PROBLEM, "could not write to its disk (aof_last_write_status)"),
        ({"maxmemory": "1000", "used_memory": "810"}, {}, Level.WARNING, "memory is 81 % of maxmemory"),
        ({"maxmemory": "1000", "used_memory": "990"}, {}, Level.PROBLEM, "memory is 99 % of maxmemory"),
        ({"connected_slaves": "1"}, {"min-replicas-to-write": "0"}, Level.WARNING, "a failover may forget"),
    ],
)
def test_a_risk_is_named_with_a_remedy(info: dict[str, str], config: dict[str, str], level: Level, words: str):
    """One finding each, and what to do about it."""
    symptoms = [each for each in found(info, config) if words in each.text]
    assert [each.level for each in symptoms] == [level]
    assert symptoms[0].remedy


def test_a_server_that_waits_for_its_replicas_is_fine():
    """What was accepted is on two machines."""
    assert found({"connected_slaves": "2"}, {"min-replicas-to-write": "1"}) == []


def test_a_server_that_hides_its_configuration_is_a_warning():
    """Managed servers do; somebody has to make sure by hand."""
    [symptom] = [each for each in fitness(GOOD_INFO, None, parse_address(LOCAL)) if each.level is not Level.OK]
    assert "does not show" in symptom.text


@pytest.mark.parametrize(
    ("url", "open_to_all"),
    [
        ("redis://redis:6379/0", True),
        ("rediss://10.0.0.5/0", True),
        ("redis://user:secret@redis/0", False),
        ("redis://localhost/0", False),
        ("redis://[::1]/0", False),
        ("redis+socket:///run/v.sock", False),
    ],
)
def test_a_far_server_without_a_password_is_a_warning(url: str, open_to_all: bool):
    """Whoever reaches it reads the ledger; a password is never repeated."""
    told = [each.text for each in found(url=url)]
    assert any("without a password" in text for text in told) is open_to_all
    assert not any("secret" in text for text in told)


@pytest.mark.parametrize(
    ("product", "version", "tls", "holes"),
    [
        ("Redis", "7.0.15", False, {"CVE-2025-49844": "7.2.11"}),
        ("Redis", "7.2.11", False, {"CVE-2026-23479": "7.2.14"}),
        ("Redis", "7.4.5", False, {"CVE-2025-49844": "7.4.6", "CVE-2026-23479": "7.4.9"}),
        ("Redis", "8.4.3", False, {}),
        ("Redis", "8.4.3", True, {"CVE-2026-81934": "8.4.6"}),
        ("Redis", "8.10.1", True, {}),
        ("Redis", "9.0.0", True, {}),
        ("Valkey", "8.0.5", False, {"CVE-2025-49844": "8.0.6"}),
        ("Valkey", "8.0.11", True, {}),
        ("Valkey", "8.1.4", False, {"CVE-2026-23479": "8.1.7"}),
        ("Valkey", "9.1.0", True, {"CVE-2026-56684": "9.1.1"}),
        ("Valkey", "9.1.2", True, {}),
        ("Redis", "unstable", True, {}),
    ],
)
def test_known_holes_are_told_with_the_version_that_mends_them(
    product: str, version: str, tls: bool, holes: dict[str, str]
):
    """By release line; a line that nothing was published about is not accused."""
    assert {hole.name: mended for hole, mended in holes_of(product, version, tls=tls)} == holes
