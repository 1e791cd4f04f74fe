"""What every ledger keeps; run over memory in the unit tier and over a real server in the integration tier."""

from tests.conformance.ledger.calling import Calling
from tests.conformance.ledger.counting import Counting
from tests.conformance.ledger.deciding import Deciding
from tests.conformance.ledger.delivering import Delivering
from tests.conformance.ledger.driving import Driving
from tests.conformance.ledger.dying import Dying
from tests.conformance.ledger.guarding import Guarding
from tests.conformance.ledger.holding import Holding
from tests.conformance.ledger.losing import Losing
from tests.conformance.ledger.opening import Opening
from tests.conformance.ledger.operating import Operating
from tests.conformance.ledger.remembering import Remembering
from tests.conformance.ledger.settling import Settling
from tests.conformance.ledger.tracing import Tracing
from tests.conformance.ledger.walking import Walking


class LedgerSuite(
    Opening,
    Driving,
    Settling,
    Operating,
    Holding,
    Delivering,
    Guarding,
    Dying,
    Deciding,
    Losing,
    Walking,
    Calling,
    Tracing,
    Remembering,
    Counting,
):
    """Subclass it and provide the fixture `world`."""
