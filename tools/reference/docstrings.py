"""What people wrote beside the code, for the reference."""

import ast
import inspect
import re
from collections.abc import Mapping
from enum import Enum


def of_attributes(owner: type) -> Mapping[str, str]:
    """Return the text below each attribute of a class that has one, on one line each.

    Those of its bases in the same package are included.
    """
    found: dict[str, str] = {}
    for base in reversed(owner.__mro__):
        if _package(base) == _package(owner):
            found |= _of(base)
    return found


def of_words(words: type[Enum]) -> Mapping[str, str]:
    """Return what each member of an enumeration means, by its value. Raises KeyError where one says nothing."""
    texts = of_attributes(words)
    return {str(word.value): texts[word.name] for word in words}


def opening(owner: type) -> str:
    """Return the first paragraph of a class's docstring, on one line."""
    return _line(inspect.cleandoc(owner.__doc__ or "").partition("\n\n")[0])


def _package(owner: type) -> str:
    return owner.__module__.partition(".")[0]


def _of(owner: type) -> dict[str, str]:
    try:
        tree = ast.parse(inspect.getsource(inspect.getmodule(owner) or owner))
    except (OSError, TypeError):
        return {}
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == owner.__name__:
            for before, after in zip(node.body, node.body[1:], strict=False):
                text = _text(after)
                if text is not None and (name := _name(before)) is not None:
                    found[name] = _line(text)
    return found


def _text(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return None


def _name(node: ast.stmt) -> str | None:
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
