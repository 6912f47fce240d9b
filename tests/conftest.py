"""What all tests share: the flag that rewrites expected files, and Ctrl-C."""

import signal

import pytest

# Where the tests are started in the background of a script, SIGINT is ignored, by every process they start, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write the expected conversions anew")
