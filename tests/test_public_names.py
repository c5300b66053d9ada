"""The names of the package: explicit, sorted, each from the module that type checkers see."""

import ast
import importlib
from pathlib import Path

import ksim


def test_names_are_sorted_and_all_found():
    assert ksim.__all__ == sorted(ksim.__all__)
    assert dir(ksim) == ksim.__all__
    for name in ksim.__all__:
        assert getattr(ksim, name) is getattr(importlib.import_module(ksim._MODULE_OF[name]), name)


def test_a_name_is_loaded_from_where_type_checkers_see_it():
    tree = ast.parse(Path(ksim.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    seen = {
        alias.name: node.module
        for node in imports
        if node.module.startswith("ksim.")
        for alias in node.names
    }
    assert seen == ksim._MODULE_OF
