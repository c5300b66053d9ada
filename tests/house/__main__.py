"""Checks the rules of the house that no other tool knows; `make lint` runs it.

    python -m tests.house

Prints one line for each place that breaks a rule; the exit status is 1 then.
"""

import sys
from pathlib import Path

from tests.house import guesses, private_fields, sizes, undefined_names

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("ksim", "examples", "benchmarks", "deploy", "docs", "tests")
RULES = (
    guesses.complaints,
    private_fields.complaints,
    sizes.complaints,
    undefined_names.complaints,
)


def main() -> int:
    files = read_files(ROOT)
    found = [complaint for rule in RULES for complaint in rule(files)]
    print("\n".join(found) or f"{len(files)} files keep the rules of the house.")
    return 1 if found else 0


def read_files(root: Path) -> dict[str, str]:
    """Returns the text of every Python file by its path; those in hidden folders are not ours."""
    paths = [path for folder in FOLDERS for path in sorted((root / folder).rglob("*.py"))]
    named = {path.relative_to(root).as_posix(): path for path in paths}
    return {
        name: path.read_text(encoding="utf-8") for name, path in named.items() if "/." not in name
    }


if __name__ == "__main__":
    sys.exit(main())
