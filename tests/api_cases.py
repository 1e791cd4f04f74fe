"""Thousands of generated requests against a running web process: `python -m tests.api_cases --cases 10000`.

schemathesis makes them from `/openapi.json`: examples, boundaries, random and wrong data, sequences along the links.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from access.roles import Role
from config.connections import async_redis_client
from tests.bearers import a_token
from tests.house import ROOT, House, a_house, wait_for
from tests.integration.web.conftest import Street

# Every check, but this one where nobody needs a token.
ABOUT_TOKENS = "ignored_auth"
# An operator's token may ask 50 times a second; what is refused for its pace would be a finding.
PACE = "40/s"


@dataclass(frozen=True, slots=True)
class Report:
    """How a run ended."""

    cases: int
    failures: list[str]
    text: str


def run_cases(
    address: str,
    portals: Sequence[str],
    *,
    each: int,
    directory: Path,
    within_s: int | None = None,
    seed: int = 1,
    workers: int = 1,
    token: str | None = None,
) -> Report:
    """Run `each` cases of every operation in each phase."""
    result = directory / f"api-cases-{time.monotonic_ns()}.json"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json", "--url", address),
        *("--checks", "all", "--continue-on-failure", "--no-color"),
        *("--max-examples", str(each), "--seed", str(seed), "--workers", str(workers)),
        *("--generation-database", "none", "--suppress-health-check", "all", "--request-timeout", "30"),
        *("--report-json-path", str(result)),
        # A door of its own guards against whoever knocks often; it is no part of the API for programs.
        *("--exclude-path", "/v1/install/{key}/{door}"),
        *(["--max-time", str(within_s)] if within_s else []),
    ]
    environ = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.api_hooks", "B24_API_PORTALS": ",".join(portals)}
    if token is None:  # an open process on loopback: nobody is asked for one
        command += ["--exclude-checks", ABOUT_TOKENS, "--generation-with-security-parameters", "false"]
    else:
        command += ["--header", f"Authorization: Bearer {token}", "--rate-limit", PACE]
    done = subprocess.run(
        command, cwd=directory, env={**environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    if not result.exists():
        return Report(0, ["no report"], done.stdout + done.stderr)
    told = json.loads(result.read_text())
    failures = [f"{group['title']}: {group['operations']}" for group in told["failures"]]
    failures += [error["title"] for error in told["errors"]]
    return Report(told["test_cases"]["generated"], failures, done.stdout + done.stderr)


def an_operator(house: House) -> str:
    """A token."""

    async def made() -> str:
        async with async_redis_client(house.server.url, max_connections=1, decode_responses=False) as redis:
            return (await a_token(redis, "cases", Role.OPERATOR)).text

    text: str = wait_for(made())
    return text


def main() -> int:
    """Run at least so many cases on a house of their own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--each", type=int, default=300, help="cases of an operation in a phase, in each round")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--token", action="store_true", help="ask with an operator's token, and as nobody")
    given = parser.parse_args()
    total, failures, began = 0, list[str](), time.monotonic()
    with a_house() as house:
        street = Street(house, [])
        try:
            web = street.start("web")
            portals = [house.add_portal().key for _ in range(3)]
            house.start_worker()
            token = an_operator(house) if given.token else None
            for seed in range(given.seed, given.seed + 100):
                report = run_cases(
                    web.address, portals, each=given.each, directory=house.directory, seed=seed, token=token
                )
                total, failures = total + report.cases, failures + report.failures
                print(
                    f"seed {seed}: {report.cases:,} cases, {len(report.failures)} findings, {total:,} in all",
                    flush=True,
                )
                if report.failures:
                    print(report.text)
                if total >= given.cases or not report.cases:
                    break
            crashed = [each for each in web.events() if each["event"] == "web.crashed"]
        finally:
            street.close()
    print(f"{total:,} cases, {len(failures)} findings, {len(crashed)} crashes, {time.monotonic() - began:.0f} s")
    return 1 if failures or crashed or total < given.cases else 0


if __name__ == "__main__":
    sys.exit(main())
