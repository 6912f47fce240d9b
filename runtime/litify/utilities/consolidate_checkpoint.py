"""`python -m litify.utilities.consolidate_checkpoint FOLDER`: a single-file checkpoint of a folder of shards."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from litify.errors import CheckpointError
from litify.plugins.sharded_checkpoint import consolidate


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 where the folder cannot be read or the file not be written."""
    parser = argparse.ArgumentParser(
        prog="python -m litify.utilities.consolidate_checkpoint",
        description="Make a single-file checkpoint of a folder that FSDPStrategy(state_dict_type='sharded') wrote.",
    )
    parser.add_argument("checkpoint_folder", type=Path, help="The folder, such as epoch=2-step=300.ckpt.")
    parser.add_argument(
        "--output-file",
        "--output_file",
        type=Path,
        help="Default: the folder's name with .consolidated appended.",
    )
    given = parser.parse_args(arguments)
    file = given.output_file or given.checkpoint_folder.with_name(
        given.checkpoint_folder.name + ".consolidated"
    )
    if file.exists():
        print(f"{file}: exists; give another --output-file, or delete it", file=sys.stderr)
        return 2
    try:
        consolidate(given.checkpoint_folder, file)
    except (CheckpointError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
