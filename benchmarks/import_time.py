"""What `from PACKAGE import Trainer` costs over `import torch`, each in a process of its own.

    python benchmarks/import_time.py [--rounds 7]

Prints the median seconds. Packages that are not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys

STATEMENTS = {
    "litify": "from litify import Trainer",
    "lightning": "from lightning.pytorch import Trainer",
    "accelerate": "from accelerate import Accelerator",
    "ignite": "from ignite.engine import Engine",
}
PROGRAM = "import time, torch; begun = time.perf_counter(); {}; print(time.perf_counter() - begun)"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    found = [name for name in STATEMENTS if importlib.util.find_spec(name)]
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name in found:
            command = [sys.executable, "-W", "ignore", "-c", PROGRAM.format(STATEMENTS[name])]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds[name].append(float(done.stdout.split()[-1]))
    print(f"{'':<12}{'seconds over import torch':>26}   (median of {rounds} rounds)")
    for name, values in seconds.items():
        print(f"{name:<12}{statistics.median(values):>26.3f}")


if __name__ == "__main__":
    main()
