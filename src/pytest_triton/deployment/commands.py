"""From a container's entrypoint and command to the command line of tritonserver in it.

Nothing is executed: a shell's command is read as far as its words are plain.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pytest_triton.deployment.variables import Unresolved, interpolated

# Its entrypoint, nvidia_entrypoint.sh, ends with `exec "$@"`:
# https://github.com/triton-inference-server/server/issues/1632, for 23.04 issues/6952.
_OFFICIAL = re.compile(r"nvcr\.io/nvidia/tritonserver(:[^/@]*)?(@.*)?", re.DOTALL)
_ONE_TEXT = re.compile(r"(\S*/)?tritonserver\s+-")
_REPOSITORY = re.compile(r"--model-(repository|store|control-mode)\b")
_SHELLS = ("sh", "bash", "ash", "dash", "zsh")
_SUBSTITUTION = re.compile(r"\$\([^()]*\)|`[^`]*`")
_SUBSTITUTED = "__SUBSTITUTED__"
_REDIRECTION = re.compile(r"(?<=[\s;])(?:\d?>{1,2}(?:&\d|\s*[\w/.$-]+)|&>\s*[\w/.$-]+)")
_PREFIXES = ("exec", "nohup", "time", "sudo", "tini", "dumb-init", "--", "-s", "numactl", "env")

_DECLARING = ("export", "declare", "typeset", "readonly")
_TESTS = ("[", "[[", "test", "!", "grep", "command", "which")
_OPENING = ("if", "for", "while", "until", "case", "{", "function")
_CLOSING = ("fi", "done", "esac", "}")
_INSIDE = ("then", "else", "do", "{")
_COMPOUND = (*_OPENING, *_CLOSING, *_INSIDE, "elif", "trap")

Ending = Literal["its code", "another code", "goes on"]
"""When tritonserver ends: the container ends with its exit code, or with that of another command,
or goes on, with other programs."""


@dataclass(frozen=True)
class Found:
    """tritonserver's arguments, and the words that keep them from being known ("" for none).

    `sets` are variables that the command sets for tritonserver; it has none of `unsets`, of which
    `open` are those that are set to what is known only when it runs. `beside` is whether it starts
    other programs that go on, `ending` what becomes of the container when tritonserver ends.
    `refused` says why the container never runs.
    """

    arguments: tuple[str, ...] = ()
    unknown: str = ""
    sets: tuple[tuple[str, str], ...] = ()
    unsets: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    beside: bool = False
    ending: Ending = "its code"
    refused: str = ""
    fix: str = "write them in the file as they are"


def find_in_container(
    entrypoint: Sequence[str], command: Sequence[str], image: str, variables: Mapping[str, str]
) -> Found | None:
    """The same in a container of an image; `entrypoint` are the words that replace the image's own,
    if there are any, `command` those that follow."""
    official = not entrypoint and _OFFICIAL.fullmatch(image) is not None
    if entrypoint and posixpath.basename(entrypoint[0]) == "nvidia_entrypoint.sh":
        official, entrypoint, command = True, (), [*entrypoint[1:], *command]
    words = [*entrypoint, *command]
    first = words[0] if words else ""
    if _ONE_TEXT.match(first):
        why = "the whole command line of tritonserver is one item"
        fix = 'write each argument as an item of its own: ["tritonserver", "--FLAG=VALUE", ...]'
        if entrypoint or official:
            why += ", which is taken for the name of a program: there is none"
            return Found(refused=why, fix=fix)
        return Found(
            unknown=f"{why}, and what the image's entrypoint does with it isn't known", fix=fix
        )
    if not entrypoint and first.startswith("-"):
        if official:
            why = (
                "the image executes its command as it stands, and this one names no program: the "
                "container ends at once (`exec: --: invalid option`)"
            )
            return Found(refused=why, fix="write tritonserver first")
        if may_be_triton(image) or _REPOSITORY.match(first):
            # Flags for an entrypoint that isn't seen here.
            return find_tritonserver(("tritonserver", *words), variables)
    return find_tritonserver(words, variables)


def may_be_triton(image: str) -> bool:
    """Whether an image is called as those of Triton's servers are."""
    name = image.partition("@")[0].rpartition("/")[2]
    return "tritonserver" in name and not name.endswith(("-sdk", "-min"))


def find_tritonserver(words: Sequence[str], variables: Mapping[str, str]) -> Found | None:
    """tritonserver's command line in a container's whole command; None if it isn't started."""
    words = list(words)
    script = _script_of(words)
    if script is not None:
        return _in_script(script, variables)
    at = next((n for n, word in enumerate(words) if _is_tritonserver(word)), None)
    if at is None:
        return None
    sets = tuple(_assignment(word) for word in words[:at] if _is_assignment(word))
    return Found(tuple(words[at + 1 :]), sets=sets)


def _is_tritonserver(word: str) -> bool:
    return posixpath.basename(word) == "tritonserver"


def _script_of(words: Sequence[str]) -> str | None:
    """The text that a shell is given with -c (or -lc, -ec, ...), wherever the shell stands; behind
    a `set` with its other options."""
    for number, word in enumerate(words):
        if posixpath.basename(word) not in _SHELLS:
            continue
        options: list[str] = []
        rest = list(words[number + 1 :])
        while len(rest) > 1 and rest[0].startswith(("-", "+")):
            option = rest.pop(0)
            if re.fullmatch(r"-[a-z]*o[a-z]*", option):  # its value follows
                options.append(f"-o {rest.pop(0)}")
                option = option.replace("o", "", 1)
            options += ["-e"] * ("e" in option and not option.startswith("--"))
            if re.fullmatch(r"-[a-z]*c", option) and rest:
                return f"set {' '.join(sorted(options))}; {rest[0]}" if options else rest[0]
    return None


def _in_script(script: str, variables: Mapping[str, str]) -> Found | None:
    errexit = re.search(r"(^|[\s;])set\s+-[a-zA-Z]*e", script) is not None
    pipefail = "pipefail" in script
    script = _REDIRECTION.sub(" ", script.replace("\\\n", " "))
    script = _SUBSTITUTION.sub(_SUBSTITUTED, script)
    try:
        lexer = shlex.shlex(script.replace("\n", " ; "), posix=True, punctuation_chars=";&|()<>")
        lexer.whitespace_split = True
        lexer.commenters = "#"
        words = list(lexer)
    except ValueError as error:
        return Found(unknown=f"the shell command can't be read ({error})")
    steps = _steps(words)
    shell = _Shell(dict(variables), set(variables))
    for number, (before, command) in enumerate(steps):
        found = shell.run(command, before)
        if found is not None:
            rest = steps[number + 1 :]
            if command[0] == "exec" and rest and rest[0][0] not in ("|", "|&", "&"):
                rest = []
            ending = _ending(rest, pipefail=pipefail, errexit=errexit)
            if found.ending != "its code":
                ending = found.ending
            return replace(found, beside=found.beside or "&" in words, ending=ending)
    if "tritonserver" in script:
        return Found(unknown="tritonserver is started in a way that can't be read here")
    return None


_Step = tuple[str, list[str]]
"""A command, after what stands before it: `;`, `&`, `&&`, `|`, ..."""


def _steps(words: Sequence[str]) -> list[_Step]:
    """The commands of a script; an empty one after a `&` at the end."""
    steps: list[_Step] = [("", [])]
    for word in words:
        if word and set(word) <= set(";&|()"):
            if steps[-1][1]:
                steps.append((word, []))
            elif steps[-1][0] != "&":  # `A & ; B`
                steps[-1] = (word, [])
        else:
            steps[-1][1].append(word)
    return [(before, command) for before, command in steps if command or before == "&"]


def _ending(rest: Sequence[_Step], *, pipefail: bool, errexit: bool) -> Ending:
    """What becomes of a container when tritonserver ends that these commands follow."""
    if any(set(before) & set("()") for before, _ in rest):
        return "its code"  # subshells aren't followed
    ended: Ending = "its code"
    while rest and rest[0][0] in ("|", "|&"):
        ended = ended if pipefail else "another code"
        rest = rest[1:]
    while rest and rest[0][0] == "&&":  # not run, as it ended with an error
        rest = rest[1:]
    commands = [command for _, command in rest if command]
    if not commands:
        return ended
    if any(map(_never_ends, commands)) or _loops(commands):
        kept = rest[0][0] == ";" and errexit and ended == "its code"
        return ended if kept else "goes on"
    if any(command[0] in _COMPOUND for command in commands):
        return ended
    if rest[0][0] == "&":
        return _waited(rest)
    if rest[0][0] == ";" and errexit and ended == "its code":
        return ended
    exits = next((command for command in commands if command[0] == "exit"), None)
    if exits is not None:
        return "another code" if exits[1:] == ["0"] else ended
    return ended if commands[-1][0] == "false" else "another code"


def _waited(rest: Sequence[_Step]) -> Ending:
    """The same, where it runs in the background."""
    waits = [command for _, command in rest if command[:1] in (["wait"], ["fg"])]
    if not waits:
        return "goes on"
    if waits[0] != ["wait"]:
        return "its code"
    return "goes on" if any(before == "&" for before, _ in rest[1:]) else "another code"


def _never_ends(command: Sequence[str]) -> bool:
    if command[0] == "exec":
        command = command[1:]
    match list(command):
        case ["sleep", text, *_]:
            return text.startswith("inf") or re.fullmatch(r"\d{5,}s?|\d+d", text) is not None
        case ["tail", *options]:
            return any(re.match(r"-[a-z]*[fF]|--follow", one) for one in options)
    return False


def _loops(commands: Sequence[Sequence[str]]) -> bool:
    """Whether there is a loop without an end."""
    heads = [list(command[:2]) for command in commands]
    endless = any(head in (["while", "true"], ["while", ":"]) for head in heads)
    return endless and not any({"break", "exit"} & set(command) for command in commands)


class _Shell:
    """The variables of a shell, as far as its commands are read."""

    def __init__(self, known: dict[str, str], exported: set[str]) -> None:
        self._known = known
        self._exported = exported
        self._changed: set[str] = set()
        self._open: set[str] = set()
        self._depth = 0
        self._tested = False

    def run(self, words: Sequence[str], before: str) -> Found | None:
        """tritonserver's, if this command is one; else what it sets is remembered."""
        words = list(words)
        if not words:
            return None
        certain = before != "||" and not (before == "&&" and self._tested)
        self._tested = words[0] in _TESTS
        self._depth += words[0] in _OPENING
        self._depth -= words[0] in _CLOSING
        certain = certain and self._depth <= 0
        if (
            words[0] in _INSIDE
            and len(words) > 1
            and (words[1] in _DECLARING or words[1] == "unset" or _is_assignment(words[1]))
        ):
            words.pop(0)
        if words[0] == "set" and any(re.match(r"-[a-zA-Z]*a", one) for one in words[1:]):
            self._exported |= {"*"}
        if words[0] == "unset":
            for name in words[1:]:
                self._set(name, None, certain)
            return None
        exports = words[0] in _DECLARING
        if exports:
            exports = words.pop(0) == "export" or "-x" in words
            words = [word for word in words if not word.startswith("-")]
        return self._command(words, certain=certain, exports=exports)

    def _command(self, words: list[str], *, certain: bool, exports: bool) -> Found | None:
        sets: list[tuple[str, str | None]] = []
        while words and (exports or _is_assignment(words[0]) or words[0] in _PREFIXES):
            word = words.pop(0)
            if not _is_assignment(word):
                if exports:
                    self._exported.add(word)
                continue
            name, value = _assignment(word)
            if exports:
                self._exported.add(name)
            sets.append((name, self._value(value)))
        if not words:
            for name, given in sets:
                self._set(name, given, certain)
                if given is None:
                    self._open.add(name)
            return None
        nested = _script_of(words)
        if nested is not None:
            return _in_script(nested, self._known)
        if not _is_tritonserver(words[0]):
            return None
        return self._found(words[1:], sets)

    def _value(self, text: str) -> str | None:
        """None if it is known only when it runs."""
        if _SUBSTITUTED in text:
            return None
        try:
            return interpolated(text, self._known, escapes=False)
        except Unresolved:
            return None

    def _set(self, name: str, value: str | None, certain: bool) -> None:
        self._changed.add(name)
        self._open.discard(name)
        if value is None or not certain:
            self._known.pop(name, None)
        else:
            self._known[name] = value
        if not certain:
            self._open.add(name)

    def _found(self, words: Sequence[str], sets: Sequence[tuple[str, str | None]]) -> Found:
        exported = self._changed & (self._changed if "*" in self._exported else self._exported)
        values = {name: self._known.get(name) for name in sorted(exported)} | dict(sets)
        opened = {name for name in exported if name in self._open} - dict(sets).keys()
        opened |= {name for name, value in sets if value is None}
        found = Found(
            sets=tuple((name, value) for name, value in values.items() if value is not None),
            unsets=tuple(name for name, value in values.items() if value is None),
            open=tuple(sorted(opened)),
        )
        arguments = []
        for word in words:
            if word.startswith((">", "<")):
                break
            if _SUBSTITUTED in word:
                shown = word.replace(_SUBSTITUTED, "$(...)")
                return replace(found, unknown=f"{shown} is known only when it runs")
            try:
                value = interpolated(word, self._known, escapes=False)
            except Unresolved as error:
                return replace(found, unknown=f"${error.name} has no value here")
            # An unquoted variable may hold several arguments; quotes are gone here.
            arguments += value.split() if value != word and " " in value else [value]
        return replace(found, arguments=tuple(one for one in arguments if one))


def _is_assignment(word: str) -> bool:
    return re.match(r"[A-Za-z_]\w*=", word, re.ASCII) is not None


def _assignment(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value
