"""A courier's process is killed: between sending and writing down, and at any moment."""

import asyncio

from tests.callback_storm import kill, start_courier, storm
from tests.eventually import eventually
from tests.failpoints import Listener
from tests.integration.callbacks.post_office import a_post_office
from tests.integration.callbacks.receiver import receiving


async def test_a_kill_between_sending_and_writing_down_repeats_the_same_id(redis_url: str):
    """The receiver has it and nobody knows: the next process tells it again, and the receiver can see that."""
    with receiving("127.0.0.1") as receiver, Listener("callback.sent") as listener:
        async with a_post_office(redis_url) as office:
            await office.end(receiver)
            first = await asyncio.to_thread(start_courier, redis_url, **listener.environment)
            await asyncio.to_thread(listener.next)
            assert len(receiver.letters) == 1
            kill(first)
            assert not await office.all_told()
            second = await asyncio.to_thread(start_courier, redis_url)
            try:
                await eventually(office.all_told)
            finally:
                kill(second)
        assert receiver.ids == [receiver.ids[0]] * 2
        assert receiver.letters[0].body == receiver.letters[1].body


async def test_nothing_is_lost_over_kills(redis_url: str):
    """`python -m tests.callback_storm` kills more often."""
    came = await storm(redis_url, kills=2, payments=30)
    assert came.told == came.ended == 60
    assert came.unasked == 0
