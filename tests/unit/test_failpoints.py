"""Failpoints: armed for named places only, and nothing for everybody else."""

import os
import subprocess
import sys
import textwrap

import pytest

from config.failpoints import FailpointError, armed, failpoint
from config.settings import DEVELOPMENT, ConfigurationError, load_settings
from tests.failpoints import Listener

PROGRAM = textwrap.dedent(
    """
    from config.failpoints import FailpointError, failpoint
    failpoint("not.armed", [1])
    failpoint("call.sent", [7])
    try:
        failpoint("call.sent", [8])
    except FailpointError as error:
        print("raised", error)
    """
)


def test_nothing_happens_where_nothing_is_armed() -> None:
    """A process that was started without them neither asks nor waits."""
    assert not armed("call.sent")
    failpoint("call.sent", [1])


def test_an_armed_process_stands_still_until_the_test_answers() -> None:
    """The test hears of the armed points only, in order, and says how each goes on."""
    with Listener("call.sent") as listener:
        environ = {**os.environ, **listener.environment}
        process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=environ, stdout=subprocess.PIPE, text=True)
        first = listener.next()
        assert (first.point, first.pid, first.about) == ("call.sent", process.pid, [7])
        assert process.poll() is None
        first.go_on()
        listener.next().fail()
        assert process.communicate(timeout=10)[0] == "raised call.sent\n"
    with pytest.raises(FailpointError):
        raise FailpointError("call.sent")


def test_a_process_that_pays_real_portals_refuses_them() -> None:
    """They let another process break this one."""
    with pytest.raises(ConfigurationError, match="B24PAY_FAILPOINTS"):
        load_settings({"B24PAY_FAILPOINTS": "call.sent@/tmp/x"}, require=DEVELOPMENT)
