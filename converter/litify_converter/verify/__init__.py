"""Proof that two training scripts take the same optimizer steps.

`verify(raw, lit)` runs both and returns a `Verdict`. The parent side (this package's `pair`, `scratch`, `run`,
`compare`, `verdict`) needs no torch; the child side (`record`, `keyed`, `guard`) runs inside the user's script.
"""

from litify_converter.verify.pair import verify
from litify_converter.verify.verdict import CannotVerify, Difference, RunSummary, Verdict

__all__ = ["CannotVerify", "Difference", "RunSummary", "Verdict", "verify"]
