"""What every limiter keeps; run over memory in the unit tier and over a real server in the integration tier."""

from tests.conformance.limiter.accounts import AccountSuite
from tests.conformance.limiter.buckets import BucketSuite
from tests.conformance.limiter.permits import PermitSuite
from tests.conformance.limiter.speeds import SpeedSuite


class LimiterSuite(BucketSuite, AccountSuite, SpeedSuite, PermitSuite):
    """Subclass it and provide the fixture `world`."""
