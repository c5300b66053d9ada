"""The public names stand once, in the stub, and are found in the files that it says."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import ksim
import ksim.terms

FOLDER = Path(ksim.__file__).parent


def imports_of_the_stub():
    tree = ast.parse((FOLDER / "__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return [(node.module, alias.name, alias.asname) for node in imports for alias in node.names]


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_every_name_stands_once_and_is_seen_by_type_checkers():
    names = [name for _, name, _ in imports_of_the_stub()]
    assert dir(ksim) == ksim.__all__ == sorted(names)
    assert len(set(names)) == len(names)
    # Without `as`, a name that a stub imports is private.
    assert all(name == shown for _, name, shown in imports_of_the_stub())


def names_defined_in(module):
    """Classes, functions and assignments at the top of a module's file."""
    for statement in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
        match statement:
            case ast.ClassDef(name) | ast.FunctionDef(name):
                yield name
            case ast.Assign(targets=[ast.Name(name)]) | ast.AnnAssign(target=ast.Name(name)):
                yield name


def test_a_name_comes_from_the_file_that_defines_it():
    for module_name, name, _ in imports_of_the_stub():
        module = importlib.import_module(f"ksim.{module_name}")
        assert getattr(ksim, name) is getattr(module, name)
        assert name in names_defined_in(module), f"{module_name} does not define {name}"


def test_every_term_is_public():
    modules = [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(ksim.terms.__path__, "ksim.terms.")
    ]
    terms = {
        value
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, ksim.Term) and not inspect.isabstract(value)
    }
    assert {term.__name__ for term in terms} <= set(ksim.__all__)


def test_the_import_takes_neither_jax_nor_mujoco():
    finished = run_python(
        "import ksim, sys; print({'jax', 'mujoco'} & set(sys.modules), dir(ksim))"
    )
    assert finished.stdout.startswith("set() ['ActionRateReward',")


def test_a_wrong_name_is_answered_with_the_nearest():
    finished = run_python("import ksim; ksim.UprihgtReward")
    assert "AttributeError: No ksim attribute UprihgtReward." in finished.stderr
    assert "Did you mean: 'UprightReward'?" in finished.stderr
