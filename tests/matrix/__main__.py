"""`python -m tests.matrix`: play both matrices in full and write down what was seen."""

import sys
from concurrent.futures import ThreadPoolExecutor

from tests.matrix.crash_page import PAGE, crash_page
from tests.matrix.groups import groups
from tests.matrix.round import Outcome, play

AT_ONCE = 2  # groups; more would starve each other on two cores


def main() -> int:
    """The number of wrong cases, at most 1."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        outcomes = [outcome for played in threads.map(play, groups().values()) for outcome in played]
    PAGE.write_text(crash_page(outcomes))
    return tell(outcomes)


def tell(outcomes: list[Outcome]) -> int:
    """Print what was wrong."""
    wrong = [outcome for outcome in outcomes if outcome.wrong]
    for outcome in wrong:
        print(f"{outcome.case}: {'; '.join(outcome.wrong)}")
    print(f"crash matrix: {len(outcomes)} cases, {len(wrong)} wrong")
    return min(len(wrong), 1)


if __name__ == "__main__":
    sys.exit(main())
