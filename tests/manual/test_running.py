"""Every block of the pages is run as its reader would: against the demonstration, in an empty folder for each page.

What is not run is in one list, with its reason. What is changed before it runs is in another: a page names example.com
and port 8080, a test has neither.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.canaries import SEARCH
from tests.manual.blocks import ONLY_PARSED, ROOT, Block, blocks, manual
from tests.manual.world import World, a_world

# A page may have forty blocks, each of them several commands that start an interpreter.
pytestmark = [pytest.mark.whole, pytest.mark.timeout(900)]

# Commands that go on until they are told to end.
ENDLESS = ("python -m worker", "python -m web", "b24pay watch", "b24pay emulator --listen")
# Ends that are right although they are no 0: a part of the command -> its exit codes.
ENDS = {
    "b24pay doctor": (0, 1, 3, 4),  # the server for development is no server for production
    "--as unpaid": (0, 75),  # 75: within the quiet time nobody may say so
    "b24pay doubts": (0, 3),  # 3: there are some
    "b24pay portal check": (0, 1, 3, 4),  # globex has no pay system of that number
    "--handler my_handler": (0, 1),  # refused where the invoice has an open payment already
    "b24pay health": (0, 1),
    "b24pay reconcile": (0, 3),  # 3: the ledger and the portal differ
}
# What a page calls 0b2f6a1e or PAYMENT: in which state the command beside it wants it.
STATES = {
    "b24pay retry": "failed",
    "b24pay cancel": "queued",
    "doubts resolve": "in_doubt",
    "doubts verify": "in_doubt",
}
NAMES = re.compile(r"\b(?:0b2f6a1e|7c31d9aa|PAYMENT)\b")
# What puts things right for the pages that follow.
AFTER = {"b24pay portal remove acme": "b24pay portal add acme --file acme.json"}
# Python that a page takes for granted.
GIVEN = {"Webhook(": "import base64, os; request_body, request_headers = signed()"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One demonstration for all pages."""
    with a_world(tmp_path_factory.mktemp("reader")) as world:
        yield world


@pytest.mark.parametrize(
    "page", [page for page in manual() if any(each.language in ("sh", "python") for each in blocks(page))]
)
def test_every_block_of_a_page_runs(world: World, page: str) -> None:
    """In the page's order; what one block sets, the next one has."""
    folder = world.directory / page.replace("/", "_")
    folder.mkdir()
    _files(folder, world)
    for block in blocks(page):
        if block.language == "sh":
            _shell(block, folder, world)
        elif block.language == "python":
            _python(block, folder, world)


def _files(folder: Path, world: World) -> None:
    """What the pages suppose to be there."""
    webhook = {"webhook": f"http://{world.environ['EMULATOR']}/rest/1/emulator-secret/"}
    application = {"client_id": "local.example", "client_secret": "secret", "address": "shop.example.com"}
    for name, document in (("acme", webhook), ("application", application), ("acme-app", application)):
        (folder / f"{name}.json").write_text(json.dumps(document))
        SEARCH.allow(folder / f"{name}.json")
    for name, portal in (("payments", ",portal"), ("invoices", "")):
        world.invoice += 2
        rows = [f"{world.invoice + n},31{',acme' if portal else ''}" for n in (0, 1)]
        (folder / f"{name}.csv").write_text("\n".join([f"invoice_id,pay_system_id{portal}", *rows, ""]))
    (folder / "demo.env").symlink_to(world.directory / "demo.env")
    for path in (".local/share/bash-completion/completions", ".zfunc", ".config/fish/completions"):
        (folder / path).mkdir(parents=True)


def _changed(text: str, world: World) -> str:
    """The block with addresses, secrets and payments that there are here."""
    environ = world.environ
    for before, after in {
        "https://acme.bitrix24.com/rest/1/CODE/": f"http://{environ['EMULATOR']}/rest/1/emulator-secret/",
        'domain="acme.bitrix24.com"': f'domain="{world.tls["address"]}"',
        'webhook_token="1/CODE"': 'webhook_token="1/emulator-secret"',
        "http://127.0.0.1:8080": environ["PAY_URL"],
        "redis://127.0.0.1:6379/0": environ["REDIS_URL"],
        "127.0.0.1:8800": "127.0.0.1:0",
        "parked drop 3 4": "parked drop 5 6",  # the page shows 3 further down
        # A new key would make the credentials of the stage unreadable.
        "export B24PAY_SECRET_KEYS=": "export A_NEW_KEY=",
        '"whsec_…"': '"whsec_" + base64.b64encode(b"k" * 32).decode()',
    }.items():
        text = text.replace(before, after)
    return re.sub(r"evt_\w+…?", lambda _: world.callback(), text)


def _line(line: str, world: World) -> str:
    """A line as it is run: left out, ended after a moment, or with the payment and the end that it wants."""
    if line.lstrip().startswith(tuple(ONLY_PARSED)):
        return ":"
    state = next((state for command, state in STATES.items() if command in line), "paid")
    line = NAMES.sub(lambda _: world.a_payment(state), line)
    if "token revoke 3f9a1c07d2e4" in line:
        token = world.run("token", "create", f"example-{world.invoice}", "--role", "viewer").split("_")[1]
        line = line.replace("3f9a1c07d2e4", token)
    if line.startswith(ENDLESS):
        return f"for_a_moment {line}"
    after = next((more for command, more in AFTER.items() if line == command), None)
    if after is not None:
        return f"{line}\n{after}"
    codes = next((codes for part, codes in ENDS.items() if part in line), None)
    return line if codes is None else f"{{ {line.partition('  #')[0]}\n}} || ends_with $? {' '.join(map(str, codes))}"


# Not in the command line, which shows to everybody on the machine what the pages are given here.
READ_ALL = 'eval "$(cat)"'
SHELL = """set -eu -o pipefail
for_a_moment() {
    "$@" >/dev/null & ours=$!
    sleep 3; kill -TERM $ours 2>/dev/null || true
    wait $ours || ends_with $? 130 143
}
ends_with() { code=$1; shift; for each in "$@"; do [ "$code" != "$each" ] || return 0; done; return "$code"; }
[ ! -f .state ] || . ./.state
set -a
"""


def _shell(block: Block, folder: Path, world: World) -> None:
    if "token create" in block.text:
        world.forget_tokens()
    text = re.sub(r"&& cd b24pay$", "", _changed(block.text, world), flags=re.MULTILINE)
    text = re.sub(r"\\\n\s*", " ", text)
    lines = [
        part for line in text.splitlines() for part in (line.split(" && ") if line.startswith("make ") else [line])
    ]
    script = "\n".join([SHELL, *(_line(line, world) for line in lines), "set +a", "export -p > .state"])
    environ = {**world.environ, "HOME": str(folder), **_own(folder, world)}
    done = subprocess.run(
        ["bash", "-c", READ_ALL],
        input=script,
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{block}\n{script}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"


def _own(folder: Path, world: World) -> dict[str, str]:
    """Addresses that processes started by a page listen on."""
    return {
        "B24PAY_WEB_LISTEN": "127.0.0.1:0",
        "B24PAY_WEB_URL": "http://127.0.0.1:8080",
        "WORKER_NODE_FILE": str(folder / "node"),
    }


SIGNED = '''
def signed():
    """A callback as it is sent, for who verifies it."""
    from datetime import datetime, timezone
    from standardwebhooks import Webhook
    now, body = datetime.now(tz=timezone.utc), '{"type": "payment.paid"}'
    made = Webhook("whsec_" + base64.b64encode(b"k" * 32).decode()).sign("evt_1", now, body)
    return body, {"webhook-id": "evt_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": made}
'''


def _python(block: Block, folder: Path, world: World) -> None:
    given = [
        f"import base64\n{SIGNED}" * ("Webhook(" in block.text),
        *(line for part, line in GIVEN.items() if part in block.text),
    ]
    environ = {**world.environ, "REQUESTS_CA_BUNDLE": world.tls["ca_file"]}
    if "B24PAY_CALLBACK_HOSTS" in (ROOT / block.page).read_text():
        environ["B24PAY_CALLBACK_HOSTS"] = "shop.example.com"
    done = subprocess.run(
        [sys.executable, "-"], input="\n".join([*given, _changed(block.text, world)]),
        cwd=folder, env=environ, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{block}\n{done.stdout[-500:]}\n{done.stderr[-1500:]}"
