"""Whole workers are killed again and again while they pay and tell of it: nothing is lost, a repetition has its id."""

import random
import time
from collections import defaultdict, deque
from collections.abc import Iterator

import pytest

from bitrix24.secret import Secret
from callbacks.signing import SigningSecrets
from config.connections import async_redis_client
from ledger.payment import Destination, Handle, NewPayment, PortalKey
from tasks.payment import new_ids
from tests.canaries import SECRET_KEY, SIGNING_SECRET
from tests.eventually import eventually_sync
from tests.house import EmulatedPortal, House, a_house, open_ledger, wait_for
from tests.integration.callbacks.receiver import Receiver, receiving

pytestmark = [pytest.mark.whole, pytest.mark.timeout(900)]

KILLS, EACH = 30, 30
HOST = "127.0.0.7"


@pytest.fixture
def house() -> Iterator[House]:
    """Server and emulator, whose workers may tell one host."""
    with a_house(B24PAY_CALLBACK_HOSTS=HOST) as house:
        wait_for(_make_secret(house.server.url))
        yield house


async def _make_secret(url: str) -> None:
    async with async_redis_client(url, max_connections=2, decode_responses=False) as client:
        await SigningSecrets(client, [SECRET_KEY]).put(HOST, Secret(SIGNING_SECRET))


def hand_in(house: House, portal: EmulatedPortal, receiver: Receiver, first: int) -> list[str]:
    """Payments whose ends the receiver is to be told."""
    names = new_ids(EACH)

    async def opened() -> None:
        async with open_ledger(house.server.url) as (ledger, _):
            to = Destination(receiver.host, receiver.url)
            asked = [
                NewPayment(
                    id=Handle(name),
                    portal=PortalKey(portal.key),
                    invoice_id=first + n,
                    pay_system_id=1,
                    bx_rest_handler=None,
                    idempotency_key=None,
                    callback=to,
                )
                for n, name in enumerate(names)
            ]
            await ledger.open(asked)

    wait_for(opened())
    return names


def pending(house: House) -> int:
    """Callbacks that are not delivered."""

    async def counted() -> int:
        async with open_ledger(house.server.url) as (ledger, _):
            return (await ledger.callbacks.counts()).pending

    number: int = wait_for(counted())
    return number


def test_thirty_killed_workers_lose_no_callback(house: House):
    """Killed as soon as a few more letters came: in the middle of paying, of telling, and of writing that down.

    There are always two, one of them just beginning, so that what the killed one held is gone on with.
    """
    luck, portal, names = random.Random(6), house.add_portal(), list[str]()
    told: dict[str, set[str]] = defaultdict(set)
    heard = 0
    with receiving(HOST) as receiver:
        workers = deque([house.start_worker()])
        for kill in range(KILLS):
            workers.append(house.begin_worker(f"next-{kill}"))
            names += hand_in(house, portal, receiver, first=1 + kill * EACH)
            eventually_sync(workers[-1].is_consuming, within_s=60)
            names += hand_in(house, portal, receiver, first=1 + (KILLS + kill) * EACH)
            _until(receiver, len(receiver.letters) + luck.randint(1, EACH))
            workers.popleft().kill()
            heard = read_on(receiver, heard, told)
        house.workers.append(workers.pop())
        eventually_sync(lambda: portal.counts()["paid"] == len(names), within_s=60)
        eventually_sync(lambda: pending(house) == 0, within_s=60)
        heard = read_on(receiver, heard, told)
    assert told.keys() == set(names)
    assert {len(ids) for ids in told.values()} == {1}
    assert portal.tally.doubles == 0
    assert _delivered(house) == len(names)
    assert heard > len(names), "no kill came between sending and writing down: this has shown less than it says"


def read_on(receiver: Receiver, heard: int, told: dict[str, set[str]]) -> int:
    """Verify what is new, as a receiver does when it comes; the ids of each handle, and how many letters there were."""
    letters = receiver.letters[heard:]
    for letter in letters:
        read = letter.read()  # by the reference library, which refuses what is five minutes old
        assert read["type"] == "payment.paid"
        told[read["data"]["handle"]].add(letter.id)
    return heard + len(letters)


def _until(receiver: Receiver, letters: int) -> None:
    """Wait for so many letters; a worker that waits for leases of others is killed all the same."""
    end = time.monotonic() + 6
    while len(receiver.letters) < letters and time.monotonic() < end:
        time.sleep(0.002)


def _delivered(house: House) -> int:
    async def counted() -> int:
        async with open_ledger(house.server.url) as (ledger, _):
            return (await ledger.callbacks.counts()).delivered

    number: int = wait_for(counted())
    return number
