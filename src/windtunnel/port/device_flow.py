"""Where the value of an expression goes: outwards until something takes it for a device, or does not.

Through conditions, lists, ``or``, formatting, a name that it is assigned to, the parameter that it is a default of.
"""

from __future__ import annotations

import ast

from windtunnel.port.device_choice import compares_device, is_device, others_offered
from windtunnel.port.device_words import (
    CARRIES,
    GETS,
    LIST_METHODS,
    LOOKUPS,
    MOVES,
    NO_DEVICE_CALLS,
    OTHER_USE,
    OTHERS,
    ROLE_OF_CALL,
    STRING_METHODS,
    Role,
    names_device,
    role_named,
)
from windtunnel.port.python import FUNCTIONS, PythonTree, keyword, string

_TORCH_FAMILY = frozenset(
    {
        "torch", "torchvision", "torchaudio", "transformers", "diffusers", "accelerate", "timm", "lightning",
        "pytorch_lightning", "sentence_transformers", "peft", "torchmetrics", "torch_geometric", "dgl", "whisper",
    }
)  # fmt: skip


class DeviceFlow:
    """Follows expressions outwards; remembers what it followed, so that a circle of names ends."""

    def __init__(self, python: PythonTree) -> None:
        self.python = python
        self.seen: set[ast.AST] = set()
        self.definitions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef] = {}
        definitions: list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef] = [*python.of(ast.FunctionDef)]
        for definition in (*definitions, *python.of(ast.AsyncFunctionDef), *python.of(ast.ClassDef)):
            self.definitions.setdefault(definition.name, definition)
        self.loads: dict[str, list[ast.Name]] = {}
        for name in python.of(ast.Name):
            if isinstance(name.ctx, ast.Load):
                self.loads.setdefault(name.id, []).append(name)

    def role(self, node: ast.expr) -> tuple[Role, ast.Call | None] | None:
        """What the value of an expression is asked for as, and by which call; None where it is no device."""
        self.seen = set()
        return self._outwards(node)

    def _outwards(self, node: ast.expr) -> tuple[Role, ast.Call | None] | None:
        child: ast.AST = node
        listed = False
        while child not in self.seen:
            self.seen.add(child)
            parent = self.python.parent(child)
            match parent:
                case ast.BinOp(op=ast.Add()) if listed:
                    child = parent
                case ast.BinOp(left=left, op=ast.Add() | ast.Mod()) if left is child:
                    child = parent
                case ast.Attribute(attr="format" | "type"):
                    call = self.python.parent(parent)
                    child = call if parent.attr == "format" and isinstance(call, ast.Call) else parent
                case ast.Attribute(attr=attr) if attr in ("startswith", "split"):
                    return None
                case ast.IfExp(test=test) if test is not child:
                    child = parent
                case ast.BoolOp():
                    child = parent
                case ast.List() | ast.Tuple() | ast.Set():
                    if any(string(e) in OTHERS for e in parent.elts):
                        return None
                    listed, child = True, parent
                case ast.ListComp() | ast.GeneratorExp() | ast.SetComp():
                    if parent.elt is not child:
                        return None
                    listed, child = True, parent
                case ast.NamedExpr(target=target):
                    reached = self._assigned_to(target)
                    if reached:
                        return reached
                    child = parent
                case ast.Starred() | ast.Lambda():
                    child = parent
                case ast.Subscript(value=value) if value is child:
                    child = parent
                case ast.Dict():
                    return self._in_dict(parent, child)
                case ast.keyword():
                    call = self.python.parent(parent)
                    if not isinstance(call, ast.Call):
                        return None
                    if parent.arg in ("default", "default_factory", "value") and _last(call.func) in CARRIES:
                        child = call
                        continue
                    return self._keyword(call, parent)
                case ast.Call(func=func) if func is not child:
                    if _last(func) in CARRIES and child in parent.args[:2]:
                        child = parent
                        continue
                    return self._positional(parent, child, listed)
                case ast.Call(func=func) if isinstance(func, ast.Attribute) and func.attr == "format":
                    child = parent
                case ast.Assign(targets=targets, value=value):
                    return next(filter(None, (self._assigned_to(t, child, value) for t in targets)), None)
                case ast.AugAssign(target=target, op=ast.Add()):
                    return self._assigned_to(target)
                case ast.AnnAssign(target=target, value=value) if value is child:
                    return self._assigned_to(target)
                case ast.arguments():
                    return self._default(parent, child)
                case ast.Return() | ast.Yield():
                    return self._returned(parent)
                case ast.Compare():
                    return ("compare", None) if compares_device(self.python, parent, child) else None
                case ast.For(target=target) | ast.comprehension(target=target):
                    return self._assigned_to(target) if parent.iter is child else None
                case _:
                    return None
        return None

    def _in_dict(self, parent: ast.Dict, child: ast.AST) -> tuple[Role, ast.Call | None] | None:
        for key, value in zip(parent.keys, parent.values, strict=True):
            if value is child:
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    # {"": "cuda"}: a device map of accelerate for the whole model
                    named = names_device(key.value) or (key.value == "" and len(parent.keys) == 1)
                    return (role_named(key.value), None) if named else self._map_location(parent)
                return self._map_location(parent)
        return None

    def _map_location(self, node: ast.expr) -> tuple[Role, ast.Call | None] | None:
        """A dictionary from device to device, as torch.load takes it."""
        reached = self._outwards(node)
        return reached if reached and reached[0] == "map_location" else None

    def _keyword(self, call: ast.Call, given: ast.keyword) -> tuple[Role, ast.Call | None] | None:
        name = given.arg or ""
        if name == "params" and _last(call.func) == "fixture":
            fixture = self.python.parent(call)
            return ("device", None) if isinstance(fixture, ast.FunctionDef) and names_device(fixture.name) else None
        callee = self.python.resolve(call.func)
        if callee.startswith(NO_DEVICE_CALLS):
            return None
        if name == "type" and callee == "torch.device":
            return "device", call
        if name in ("default", "const", "choices", "default_value", "fallback"):
            named = [s for a in call.args if (s := string(a))]
            named += [s for k in ("dest", "name") if (s := string(keyword(call, k)))]
            return ("device", None) if any(names_device(s.strip("-").replace("-", "_")) for s in named) else None
        if name == "pin_memory_device":
            return "pin_memory", call
        if name == "map_location":
            return "map_location", call
        if names_device(name):
            return ROLE_OF_CALL.get(callee, "device"), call
        parameter = self._parameter(call, None, name)
        return ("device", call) if parameter and self._parameter_takes(*parameter) else None

    def _positional(self, call: ast.Call, child: ast.AST, listed: bool) -> tuple[Role, ast.Call | None] | None:
        place = next((i for i, a in enumerate(call.args) if a is child), None)
        if place is None:
            return None
        func, callee, last = call.func, self.python.resolve(call.func), _last(call.func)
        if last == "startswith":
            taken = isinstance(func, ast.Attribute) and is_device(func.value)
            return ("compare", None) if taken and not others_offered(self.python, call) else None
        if last in ("parametrize", "option", "add_argument", "sampled_from", "product", "subTest"):
            first = call.args[0]
            several = first.elts if isinstance(first, ast.Tuple | ast.List) else [first]
            asked = [string(e) or "" for e in several]
            named = next(filter(names_device, asked), asked[0] if asked else "")
            return ("device", None) if place and names_device(named.replace("-", "_").strip("_")) else None
        if last in LOOKUPS or callee in ("os.getenv", "getattr"):
            keys = [s for a in call.args[:place] if (s := string(a))]
            return ("device", None) if any(names_device(k) for k in keys) else None
        if callee == "torch.load" and place == 0:
            return None
        if callee.startswith("torch."):
            known = ROLE_OF_CALL.get(callee, "device")
            return None if callee.startswith(NO_DEVICE_CALLS) else (known, call)
        if isinstance(func, ast.Attribute):
            if last in STRING_METHODS:
                return None
            if last in LIST_METHODS:
                return ("device", None) if is_device(func.value) else None
            if last == "pin_memory":
                return "pin_memory", call
            if MOVES.match(last):
                return "device", call
        parameter = self._parameter(call, place, "")
        if parameter:
            return ("device", call) if self._parameter_takes(*parameter) else None
        if listed or not (last or isinstance(func, ast.Call)) or OTHER_USE.search(last):
            return None
        return ("device", call) if self._concerns_torch or (isinstance(func, ast.Attribute) and GETS.match(last)) else None

    @property
    def _concerns_torch(self) -> bool:
        return bool(_TORCH_FAMILY & {name.split(".")[0] for name in self.python.imported})

    def _parameter(
        self, call: ast.Call, place: int | None, name: str
    ) -> tuple[ast.arg, ast.FunctionDef | ast.AsyncFunctionDef] | None:
        """The parameter of a function of this file that an argument goes to."""
        if not isinstance(call.func, ast.Name | ast.Attribute):
            return None
        last = _last(call.func)
        known = self.definitions.get(last)
        if known is None or (isinstance(call.func, ast.Attribute) and not _is_self(call.func.value)):
            return None
        skipped = 0
        if isinstance(known, ast.ClassDef):
            made = next((d for d in known.body if isinstance(d, ast.FunctionDef) and d.name == "__init__"), None)
            if made is None:
                return None
            known, skipped = made, 1
        elif isinstance(self.python.parent(known), ast.ClassDef):
            skipped = 1
        every = [*known.args.posonlyargs, *known.args.args]
        if place is not None:
            return (every[place + skipped], known) if place + skipped < len(every) else None
        return next(((a, known) for a in (*every, *known.args.kwonlyargs) if a.arg == name), None)

    def _parameter_takes(self, parameter: ast.arg, owner: ast.AST) -> bool:
        return names_device(parameter.arg) or self._used_so(parameter.arg, owner)

    def _default(self, arguments: ast.arguments, child: ast.AST) -> tuple[Role, ast.Call | None] | None:
        positional = [*arguments.posonlyargs, *arguments.args]
        pairs = list(zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True))
        pairs += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None]
        owner = self.python.parent(arguments)
        for parameter, default in pairs:
            if default is child and owner is not None:
                if names_device(parameter.arg):
                    return role_named(parameter.arg), None
                return ("device", None) if self._used_so(parameter.arg, owner) else None
        return None

    def _assigned_to(
        self, target: ast.expr, child: ast.AST | None = None, value: ast.AST | None = None
    ) -> tuple[Role, ast.Call | None] | None:
        if isinstance(target, ast.Tuple | ast.List):
            return next(filter(None, (self._assigned_to(t) for t in target.elts)), None)
        if isinstance(target, ast.Name):
            if names_device(target.id):
                return role_named(target.id), None
            scope = self.python.scope(target)
            return ("device", None) if self._used_so(target.id, scope) else None
        if isinstance(target, ast.Attribute):
            return (role_named(target.attr), None) if names_device(target.attr) else None
        if isinstance(target, ast.Subscript):
            key = string(target.slice)
            return (role_named(key), None) if key is not None and names_device(key) else None
        return None

    def _used_so(self, name: str, owner: ast.AST) -> bool:
        """Whether a name of a function (or of the module) is somewhere given to what takes a device."""
        for load in self.loads.get(name, ()):
            if load in self.seen:
                continue
            if not isinstance(owner, ast.Module) and owner not in self.python.ancestors(load):
                continue
            reached = self._outwards(load)
            if reached and reached[0] != "compare":
                return True
        return False

    def _returned(self, statement: ast.AST) -> tuple[Role, ast.Call | None] | None:
        for above in self.python.ancestors(statement):
            if isinstance(above, FUNCTIONS):
                if isinstance(above, ast.Lambda):
                    return None
                if names_device(above.name):
                    return "device", None
                return ("device", None) if self._calls_used_so(above.name) else None
        return None

    def _calls_used_so(self, name: str) -> bool:
        for load in self.loads.get(name, ()):
            call = self.python.parent(load)
            if isinstance(call, ast.Call) and call.func is load and call not in self.seen:
                reached = self._outwards(call)
                if reached and reached[0] != "compare":
                    return True
        return False


def _last(func: ast.expr) -> str:
    """The last part of what is called: ``to`` of ``model.half().to``."""
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")
