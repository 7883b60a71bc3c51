"""Give a project many generations, by the room's own function: `generations.py PROJECT COUNT`."""

from __future__ import annotations

import sys
from pathlib import Path

from cape.environment.generations import current_generation, new_generation
from cape.environment.realisation import read_environment


def main() -> int:
    project, count = Path(sys.argv[1]), int(sys.argv[2])
    current = current_generation(project)
    if current is None:
        raise SystemExit("the project has no generation to start from")
    environment = read_environment(current.environment)
    if environment is None:
        raise SystemExit("the project's environment is gone")
    for number in range(count):
        manifest = f"{current.manifest_text}# {number}\n"
        new_generation(
            project, environment, lock_text=current.lock_text, manifest_text=manifest, argv=("bench",)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
