"""Errors by Lightning's names; `litify.errors` draws the whole tree."""

from litify.errors import MisconfigurationException, SIGTERMException

__all__ = ["MisconfigurationException", "SIGTERMException"]
