"""The documentation says what is so: its code runs, its commands, links and names exist."""

import contextlib
import dataclasses
import importlib
import importlib.util
import inspect
import io
import json
import logging
import pkgutil
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path

import pytest

import ksim
from ksim.config import Config, options_of, parse_command_line
from ksim.config.value import value_text
from ksim.vibe_rl.checkpoint import load_checkpoint, save_checkpoint

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
# What code blocks are written in. `python no-run` is shown and not run; `text output` is what the
# block of Python before it prints, `text output-end` the end of that.
LANGUAGES = {"python", "bash", "console", "text", "yaml", "xml", "make"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@dataclasses.dataclass
class Block:
    """One fenced block of a page."""

    language: str
    tag: str
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    fences = re.finditer(r"^```(\w*) ?([\w-]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(*fence.groups(), line=text[: fence.start()].count("\n") + 1) for fence in fences]


def prose_of(page: Path) -> str:
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def commands_of(text: str) -> list[list[str]]:
    """The commands of a shell block, without comments and leading VARIABLE=value."""
    lines = [shlex.split(line, comments=True) for line in text.replace("\\\n", " ").splitlines()]
    commands = []
    for words in lines:
        while words and re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        if words:
            commands.append(words)
    return commands


@pytest.fixture
def namespace(page, monkeypatch):
    """An empty module in which the code of a page runs."""
    monkeypatch.syspath_prepend(str(ROOT))
    module = types.ModuleType(f"page_{page.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    logger = logging.getLogger("ksim")
    level = logger.level
    yield vars(module)
    logger.setLevel(level)


@each_page
def test_page_runs_from_top_to_bottom(page, namespace, capsys):
    printed = None
    for block in blocks_of(page):
        place = f"{page.name}, line {block.line}"
        assert block.language in LANGUAGES, f"{place}: a block of {block.language!r}"
        if (block.language, block.tag) == ("python", ""):
            # Blank lines in front, so that tracebacks name the line of the page.
            source = "\n" * block.line + block.text
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(compile(source, str(page), "exec", dont_inherit=True), namespace)
            printed = output.getvalue().rstrip()
        elif block.tag == "output":
            assert printed == block.text.rstrip(), place
        elif block.tag == "output-end":
            assert printed is not None and printed.endswith(block.text.rstrip()), place
        elif block.language == "bash":
            for words in commands_of(block.text):
                check_command(words, namespace)
        elif block.language == "console":
            check_console(block.text, namespace, capsys)
        else:
            assert block.tag in ("", "no-run"), f"{place}: unknown tag {block.tag!r}"
    for text in re.findall(r"`(make train [^`]*)`", prose_of(page)):
        check_command(shlex.split(text), namespace)
    check_metrics_are_documented()


def check_command(words: list[str], namespace: dict) -> None:
    """A command that starts a task names options that exist, with values that they can have."""
    started = started_task(words, namespace)
    if started is not None:
        _, config, arguments = started
        parse_command_line(config, arguments)


def check_console(text: str, namespace: dict, capsys) -> None:
    """Commands after `$`; where an error follows, it is the one that the command ends with."""
    for entry in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = entry.partition("\n")
        words = commands_of(command)[0]
        if not output.startswith("error: "):
            check_command(words, namespace)
            continue
        task_class, config, arguments = started_task(words, namespace)
        with pytest.raises(SystemExit) as exit_info:
            task_class.launch(config, arguments)
        assert exit_info.value.code == 2
        assert capsys.readouterr().err == output, command


def started_task(words: list[str], namespace: dict) -> tuple[type, Config, list[str]] | None:
    """The task, its config and the options of a command, or None if it starts no task.

    `python pole.py` starts the PoleTask that the page itself defines.
    """
    if words[:2] == ["make", "train"]:
        (words,) = (line for line in dry_run(words) if "examples.walking_distributed" in line)
        words[0] = "python"
    match words:
        case ["python", "-m", module_name, *arguments] if module_name.startswith("examples."):
            names = vars(importlib.import_module(module_name))
            own = [value for value in names.values() if inspect.isclass(value)]
            own = [value for value in own if value.__module__ == module_name]
            # The last one is what the file launches.
            *_, task_class = (value for value in own if issubclass(value, ksim.RLTask))
            (config_class,) = (value for value in own if issubclass(value, Config))
        case ["python", script, *arguments] if (stem := Path(script).stem.capitalize()) and (
            f"{stem}Task" in namespace
        ):
            task_class, config_class = namespace[f"{stem}Task"], namespace[f"{stem}Config"]
        case ["python", script, *_] if script.endswith(".py"):
            assert (ROOT / script).is_file(), script
            return None
        case _:
            return None
    kept = [word for word in arguments if not word.endswith(".yaml") and word != "--help"]
    return task_class, config_class(), kept


def dry_run(words: list[str]) -> list[list[str]]:
    """The commands that make would run."""
    run = subprocess.run(
        [words[0], "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return commands_of(run.stdout)


def check_metrics_are_documented() -> None:
    """Every metric of a run below the working directory stands in the table of runs.md."""
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs/runs.md").read_text(), re.MULTILINE)
    known = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    patterns = [re.sub("<[a-z]+>", "[a-z0-9_]+", name) for name in known]
    for path in Path("runs").glob("*/*/metrics.jsonl"):
        for line in path.read_text().splitlines():
            for name in json.loads(line):
                assert any(re.fullmatch(pattern, name) for pattern in patterns), name


@each_page
def test_links_lead_somewhere(page):
    for target, _, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#([^)]*))?\)", prose_of(page)):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name}: {target} does not exist"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", prose_of(path), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings]
            assert anchor in slugs, f"{page.name}: {target}#{anchor} is none of {slugs}"


@each_page
def test_make_targets_exist(page):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"(?:`|^\$? ?|&& )make ([a-z-]+)", text, re.MULTILINE):
        assert target in targets, f"{page.name}: make {target}"


@each_page
def test_names_in_backticks_exist(page, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    classes = all_classes()
    for name in re.findall(r"`([\w./]+)", prose_of(page)):
        if re.match(r"(ksim|examples|tests|benchmarks)/\w", name):
            assert (ROOT / name).exists(), f"{page.name}: {name}"
        elif re.fullmatch(r"ksim(\.\w+)+", name):
            assert exists(name), f"{page.name}: {name}"
        elif (match := re.fullmatch(r"([A-Z]\w+)\.(\w+)", name)) and match[1] in classes:
            found = [cls for cls in classes[match[1]] if has_member(cls, match[2])]
            assert found, f"{page.name}: {name}"


@each_page
def test_options_in_backticks_exist(page):
    arguments = inspect.signature(load_checkpoint).parameters.keys()
    arguments |= inspect.signature(save_checkpoint).parameters.keys()
    for text in re.findall(r"`([^`(\n]*)`", prose_of(page)):
        for name in re.findall(r"(?:^| )([a-z]\w*)=(?!value)", text):
            is_known = name in options_of(ksim.DistributedPPOConfig) or name in arguments
            assert is_known, f"{page.name}: `{text}`"


def exists(dotted_name: str) -> bool:
    with contextlib.suppress(ImportError):
        importlib.import_module(dotted_name)
        return True
    parent, _, name = dotted_name.rpartition(".")
    return exists(parent) and hasattr(importlib.import_module(parent), name)


def all_classes() -> dict[str, set[type]]:
    """The classes of ksim by name; some names are those of two."""
    classes: dict[str, set[type]] = {}
    for found in walk_ksim():
        for value in vars(importlib.import_module(found.name)).values():
            if inspect.isclass(value) and value.__module__.startswith("ksim."):
                classes.setdefault(value.__name__, set()).add(value)
    return classes


def walk_ksim():
    return pkgutil.walk_packages(ksim.__path__, "ksim.")


def has_member(cls: type, name: str) -> bool:
    fields = getattr(cls, "__dataclass_fields__", {})
    source = inspect.getsource(cls)
    return hasattr(cls, name) or name in fields or f"self.{name} =" in source


def load_generate():
    if str(ROOT / "docs") not in sys.path:
        sys.path.append(str(ROOT / "docs"))
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_options_of_a_distributed_task_are_in_their_table():
    page = (ROOT / "docs" / "distributed-training.md").read_text(encoding="utf-8")
    table = page.split("`DistributedRLConfig` adds these options")[1].split("\n\n")[1]
    found = {}
    for row in table.splitlines()[2:]:
        names, default = row.split("|")[1:3]
        found |= dict.fromkeys(re.findall(r"`(\w+)`", names), default.strip(" `"))
    options = options_of(ksim.DistributedRLConfig)
    added = options.keys() - options_of(ksim.RLConfig).keys()
    assert found == {name: value_text(options[name].default) for name in added}


def test_generated_pages_are_up_to_date(capsys):
    status = load_generate().main(["--check"])
    assert status == 0, capsys.readouterr().out


def test_check_shows_what_is_stale(tmp_path, monkeypatch, capsys):
    generate = load_generate()
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    monkeypatch.setattr(generate, "PAGES", {"options.md": lambda: "gamma\nlam\n"})
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    (tmp_path / "options.md").write_text("gamma\nlambda\n")
    assert generate.main(["--check"]) == 1
    assert "-lambda\n+lam\n" in capsys.readouterr().out


def test_generate_names_what_has_no_docstring(monkeypatch):
    generate = load_generate()
    module = types.ModuleType("ksim.imaginary", "A package.")

    class Documented:
        """A class."""

        def spoken(self):
            """A method."""

        def silent(self): ...

        def _private(self): ...

    @dataclasses.dataclass
    class Bare(Documented):
        size: int = 0

    def function(): ...

    vars(module).update(Documented=Documented, Bare=Bare, function=function)
    module.__all__ = ["Documented", "Bare", "function"]
    monkeypatch.setattr(generate, "public_packages", lambda: iter([module]))
    assert generate.undocumented_names() == [
        "ksim.imaginary.Documented.silent",
        "ksim.imaginary.Bare",
        "ksim.imaginary.function",
    ]


def test_generate_names_docstrings_that_open_as_questions(tmp_path):
    generate = load_generate()
    package = tmp_path / "imaginary"
    package.mkdir()
    (package / "latest.py").write_text(
        '''"""Whether it is so."""

limit = 1
"""
Which: those that it may not pass."""

class Walker:
    """A class. What it does is said here, not first."""

    def is_done(self):
        """Is, at the end."""
        "".join([])
        "Island"
'''
    )
    (package / ".venv").mkdir()
    (package / ".venv" / "other.py").write_text('"""How others write."""')
    complaints = generate.questions(package)
    assert [complaint.split(". ")[0] for complaint in complaints] == [
        'imaginary/latest.py:1: a docstring opens with "Whether"',
        'imaginary/latest.py:4: a docstring opens with "Which"',
        'imaginary/latest.py:11: a docstring opens with "Is"',
    ]


def test_terms_are_shown_with_formula_signature_and_arguments():
    page = load_generate().terms_page()
    entry = page.split("### LinearVelocityTrackingReward\n\n")[1].split("\n\n### ")[0]
    summary, formula, signature, making, arguments = entry.split("\n\n")
    assert summary == "Rewards walking at the commanded velocity."
    assert formula.startswith("```text\nr = exp(-|v_xy - command|^2 / sigma^2), with v the base's")
    assert signature.startswith("```text\nLinearVelocityTrackingReward.create(model, body: str |")
    assert making.endswith("By default it is the floating base.")
    assert arguments.splitlines() == [
        "- `command`: name of a command `[2]`, m/s.",
        "- `sigma`: kernel width, m/s, > 0.",
    ]
    # What a term takes from its contract is described there: each term has a scale.
    assert page.count("- `scale`: ") == 1


def test_pre_commit_runs_what_make_lint_runs():
    import yaml

    makefile = (ROOT / "Makefile").read_text()
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[1]
    commands = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe.splitlines()]
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == commands
