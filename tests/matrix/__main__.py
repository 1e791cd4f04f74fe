"""`python -m tests.matrix`: play both matrices in full and write down what was seen."""

import sys
from concurrent.futures import ThreadPoolExecutor

from chaos.toxics import Ending
from tests.matrix.byte_page import BYTE_PAGE, byte_page
from tests.matrix.crash_page import PAGE, crash_page
from tests.matrix.groups import groups
from tests.matrix.round import play
from tests.matrix.tears import EndingOf, tear

AT_ONCE = 2  # groups; more would starve each other on two cores


def main() -> int:
    """1 if anything was wrong."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        outcomes = [outcome for played in threads.map(play, groups().values()) for outcome in played]
    PAGE.write_text(crash_page(outcomes))
    wrong = [f"{outcome.case}: {'; '.join(outcome.wrong)}" for outcome in outcomes if outcome.wrong]
    tearings = [tear(EndingOf(ending)) for ending in (Ending.RESET, Ending.CLOSE)]
    BYTE_PAGE.write_text(byte_page(tearings))
    torn = [each for tearing in tearings for each in tearing.torn]
    wrong += [f"{each.tear}: {'; '.join(each.wrong)}" for each in torn if each.wrong]
    print("\n".join([*wrong, f"{len(outcomes)} crashes and {len(torn)} torn calls, {len(wrong)} wrong"]))
    return min(len(wrong), 1)


if __name__ == "__main__":
    sys.exit(main())
