"""What a Dockerfile beside a compose file makes of its last stage: base, command, variables."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Built:
    """`image` is the base; words of ENTRYPOINT and CMD."""

    image: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


def read_dockerfile(path: Path, arguments: dict[str, str]) -> Built | None:
    """None if there is no such file. `arguments` are those of the build."""
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return None
    text = re.sub(r"(?m)^\s*#.*\n?", "", text).replace("\\\n", " ")
    known = dict(arguments)
    image = ""
    stages: dict[str, str] = {}
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        match word.upper():
            case "ARG":
                name, equals, value = rest.partition("=")
                if equals:
                    known.setdefault(name, value.strip("'\""))
            case "FROM":
                parts = [one for one in rest.split() if not one.startswith("--")]
                base = _filled(parts[0], known) if parts else ""
                image = stages.get(base, base)
                if len(parts) == 3 and parts[1].upper() == "AS":
                    stages[parts[2]] = image
                entrypoint, command, environment = (), (), {}
            case "ENTRYPOINT":
                entrypoint, command = _words(rest), ()
            case "CMD":
                command = _words(rest)
            case "ENV":
                environment.update(_variables(rest, known))
    return Built(image, entrypoint, command, tuple(environment.items()))


def _filled(text: str, known: dict[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda found: known.get(found[1], found.group()), text)


def _words(text: str) -> tuple[str, ...]:
    if text.startswith("["):
        try:
            return tuple(map(str, json.loads(text)))
        except ValueError:
            pass
    return ("/bin/sh", "-c", text)


def _variables(text: str, known: dict[str, str]) -> dict[str, str]:
    try:
        words = shlex.split(text)
    except ValueError:
        return {}
    if words and "=" not in words[0]:
        return {words[0]: " ".join(words[1:])}
    return dict(word.partition("=")[::2] for word in words if "=" in word)
