"""Writes the generated pages of the documentation, or checks that they are up to date.

    python docs/generate.py
    python docs/generate.py --check

`options.md`, `terms.md` and `api.md` come from the code: the options from the configs, the terms
and the public names from their docstrings. `floors.svg` and `iteration.svg` are drawn by
`docs/drawings.py`. Either command fails if a public name has no docstring,
or if a docstring opens as a question.
"""

import ast
import difflib
import functools
import importlib
import inspect
import itertools
import pkgutil
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import drawings

import ksim
from ksim.config import option_table, options_of
from ksim.functional import PPOConfig, RunnerConfig
from ksim.terms.parts.checks import Range
from ksim.terms.parts.feet import FeetNames
from ksim.terms.parts.joint_values import JointValues, Pose
from ksim.terms.parts.lookup import Names

DOCS = Path(__file__).resolve().parent
FOLDERS = ("ksim", "examples", "benchmarks", "deploy", "docs")
NOTE = "<!-- Written by docs/generate.py from the code. Do not edit; run `make docs`. -->"

# The families of terms and the hooks that return them, in the order in which a task has them.
FAMILIES = {
    "actuators": "get_actuators",
    "observations": "get_observations",
    "commands": "get_commands",
    "rewards": "get_rewards",
    "terminations": "get_terminations",
    "resets": "get_resets",
    "events": "get_events",
    "randomizers": "get_physics_randomizers",
    "curricula": "get_curriculum",
}

# What signatures are shortened by, longest first.
ALIASES: dict[str, Any] = {
    "FeetNames": FeetNames,
    "Pose": Pose,
    "JointValues": JointValues,
    "Names": Names,
    "Range": Range,
}

# Docstrings say what something does or is, not what it is about: "Returns whether ...".
QUESTIONS = frozenset(
    ["What", "How", "Whether", "Which", "Where", "When", "Who", "Whose", "Why", "Is", "Are"]
)

MAX_DIFF_LINES = 20


def main(arguments: Sequence[str]) -> int:
    """Writes the pages, or with `--check` compares them; returns the exit status."""
    if unknown := set(arguments) - {"--check"}:
        print(f"{' '.join(sorted(unknown))}: unknown. Write python docs/generate.py [--check]")
        return 2
    complaints = [f"{name} has no docstring." for name in undocumented_names()]
    complaints += [text for folder in FOLDERS for text in questions(DOCS.parent / folder)]
    for name, write in PAGES.items():
        path, text = DOCS / name, write()
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
        elif difference := stale_lines(path, text):
            complaints.append(f"{difference}\ndocs/{name} is stale. Write: make docs")
    print("\n".join(complaints), end="\n" if complaints else "")
    return 1 if complaints else 0


def stale_lines(path: Path, text: str) -> str:
    """Returns how the file at `path` differs from what it should be; empty if it does not."""
    found = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = list(
        difflib.unified_diff(
            found.splitlines(), text.splitlines(), f"{path.name} (found)", "expected", lineterm=""
        )
    )
    if len(lines) > MAX_DIFF_LINES:
        lines[MAX_DIFF_LINES:] = [f"... and {len(lines) - MAX_DIFF_LINES} more lines"]
    return "\n".join(lines)


def options_page() -> str:
    """Returns the options of a task that learns by PPO on several devices, by concern."""
    tables = option_table(ksim.DistributedPPOConfig).replace("### ", "## ")
    shared = set(options_of(ksim.DistributedPPOConfig))
    own = set(options_of(PPOConfig)) - shared
    learning = _rows_of(option_table(PPOConfig), own)
    running = _rows_of(option_table(RunnerConfig), set(options_of(RunnerConfig)))
    return f"""{NOTE}

# Options

These are the options of every task that derives from `DistributedPPOTask`. A task for one device
(`PPOTask`) has all but the last group. An option is written `name=value` on the command line or
`name: value` in a YAML file; `--help` shows the options of a task with its own defaults.

{tables}
## Options of `ksim.train_ppo`

[Training by a function](functional.md) has them in two objects.
`ksim.vibe_rl.algorithms.ppo.PPOConfig` has those of "PPO" and "Networks" above (but for
`num_passes`), and:

{learning}

`ksim.vibe_rl.runner.RunnerConfig` has:

{running}
"""


def _rows_of(tables: str, names: set[str]) -> str:
    """Returns one table of the options of these names."""
    rows = [row for row in tables.splitlines() if row.startswith("|")]
    named = [row for row in rows if row.split("`")[1:2] and row.split("`")[1] in names]
    return "\n".join([*rows[:2], *named])


def terms_page() -> str:
    """Returns every term by family, with how it is made."""
    parts = [
        NOTE,
        "# Terms",
        "A task is made of terms. Each hook of a task returns those of one family, as"
        " [Your own task](your-own-task.md) shows. They are names of `ksim`. In the signatures"
        " `model` is the `PhysicsModel` that a hook is given, and:",
        "\n".join(f"- `{name}`: {_alias_summary(name)}" for name in reversed(ALIASES)),
    ]
    for family, hook in FAMILIES.items():
        package = importlib.import_module(f"ksim.terms.{family}")
        parts += [f"## {family.capitalize()}", f"{_first_line(package)} Returned by `{hook}`."]
        # Contracts first: they are what a term of one's own derives from.
        classes = [getattr(ksim, name) for name in _names_of(family)]
        contracts = [term for term in classes if inspect.isabstract(term)]
        entries = sorted(classes, key=lambda term: term not in contracts)
        parts += [_term_entry(term, contracts) for term in entries]
    return "\n\n".join(parts) + "\n"


def _names_of(family: str) -> list[str]:
    """Returns the public names of a family of terms, sorted."""
    modules = public_names()
    return [name for name in ksim.__all__ if modules[name].startswith(f"ksim.terms.{family}.")]


def api_page() -> str:
    """Returns the public names of `ksim` by package."""
    by_package: dict[str, list[str]] = {}
    for name in ksim.__all__:
        by_package.setdefault(_package_of(name), []).append(name)
    parts = [
        NOTE,
        "# Public names",
        "All of these are names of the module `ksim`, as in `ksim.CartPole`. The terms themselves"
        " are on a [page of their own](terms.md).",
    ]
    terms = {name for family in FAMILIES for name in _names_of(family)}
    for package, names in sorted(by_package.items()):
        rows = [f"| `{name}` | {_summary(name)} |" for name in names if name not in terms]
        title = _first_line(importlib.import_module(package))
        parts += [f"## {package}", title, "\n".join(["| name | what it is |", "|---|---|", *rows])]
    return "\n\n".join(parts) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "options.md": options_page,
    "terms.md": terms_page,
    "api.md": api_page,
    "floors.svg": drawings.floors,
    "iteration.svg": drawings.iteration,
}


def undocumented_names() -> list[str]:
    """Returns the public packages, classes, functions and methods that have no docstring.

    A docstring that is inherited, or that `@dataclass` has made up, counts as none.
    """
    missing = []
    for package in public_packages():
        if not package.__doc__:
            missing.append(package.__name__)
        for name in getattr(package, "__all__", ()):
            full_name = f"{package.__name__}.{name}"
            value = getattr(package, name)
            if inspect.isclass(value):
                missing += [f"{full_name}{member}" for member in _undocumented_members(value)]
            elif inspect.isfunction(value) and not value.__doc__:
                missing.append(full_name)
    return missing


def questions(folder: Path) -> list[str]:
    """Returns a complaint about each docstring below `folder` that opens as a question."""
    complaints = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        if any(part.startswith(".") for part in parts):  # an environment, not ours
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Expr(ast.Constant(str(text))) if (
                    word := re.match(r"\s*(\w*)", text)[1]
                ) in QUESTIONS:
                    place = f"{path.relative_to(folder.parent)}:{node.lineno}"
                    complaints.append(
                        f'{place}: a docstring opens with "{word}". Open it with a verb'
                        ' ("Returns whether ..."), or with the noun that it describes.'
                    )
    return complaints


def public_packages() -> Iterator[ModuleType]:
    """Yields `ksim` and the packages in it."""
    yield ksim
    for found in pkgutil.walk_packages(ksim.__path__, "ksim."):
        if found.ispkg:
            yield importlib.import_module(found.name)


def _undocumented_members(cls: type) -> Iterator[str]:
    """Yields "" if the class itself has no docstring, and `.name` for each public method."""
    docstring = vars(cls).get("__doc__") or ""
    if not docstring or docstring.startswith(f"{cls.__name__}("):
        yield ""
    for name, member in vars(cls).items():
        function = getattr(member, "__func__", getattr(member, "func", member))
        is_method = inspect.isfunction(function) or isinstance(function, property)
        if is_method and not name.startswith("_") and not function.__doc__:
            yield f".{name}"


def _term_entry(term: type, contracts: Collection[type]) -> str:
    """Returns what a class of a family is, and how it is made or what to implement of it.

    Arguments are described by the class; those that it has from a contract, by the contract.
    """
    summary = _first_line(term)
    if inspect.isabstract(term):
        methods = sorted(_method_text(term, name) for name in _abstract_methods(term))
        summary += f" A contract: implement {' and '.join(methods)}."
        return "\n\n".join([f"### {term.__name__}", summary, *_arguments([term], term)])
    function, name, prose = term, term.__name__, []
    if hasattr(term, "create"):
        function, name = term.create, f"{name}.create"
        prose = [text for text in _paragraphs(function) if not text.startswith("Raises:")]
    described = [cls for cls in term.__mro__ if cls not in contracts or cls is term]
    parts = [f"### {term.__name__}", summary, *map(_text_block, _formulas(term))]
    parts += [_text_block(name + _short_signature(function)), " ".join(" ".join(prose).split())]
    return "\n\n".join(filter(None, [*parts, *_arguments(described, function)]))


def _text_block(text: str) -> str:
    return f"```text\n{text}\n```"


def _formulas(term: type) -> list[str]:
    """Returns the paragraphs of a class that open with a formula, such as `r = 1`."""
    return [text for text in _paragraphs(term) if re.match(r"\w+ = ", text)]


def _arguments(classes: Iterable[type], function: Callable[..., Any]) -> list[str]:
    """Returns the arguments that are attributes of the classes, with their descriptions."""
    taken = inspect.signature(function).parameters
    described: dict[str, str] = {}
    for paragraph in itertools.chain(*map(_paragraphs, classes)):
        if paragraph.startswith("Attributes:"):
            for name, text in re.findall(r"^  (\w+): (.*(?:\n    .*)*)", paragraph, re.MULTILINE):
                described.setdefault(name, " ".join(text.split()))
    rows = [f"- `{name}`: {text}" for name, text in described.items() if name in taken]
    return ["\n".join(rows)] if rows else []


def _paragraphs(documented: Any) -> list[str]:
    return inspect.cleandoc(documented.__doc__ or "").split("\n\n")


def _abstract_methods(cls: Any) -> frozenset[str]:
    return cls.__abstractmethods__


def _method_text(cls: type, name: str) -> str:
    member = getattr(cls, name)
    if isinstance(member, property):
        return f"the property `{name}`"
    arguments = list(inspect.signature(member).parameters)[1:]
    return f"`{name}({', '.join(arguments)})`"


def _short_signature(function: Callable[..., Any]) -> str:
    """Returns the arguments as a reader wants them: without the paths of types."""
    signature = inspect.signature(function).replace(return_annotation=inspect.Signature.empty)
    text = str(signature).replace("model: ksim.physics.model.PhysicsModel", "model")
    for name, alias in ALIASES.items():
        text = text.replace(inspect.formatannotation(alias), name)
    text = re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", text)
    return text.replace("3.141592653589793", "pi")


def _summary(name: str) -> str:
    value = getattr(ksim, name)
    if name in attribute_docstrings():
        return _alias_summary(name)
    if inspect.isclass(value) or inspect.isroutine(value):
        return _first_line(value).replace("|", r"\|")
    members = " or ".join(f"`{member.__name__}`" for member in value.__args__)
    return f"Either {members}."


def _alias_summary(name: str) -> str:
    return " ".join(attribute_docstrings()[name].split())


def _first_line(documented: Any) -> str:
    return inspect.cleandoc(documented.__doc__ or "").split("\n")[0]


def _package_of(name: str) -> str:
    """Returns the package below `ksim` that defines the name."""
    return ".".join(public_names()[name].split(".")[:2])


@functools.cache
def public_names() -> dict[str, str]:
    """Returns the modules of the public names, by name, as `ksim/__init__.pyi` lists them."""
    stub = ast.parse(Path(str(ksim.__file__)).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: f"ksim.{node.module}" for node in imports for alias in node.names}


@functools.cache
def attribute_docstrings() -> dict[str, str]:
    """Returns the texts that stand below assignments at the top of ksim's modules, by name."""
    docstrings = {}
    for path in sorted(Path(str(ksim.__file__)).parent.rglob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for statement, following in itertools.pairwise(body):
            match statement, following:
                case (
                    ast.Assign(targets=[ast.Name(name)]),
                    ast.Expr(ast.Constant(str(text))),
                ):
                    docstrings[name] = text
    return docstrings


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
