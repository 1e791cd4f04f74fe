"""Bugs of the files that deploy the service (see `bugs.py`)."""

from typing import Final

from tests.planted.bugs import a_bug

OF_THE_DEPLOYMENT: Final = (
    a_bug(
        "a server in a container answers nobody but itself",
        "docker-compose.yml",
        'noeviction, --protected-mode, "no"]',
        'noeviction, --protected-mode, "yes"]',
        "tests/deploy/test_container_files.py::test_the_ledger_answers_its_network",
    ),
    a_bug(
        "a unit starts something else than the Procfile",
        "deploy/systemd/b24pay-worker@.service",
        "-m worker --hostname",
        "-m celery -A worker worker --hostname",
        "tests/deploy/test_systemd.py::test_a_service_is_one_line_of_the_procfile",
    ),
    a_bug(
        "the emulator opens a door to the network unasked",
        "emulator/listening.py",
        "if not (exposed or address.is_loopback):",
        "if False:",
        "tests/emulator/test_process.py::test_addresses_beyond_loopback_are_refused",
        "tests/emulator/test_process.py::test_it_listens_elsewhere_for_those_who_say_so",
    ),
)
