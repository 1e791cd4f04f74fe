"""Bugs in what the command line tells of itself, and shows while payments are under way."""

from typing import Final

from tests.planted.bugs import Bug, a_bug

COMPLETION: Final = "tests/unit/cli/test_completion.py::"
SCREEN: Final = "tests/unit/cli/test_screen.py::"
TREE: Final = "tests/unit/cli/test_tree.py::"

OF_COMMANDS: Final[tuple[Bug, ...]] = (
    a_bug(
        "every verb is imported at each stroke of the tabulator",
        "cli/main.py",
        "return [*named, *click.Command.shell_complete(self, ctx, incomplete)]",
        "return super().shell_complete(ctx, incomplete)",
        COMPLETION + "test_verbs_options_and_values_are_completed_at_once",
    ),
    a_bug(
        "a held lane stands anywhere on the screen",
        "cli/screen.py",
        'return lane.held is None, not counts["in_doubt"], lane.owner is None,',
        "return lane.owner is None,",
        SCREEN + "test_a_crowd_of_lanes_fits_one_screen_and_the_totals_are_on_it",
    ),
    a_bug(
        "an option says nothing",
        "cli/corrections.py",
        ', help="With --state: of this portal."',
        "",
        TREE + "test_help_says_what_a_verb_does_and_shows_it",
    ),
)
