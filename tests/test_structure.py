"""Objects get what they need in their constructors, and nobody but their class changes them.

**The rule.** In the rooms that hold objects (`app`, `cli`, `service`, `web`) an attribute is assigned, declared or deleted only

1. as `self.name`, in a method of the object's class, or
2. if `name` is a field of a *record* (a dataclass that isn't frozen) that the same module defines, and no class other than
   dataclasses, anywhere in the proxy, assigns an attribute of that name in its methods.

The second half of (2) keeps an object from passing for a record: mypy refuses to assign an attribute that a class doesn't have,
so what has an attribute of that name is a record. `setattr` and its relatives, which mypy doesn't see through, aren't used.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import proxy

_SOURCE = Path(proxy.__file__).parent
_ROOMS = ("app", "cli", "service", "web")
_AROUND = frozenset({"setattr", "delattr", "vars", "__setattr__", "__delattr__", "__dict__"})

# What is not an object of a room: the interpreter's own streams, a ticket of `core.budget`, and a context of the TLS library,
# which can be set up in no other way. And what a lease has given out, which is counted at each hit: a call for it would cost as
# much as the counting.
_ALLOWED = {
    "cli/descriptors.py: sys.stdout",
    "cli/descriptors.py: sys.stderr",
    "service/fetching/fetcher.py: ticket.deadline_s",
    "web/encryption/pair.py: context.minimum_version",
    "web/encryption/pair.py: context.options",
    "web/shortcut/leases.py: lease.ids",
    "web/shortcut/leases.py: seen.count",
}
_EXAMPLE = """
@dataclass(slots=True)
class Record:
    own: int
    shared: int

@dataclass(frozen=True)
class Value:
    parts: int

class Object:
    def method(self, other, record, headers):
        {line}
"""


@dataclass(frozen=True, slots=True)
class _Module:
    """A module by its path below `proxy`."""

    path: str
    tree: ast.Module


def _modules(*rooms: str) -> list[_Module]:
    paths = sorted(path for room in rooms for path in (_SOURCE / room).rglob("*.py"))
    assert paths
    return [_Module(path.relative_to(_SOURCE).as_posix(), ast.parse(path.read_text())) for path in paths]


def _classes(module: _Module) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef))


def _is_dataclass(node: ast.ClassDef, *, mutable: bool = False) -> bool:
    """Tell whether a class is a dataclass, and if asked for, one that isn't frozen."""
    for decorator in node.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        if ast.unparse(call.func if call else decorator) in {"dataclass", "dataclasses.dataclass"}:
            frozen = any(word.arg == "frozen" for word in call.keywords) if call else False
            return not (mutable and frozen)
    return False


def _record_fields(module: _Module) -> set[str]:
    """Return the fields of the records that a module defines."""
    lines = (line for node in _classes(module) if _is_dataclass(node, mutable=True) for line in node.body)
    return {line.target.id for line in lines if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)}


def _methods(node: ast.ClassDef) -> Iterator[tuple[ast.AST, ast.arg]]:
    """Yield a class's methods, each with its own parameter for `self`."""
    for method in node.body:
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
            first = [*method.args.posonlyargs, *method.args.args][:1]
            yield from ((method, parameter) for parameter in first if parameter.arg == "self")


def _own_stores(node: ast.ClassDef) -> Iterator[ast.Attribute]:
    """Yield the assignments to `self.name` in a class's methods."""
    for method, _ in _methods(node):
        for store in ast.walk(method):
            if isinstance(store, ast.Attribute) and not isinstance(store.ctx, ast.Load) and ast.unparse(store.value) == "self":
                yield store


def _object_attributes(modules: Iterable[_Module]) -> set[str]:
    """Return the attributes that classes which aren't dataclasses assign in their methods."""
    classes = (node for module in modules for node in _classes(module) if not _is_dataclass(node))
    return {store.attr for node in classes for store in _own_stores(node)}


def _faults(module: _Module, objects: set[str]) -> Iterator[str]:
    """Yield what breaks the rule in a module; `objects` are the attributes that no record's field may be taken for."""
    classes = list(_classes(module))
    own: set[ast.AST] = {store for node in classes for store in _own_stores(node)}
    own |= {parameter for node in classes for _, parameter in _methods(node)}
    records = _record_fields(module) - objects
    for node in ast.walk(module.tree):
        match node:
            case ast.Attribute(attr=name, ctx=ast.Store() | ast.Del()) if node not in own and name not in records:
                yield f"{module.path}: {ast.unparse(node)}"
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name) if name in _AROUND:
                yield f"{module.path}: {name}"
            case ast.Name(id="self", ctx=ast.Store()) | ast.arg(arg="self") if node not in own:
                yield f"{module.path}: another self"
            case _:
                pass


def test_no_attribute_is_assigned_from_outside() -> None:
    """See the module's docstring."""
    everything = [module for module in _modules(".") if not module.path.startswith("standin/")]
    objects = _object_attributes(everything)
    found = {fault for module in _modules(*_ROOMS) for fault in _faults(module, objects)}
    assert found == _ALLOWED


@pytest.mark.parametrize(
    "line",
    [
        "other.parts = 1",
        "other.series.parts = 1",
        "other.parts += 1",
        "other.parts: int = 1",
        "del other.parts",
        "for other.parts in (): pass",
        "with open('x') as other.parts: pass",
        "(one, *other.parts) = ()",
        "self.series.parts = 1",
        "self = other",
        "setattr(other, 'parts', 1)",
        "other.__dict__['parts'] = 1",
        "object.__setattr__(other, 'parts', 1)",
        "vars(other)['parts'] = 1",
        "from builtins import setattr as put",
        "other.shared = 1",
        "(lambda self: self)(other)",
    ],
)
def test_what_the_rule_finds(line: str) -> None:
    """Whatever way an attribute is assigned, or the test led astray."""
    module = _Module("x.py", ast.parse(_EXAMPLE.format(line=line)))
    assert len(list(_faults(module, {"parts", "shared"}))) == 1


@pytest.mark.parametrize("line", ["self.parts = 1", "record.own = 1", "self.record.own += 1", "headers['x'] = 1", "parts = 1"])
def test_what_the_rule_allows(line: str) -> None:
    """An object's own attributes, and fields of the module's records that no object has."""
    module = _Module("x.py", ast.parse(_EXAMPLE.format(line=line)))
    assert not list(_faults(module, {"parts", "shared"}))
