"""From a container's entrypoint and command to the command line of tritonserver in it.

Nothing is executed: a shell's command is read as far as its words are plain.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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


@dataclass(frozen=True)
class Found:
    """tritonserver's arguments, and the words that keep them from being known ("" for none).

    `sets` are variables that the command sets for tritonserver, `beside` is whether it starts
    other programs that go on. `refused` says why the container never runs.
    """

    arguments: tuple[str, ...] = ()
    unknown: str = ""
    sets: tuple[tuple[str, str], ...] = ()
    beside: bool = False
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
    """The text that a shell is given with -c (or -lc, -ec, ...), wherever the shell stands."""
    for number, word in enumerate(words):
        if posixpath.basename(word) not in _SHELLS:
            continue
        for at in range(number + 1, len(words) - 1):
            option = words[at]
            if re.fullmatch(r"-[a-z]*c", option):
                return words[at + 1]
            if not option.startswith(("-", "+")):
                break
    return None


def _in_script(script: str, variables: Mapping[str, str]) -> Found | None:
    known = dict(variables)
    script = _REDIRECTION.sub(" ", script.replace("\\\n", " "))
    script = _SUBSTITUTION.sub(_SUBSTITUTED, script)
    try:
        lexer = shlex.shlex(script.replace("\n", " ; "), posix=True, punctuation_chars=";&|()<>")
        lexer.whitespace_split = True
        lexer.commenters = "#"
        words = list(lexer)
    except ValueError as error:
        return Found(unknown=f"the shell command can't be read ({error})")
    for command in _commands(words):
        found = _command(command, known)
        if found is not None:
            return replace(found, beside=found.beside or "&" in words)
    if "tritonserver" in script:
        return Found(unknown="tritonserver is started in a way that can't be read here")
    return None


def _commands(words: Sequence[str]) -> list[list[str]]:
    commands: list[list[str]] = [[]]
    for word in words:
        if set(word) <= set(";&|()") and word:
            commands.append([])
        else:
            commands[-1].append(word)
    return [command for command in commands if command]


def _command(words: Sequence[str], variables: dict[str, str]) -> Found | None:
    """tritonserver's, if this command is one; else what it sets is remembered."""
    words = list(words)
    sets: list[tuple[str, str]] = []
    if words and words[0] == "export":
        words.pop(0)
    while words and (_is_assignment(words[0]) or words[0] in _PREFIXES):
        word = words.pop(0)
        if _is_assignment(word):
            name, value = _assignment(word)
            try:
                sets.append((name, interpolated(value, variables, escapes=False)))
            except Unresolved:
                sets.append((name, value))
    if not words:
        variables.update(sets)
        return None
    nested = _script_of(words)
    if nested is not None:
        return _in_script(nested, variables)
    if not _is_tritonserver(words[0]):
        return None
    arguments = []
    for word in words[1:]:
        if word.startswith((">", "<")):
            break
        if _SUBSTITUTED in word:
            shown = word.replace(_SUBSTITUTED, "$(...)")
            return Found(unknown=f"{shown} is known only when it runs", sets=tuple(sets))
        try:
            value = interpolated(word, variables, escapes=False)
        except Unresolved as error:
            return Found(unknown=f"${error.name} has no value here", sets=tuple(sets))
        # An unquoted variable may hold several arguments; quotes are gone here.
        arguments += value.split() if value != word and " " in value else [value]
    return Found(tuple(one for one in arguments if one), sets=tuple(sets))


def _is_assignment(word: str) -> bool:
    return re.match(r"[A-Za-z_]\w*=", word, re.ASCII) is not None


def _assignment(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value
