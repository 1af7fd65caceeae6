"""A Tiltfile run without Tilt: built-ins that check what they are given as Tilt 0.37 does, and record it.

What Tilt itself lets pass is refused too: a dependency on a resource, or a button of one, that does not
exist.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import starlark

# One word or a list of words, as Tilt takes a command.
Command = str | list[str]
_LABEL = re.compile(r"[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?")


class TiltError(Exception):
    """What Tilt would refuse, or what would silently do nothing."""


@dataclass
class Loop:
    """What a Tiltfile has declared."""

    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    buttons: dict[str, dict[str, Any]] = field(default_factory=dict)
    commands: dict[str, dict[str, Any]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    watched: list[str] = field(default_factory=list)
    enabled: list[str] = field(default_factory=list)

    def require_whole(self) -> None:
        """Raises TiltError where one thing names another that does not exist."""
        for name, resource in self.resources.items():
            for needed in resource["resource_deps"]:
                if needed not in self.resources:
                    raise TiltError(f"{name} depends on {needed}, which does not exist")
        for name in self.enabled:
            if name not in self.resources:
                raise TiltError(f"{name} is enabled and does not exist")
        started = [each for it in self.commands.values() for each in it["start_on"]["ui_buttons"]]
        for name, button in self.buttons.items():
            where = button["location"]
            if where["component_type"] == "Resource":
                if where["component_id"] not in self.resources:
                    raise TiltError(
                        f"the button {name} is at {where['component_id']}, which is none"
                    )
            elif (where["component_type"], where["component_id"]) != ("Global", "nav"):
                raise TiltError(f"the button {name} is nowhere: {where}")
            if started.count(name) != 1:
                raise TiltError(f"the button {name} starts {started.count(name)} commands")
        for name in started:
            if name not in self.buttons:
                raise TiltError(f"a command waits for the button {name}, which does not exist")


def _fits(value: Any, kind: Any) -> bool:
    if kind is Any:
        return True
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in inner)
    if origin is Literal:
        return value in inner
    if origin is list:
        return isinstance(value, list) and all(_fits(each, inner[0]) for each in value)
    if origin is dict:
        pairs = value.items() if isinstance(value, dict) else [(0, 0)]
        return all(_fits(key, inner[0]) and _fits(each, inner[1]) for key, each in pairs)
    if isinstance(kind, str):  # made by the built-in of that name
        return isinstance(value, dict) and value.get("made_by") == kind
    if kind is int and isinstance(value, bool):
        return False
    return isinstance(value, kind)


def _checked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which refuses an unknown, a missing and a badly typed argument."""
    signature = inspect.signature(function)
    kinds = typing.get_type_hints(function, include_extras=True)

    def called(*positional: Any, **keywords: Any) -> Any:
        try:
            bound = signature.bind(*positional, **keywords)
        except TypeError as error:
            raise TiltError(f"{name}: {error}") from error
        for argument, value in bound.arguments.items():
            kind = kinds.get(argument, Any)
            kind = kind.__metadata__[0] if hasattr(kind, "__metadata__") else kind
            many = signature.parameters[argument].kind is inspect.Parameter.VAR_POSITIONAL
            for each in value if many else [value]:
                if not _fits(each, kind):
                    raise TiltError(f"{name}: {argument} is {each!r}, which it does not take")
        bound.apply_defaults()
        return function(*bound.args, **bound.kwargs)

    return called


def _made(kind: str) -> Any:
    return typing.Annotated[Any, kind]


def _made_list(kind: str) -> Any:
    return typing.Annotated[Any, list[kind]]  # type: ignore[valid-type]


def evaluate(
    text: str,
    answer: Callable[[list[str]], str],
    *,
    main_dir: Path,
    arguments: dict[str, Any] | None = None,
    exists: Callable[[str], bool] = os.path.exists,
) -> Loop:
    """Runs the Tiltfile; ``answer`` gives what a command prints, ``arguments`` are those after `--`."""
    loop, defined = Loop(), set[str]()

    def resource_name(name: str) -> str:
        if not name or "/" in name or "%" in name or name in (".", ".."):
            raise TiltError(f"{name!r} is no name")
        return name

    def local_resource(
        name: str,
        cmd: Command = "",
        deps: str | list[str] | None = None,
        trigger_mode: Literal["auto", "manual"] = "auto",
        resource_deps: list[str] = [],  # noqa: B006
        ignore: str | list[str] = [],  # noqa: B006
        auto_init: bool = True,
        serve_cmd: Command = "",
        cmd_bat: Command = "",
        serve_cmd_bat: Command = "",
        allow_parallel: bool = False,
        links: _made_list("link") = [],  # type: ignore[valid-type] # noqa: B006
        labels: str | list[str] = [],  # noqa: B006
        env: dict[str, str] = {},  # noqa: B006
        serve_env: dict[str, str] = {},  # noqa: B006
        readiness_probe: _made("probe") = None,  # type: ignore[valid-type]
        dir: str = "",
        serve_dir: str = "",
    ) -> None:
        given = {key: value for key, value in locals().items() if key in parameters}
        if resource_name(name) in loop.resources:
            raise TiltError(f"Local resource {name} has been defined multiple times")
        if not cmd and not serve_cmd:
            raise TiltError(f"{name} must have a cmd and/or a serve_cmd")
        for label in [labels] if isinstance(labels, str) else labels:
            if not _LABEL.fullmatch(label):
                raise TiltError(f"{label!r} of {name} is no label")
        loop.resources[name] = given

    parameters = set(inspect.signature(local_resource).parameters)

    def probe(
        initial_delay_secs: int = 0,
        timeout_secs: int = 1,
        period_secs: int = 10,
        success_threshold: int = 1,
        failure_threshold: int = 3,
        exec: _made("exec_action") = None,  # type: ignore[valid-type]
        http_get: _made("http_get_action") = None,  # type: ignore[valid-type]
        tcp_socket: _made("tcp_socket_action") = None,  # type: ignore[valid-type]
    ) -> dict[str, Any]:
        actions = {"exec": exec, "http_get": http_get, "tcp_socket": tcp_socket}
        if sum(each is not None for each in actions.values()) != 1:
            raise TiltError("exactly one of exec, http_get, or tcp_socket must be specified")
        if timeout_secs < 1 or period_secs < 1:
            raise TiltError("a probe's times are at least 1")
        return {"made_by": "probe", **{key: it for key, it in actions.items() if it is not None}}

    def exec_action(command: list[str]) -> dict[str, Any]:
        return {"made_by": "exec_action", "command": command}

    def http_get_action(
        port: int, host: str = "localhost", scheme: str = "http", path: str = ""
    ) -> dict[str, Any]:
        _require_port(port)
        url = f"{scheme}://{host}:{port}{path}"
        return {"made_by": "http_get_action", "url": url}

    def tcp_socket_action(port: int, host: str = "localhost") -> dict[str, Any]:
        _require_port(port)
        return {"made_by": "tcp_socket_action", "address": f"{host}:{port}"}

    def link(url: str, name: str = "") -> dict[str, Any]:
        return {"made_by": "link", "url": url, "name": name}

    def local(
        command: Command,
        quiet: bool = False,
        command_bat: Command = "",
        echo_off: bool = False,
        env: dict[str, str] = {},  # noqa: B006
        dir: str = "",
        stdin: str | None = None,
    ) -> str:
        return answer([command] if isinstance(command, str) else command)

    def decode_json(text: str) -> Any:
        return json.loads(text)

    def watch_file(file_path: str) -> None:
        loop.watched.append(file_path)

    def watch_settings(ignore: str | list[str]) -> None:
        loop.ignored += [ignore] if isinstance(ignore, str) else ignore

    def version_settings(check_updates: bool = True, constraint: str = "") -> None:
        pass

    def fail(msg: str) -> None:
        raise TiltError(msg)

    def define(name: str, args: bool = False, usage: str = "") -> None:
        defined.add(name)

    def parse() -> dict[str, Any]:
        unknown = set(arguments or {}) - defined
        if unknown:
            raise TiltError(f"flag provided but not defined: {unknown}")
        return dict(arguments or {})

    def set_enabled_resources(resources: list[str]) -> None:
        loop.enabled += resources

    def ui_text_input_spec(default_value: str = "", placeholder: str = "") -> dict[str, Any]:
        return {"made_by": "text", "default": default_value}

    def ui_choice_input_spec(choices: list[str]) -> dict[str, Any]:
        if not choices:
            raise TiltError("a choice has nothing to choose from")
        return {"made_by": "choice", "default": choices[0], "choices": choices}

    def ui_input_spec(
        name: str,
        label: str = "",
        text: _made("text") = None,  # type: ignore[valid-type]
        bool: Any = None,
        hidden: Any = None,
        choice: _made("choice") = None,  # type: ignore[valid-type]
    ) -> dict[str, Any]:
        return (text or choice) | {"made_by": "input", "name": name}

    def ui_component_location(component_id: str = "", component_type: str = "") -> dict[str, Any]:
        return {
            "made_by": "location",
            "component_id": component_id,
            "component_type": component_type,
        }

    def start_on_spec(ui_buttons: list[str]) -> dict[str, Any]:
        return {"made_by": "start_on", "ui_buttons": ui_buttons}

    def ui_button(
        name: str,
        labels: dict[str, str] = {},  # noqa: B006
        annotations: dict[str, str] = {},  # noqa: B006
        location: _made("location") = None,  # type: ignore[valid-type]
        text: str = "",
        icon_name: str = "",
        icon_svg: str = "",
        disabled: bool = False,
        requires_confirmation: bool = False,
        inputs: _made_list("input") = [],  # type: ignore[valid-type] # noqa: B006
    ) -> None:
        if resource_name(name) in loop.buttons:
            raise TiltError(f"two buttons are named {name}")
        if len({each["name"] for each in inputs}) != len(inputs):
            raise TiltError(f"two inputs of {name} have one name")
        loop.buttons[name] = {
            "location": location,
            "text": text,
            "icon_name": icon_name,
            "icon_svg": icon_svg,
            "asks": requires_confirmation,
            "inputs": inputs,
        }

    def cmd(
        name: str,
        labels: dict[str, str] = {},  # noqa: B006
        annotations: dict[str, str] = {},  # noqa: B006
        args: list[str] = [],  # noqa: B006
        dir: str = "",
        env: list[str] = [],  # noqa: B006
        start_on: _made("start_on") = None,  # type: ignore[valid-type]
    ) -> None:
        if resource_name(name) in loop.commands:
            raise TiltError(f"two commands are named {name}")
        if not args:
            raise TiltError(f"the command {name} has no words")
        loop.commands[name] = {"args": args, "dir": dir, "start_on": start_on}

    def joined(path: str, *paths: str) -> str:
        return os.path.join(path, *paths)

    def exists_(path: str) -> bool:
        return exists(path)

    module = starlark.Module()
    builtins = {
        "local_resource": local_resource,
        "probe": probe,
        "exec_action": exec_action,
        "http_get_action": http_get_action,
        "tcp_socket_action": tcp_socket_action,
        "link": link,
        "local": local,
        "decode_json": decode_json,
        "watch_file": watch_file,
        "watch_settings": watch_settings,
        "version_settings": version_settings,
        "fail": fail,
        "config__define_bool": define,
        "config__define_string_list": define,
        "config__parse": parse,
        "config__set_enabled_resources": set_enabled_resources,
        "v1alpha1__ui_text_input_spec": ui_text_input_spec,
        "v1alpha1__ui_choice_input_spec": ui_choice_input_spec,
        "v1alpha1__ui_input_spec": ui_input_spec,
        "v1alpha1__ui_component_location": ui_component_location,
        "v1alpha1__start_on_spec": start_on_spec,
        "v1alpha1__ui_button": ui_button,
        "v1alpha1__cmd": cmd,
        "path__join": joined,
        "path__exists": exists_,
        "path__dirname": lambda path: os.path.dirname(path),
    }
    for name, function in builtins.items():
        module.add_callable(name, _checked(name.replace("__", "."), function))
    spaces: dict[str, list[str]] = {}
    for name in builtins:
        space, dots, inner = name.partition("__")
        if dots:
            spaces.setdefault(space, []).append(f"{inner} = {name}")
    spaces["config"].append(f"main_dir = {json.dumps(str(main_dir))}")
    before = [f"{space} = struct({', '.join(of)})" for space, of in spaces.items()]
    before += [
        "os = struct(path = path)",
        "TRIGGER_MODE_AUTO = 'auto'",
        "TRIGGER_MODE_MANUAL = 'manual'",
    ]
    _run(module, "before", "\n".join(before))
    _run(module, "Tiltfile", text)
    loop.require_whole()
    return loop


def _run(module: starlark.Module, name: str, text: str) -> None:
    dialect = starlark.Dialect.standard()
    dialect.enable_top_level_stmt = True
    dialect.enable_types = starlark.DialectTypes.DISABLE
    extensions = [starlark.LibraryExtension.StructType, starlark.LibraryExtension.Print]
    try:
        starlark.eval(
            module, starlark.parse(name, text, dialect), starlark.Globals.extended_by(extensions)
        )
    except starlark.StarlarkError as error:
        raise TiltError(str(error)) from error


def _require_port(port: int) -> None:
    if not 1 <= port <= 65535:
        raise TiltError(f"{port} is no port")


def ignores(patterns: list[str], path: str) -> bool:
    """Whether dockerignore's patterns, absolute ones, take the path or a folder that it is in."""
    parents = [path, *map(str, Path(path).parents)]
    return any(re.fullmatch(_expression(pattern), each) for pattern in patterns for each in parents)


def _expression(pattern: str) -> str:
    found, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            found, at = found + "(?:.*/)?", at + 3
        elif pattern[at] == "\\":
            found, at = found + re.escape(pattern[at + 1]), at + 2
        elif pattern[at] == "[":
            end = pattern.index("]", at)
            found, at = found + pattern[at : end + 1], end + 1
        else:
            found += {"*": "[^/]*", "?": "[^/]"}.get(pattern[at], re.escape(pattern[at]))
            at += 1
    return found
