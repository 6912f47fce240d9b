"""`python -m litify` is the `litify` command."""

from litify.cli import main

main()
