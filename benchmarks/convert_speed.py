"""How fast convert is: lines per second, beside parsing, printing and formatting the same text, and as files grow.

    python benchmarks/convert_speed.py [FILE ...] [--repeat N] [--growth N]

FILES are training scripts; by default those in fixtures/. All is timed in one process, after a first run of everything,
so interpreter start and imports are not counted; the processor time of this process counts, not the wall clock. The
floor for each script is what any such tool must do: libcst parses and prints it, black formats it. A script that is
refused counts too, with the time that took.

The second table has one script (the first FILE) with ever more functions and classes around its training, up to N lines
(20,000), and says how time grows with length: 1.0 is linear.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import black
import libcst

from litify_converter.convert import convert
from litify_converter.refusals import Refusal

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
SIZES = (500, 1_000, 2_000, 5_000, 10_000, 20_000)
# what grows: code of the kinds that stand around the training in a long script
PADDING = '''

class Block{n}(nn.Module):
    """A block of two layers."""

    def __init__(self, channels=16):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)  # keeps the size
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        y = torch.relu(self.first(x))
        if y.shape != x.shape:
            raise ValueError("shapes differ")
        return x + self.second(y)


def report_{n}(values, path="report_{n}.txt"):
    total = 0.0
    for index, value in enumerate(values):
        total += value * index
    with open(path, "w") as file:
        file.write(f"{{total:.3f}}\\n")
    return total
'''


def seconds(work: Callable[[], object], repeat: int) -> float:
    """Median processor time of one call."""
    taken = []
    for _ in range(repeat):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def convert_or_refuse(path: Path) -> bool:
    """True when it was converted."""
    try:
        convert(path)
    except Refusal:
        return False
    return True


def parse_print_format(text: str) -> None:
    printed = libcst.parse_module(text).code
    black.format_str(printed, mode=black.Mode())


def lengthened(text: str, lines: int) -> str:
    """The script with blocks of padding before its first definition, about `lines` long."""
    at = min(index for index in (text.find("\nclass "), text.find("\ndef ")) if index >= 0)
    count = max(0, lines - text.count("\n")) // PADDING.count("\n")
    return text[:at] + "".join(PADDING.format(n=n) for n in range(count)) + text[at:]


def measure_files(files: list[Path], repeat: int) -> None:
    print(f"{'':<28}{'lines':>7}{'convert':>11}{'floor':>11}{'ratio':>8}{'lines/s':>9}")
    total_lines, total, total_floor = 0, 0.0, 0.0
    for path in files:
        text = path.read_text()
        converted = convert_or_refuse(path)  # the first run fills caches
        parse_print_format(text)
        lines = text.count("\n")
        taken = seconds(lambda path=path: convert_or_refuse(path), repeat)  # type: ignore[misc]
        floor = seconds(lambda text=text: parse_print_format(text), repeat)  # type: ignore[misc]
        name = f"{path.parent.name}/{path.name}" + ("" if converted else " (refused)")
        print_row(name, lines, taken, floor)
        total_lines, total, total_floor = total_lines + lines, total + taken, total_floor + floor
    print_row("all", total_lines, total, total_floor)


def print_row(name: str, lines: int, taken: float, floor: float) -> None:
    print(
        f"{name:<28}{lines:>7}{taken * 1e3:>8.0f} ms{floor * 1e3:>8.0f} ms{taken / floor:>8.2f}{lines / taken:>9.0f}",
        flush=True,
    )


def measure_growth(path: Path, longest: int, repeat: int) -> None:
    text = path.read_text()
    points = []
    with tempfile.TemporaryDirectory() as folder:
        for size in [size for size in SIZES if size <= longest]:
            script = Path(folder, "train.py")
            script.write_text(lengthened(text, size))
            if not convert_or_refuse(script):
                raise SystemExit(f"{path} of {size} lines is refused: nothing to measure")
            lines = script.read_text().count("\n")
            taken = seconds(lambda script=script: convert_or_refuse(script), repeat)  # type: ignore[misc]
            floor = seconds(lambda script=script: parse_print_format(script.read_text()), repeat)  # type: ignore[misc]
            print_row(f"{path.parent.name}, lengthened", lines, taken, floor)
            points.append((math.log(lines), math.log(taken)))
    if len(points) > 1:
        slope = statistics.linear_regression(*zip(*points, strict=True)).slope
        print(f"time grows with the length to the power of {slope:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--growth", type=int, default=SIZES[-1], help="longest script (0: none)")
    options = parser.parse_args()
    files = options.files or sorted(FIXTURES.glob("*/train.py"))
    measure_files(files, options.repeat)
    if options.growth:
        measure_growth(files[0], options.growth, max(1, options.repeat // 2))


if __name__ == "__main__":
    main()
