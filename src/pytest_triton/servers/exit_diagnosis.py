"""Why a server ended: its log's last lines, turned into a cause and a fix."""

from __future__ import annotations

import re
import signal
from typing import NamedTuple


class Cause(NamedTuple):
    """A named cause of an exit. `name` is stable, `fix` says what to do.

    `line` is the line of the log that says so, "" if none does.
    """

    name: str
    meaning: str
    fix: str
    line: str = ""


_CAUSES: tuple[tuple[str, Cause], ...] = (
    # First those after which the server prints its usage, which has the texts of all others.
    (
        r"unrecognized option '?(?P<what>[^'\n]+)|option '(?P<short>[^'\n]+)' is ambiguous|"
        r"invalid option -- '(?P<letter>[^'\n]+)'|unrecognized argument|unknown option",
        Cause(
            "unknown flag",
            "this tritonserver does not know a flag that it was given: {what}",
            "check the server arguments against `tritonserver --help` of this version",
        ),
    ),
    (
        r"Unexpected argument: (?P<what>[^\n]+)|"
        r"option '(?P<lone>[^'\n]+)' requires an argument|"
        r"Bad option: \"(?P<option>[^\"\n]+)|"
        r"invalid argument for (?P<old>--[\w-]+)|"
        r"Failed to build Triton option:\s*(?:error: )?(?P<setting>[^\n]+)|"
        r"Error: (?P<pair>(?:Use of|Incompatible flags) [^\n]+)",
        Cause(
            "bad argument",
            "this tritonserver does not take an argument that it was given: {what}",
            "check the server arguments against `tritonserver --help` of this version",
        ),
    ),
    (
        r"creating server: (?P<what>Internal - failed to load all models|"
        r"[^\n]*load failed for model [^\n:]*)",
        Cause(
            "models not loaded",
            "a model could not be loaded at the start, and the server ends for it: {what}",
            "the log above has the reasons; --exit-on-error=false lets the server go on",
        ),
    ),
    (
        r"unable to find '(?P<what>libtritoncache_\w+\.so' for cache\. Searched: [^\n\"]+)",
        Cause(
            "no cache",
            "the server has no library for the response cache that it was asked for: '{what}",
            "give --cache-directory=DIR with the server's arguments, where DIR/NAME has the "
            "library of cache NAME; the installed releases have the cache local only",
        ),
    ),
    (
        r"Failed to initialize (?P<what>\w*Cache[^\n\"]*)",
        Cause(
            "bad cache",
            "Triton could not make the response cache: {what}",
            "check the settings in --cache-config",
        ),
    ),
    (
        r"could not select device driver|unknown or invalid runtime name: nvidia",
        Cause(
            "no NVIDIA toolkit",
            "GPUs were asked for, and the container engine has no NVIDIA Container Toolkit",
            "install nvidia-container-toolkit on that machine, `nvidia-ctk runtime configure "
            "--runtime=docker`, restart Docker; or --triton-gpu-driver=cdi where CDI is set up; "
            "or rehearse: --triton-gpus=sim:2",
        ),
    ),
    (
        r"unresolvable CDI devices (?P<what>[^\n]+)|CDI device injection failed: (?P<more>[^\n]+)",
        Cause(
            "no CDI device",
            "the container engine knows no such GPU by a CDI name: {what}",
            "`nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml` on that machine, and compare "
            "`nvidia-ctk cdi list` with what was asked for; or rehearse: --triton-gpus=sim:2",
        ),
    ),
    (
        r"nvidia-container-cli: requirement error: (?P<what>[^\n]+)",
        Cause(
            "driver too old",
            "the NVIDIA driver is older than the image demands: {what}",
            "update the machine's NVIDIA driver, or take the image of an older release",
        ),
    ),
    (
        r"nvidia-container-cli: (?P<what>[^\n]+)",
        Cause(
            "NVIDIA toolkit failed",
            "NVIDIA's container toolkit could not hand over the GPUs: {what}",
            "check `nvidia-smi` on that machine (driver loaded? GPU lost?), and that the GPUs that "
            "were asked for exist; or rehearse: --triton-gpus=sim:2",
        ),
    ),
    (
        r"exec format error|exec user process caused",
        Cause(
            "wrong architecture",
            "the image is built for another processor than the container engine's machine",
            "take the image's variant for this processor (docker image inspect, Architecture)",
        ),
    ),
    (
        r"tritonserver\S*: (executable file )?not found|exec: \S*tritonserver\S*: (stat|no such)",
        Cause(
            "no tritonserver",
            "there is no tritonserver in the image",
            "take an image with the server: of NVIDIA's, -py3 and -pyt-python-py3 have it, "
            "-py3-min and -py3-sdk don't",
        ),
    ),
    (
        r"bind source path does not exist: (?P<what>[^\n]+)|[Mm]ounts denied|is not shared from",
        Cause(
            "mount refused",
            "the container engine can't mount a path of this machine: {what}",
            "share the folder with Docker (Docker Desktop: Settings, File sharing), or let the "
            "files be copied: --triton-transfer=copy",
        ),
    ),
    (
        r"unable to find user (?P<what>[^:\n]+)",
        Cause(
            "no such user",
            "the image has no user {what}",
            "name a user by number: --triton-user=1000:1000",
        ),
    ),
    (
        r"already in use|Address already in use|port is already allocated|"
        r"failed to start .* (service|Service).*address",
        Cause(
            "port taken",
            "another process took one of the server's ports first",
            "run again; if it persists, look for programs that listen on many ports",
        ),
    ),
    (
        r"error while loading shared libraries: (?P<what>\S+)",
        Cause(
            "missing library",
            "tritonserver needs a shared library that is not there: {what}",
            "use a complete tritonserver (pytest-triton install), or add the library's "
            "folder to LD_LIBRARY_PATH",
        ),
    ),
    (
        r"version `(?P<what>GLIBC\S*)' not found",
        Cause(
            "system too old",
            "this tritonserver was built for a newer Linux: it needs {what}",
            "use an older release, a newer system, or a container",
        ),
    ),
    (
        r"(No space left on device|shm_open|shared memory (region|object)|/dev/shm).*",
        Cause(
            "no shared memory",
            "python models need shared memory, and there is none left",
            "free space in /dev/shm (64 MB an instance in older servers). A container's is as "
            "large as --triton-shm-size; if pytest itself runs in one: docker run --shm-size=1g, "
            "in Kubernetes a memory-backed emptyDir mounted at /dev/shm",
        ),
    ),
    (
        r"failed to (open|stat|get).*(directory|repository)|"
        r"(could not|failed to).*model repository|No such file or directory.*repository",
        Cause(
            "repository unreadable",
            "the server could not read the model repository",
            "check that the directory exists and that the user who runs pytest may read it",
        ),
    ),
    (
        r"Permission denied",
        Cause(
            "permission",
            "the server was denied access to a file",
            "check the permissions of the file named in the log. In a container: those of the user "
            "in it (--triton-user); where SELinux forbids the mount, --triton-transfer=copy",
        ),
    ),
    (
        r"Resource temporarily unavailable",
        Cause(
            "too many processes",
            "the server may not start another process or thread",
            "raise the limit (--triton-pids in a container, else ulimit -u)",
        ),
    ),
    (
        r"terminate called after throwing an instance of '(?P<what>[^'\n]+)'(?!.*bad_alloc)",
        Cause(
            "crash",
            "Triton itself crashed with an exception that nobody caught ({what})",
            "look for the model that makes it crash: leave models out until the server lives",
        ),
    ),
    (
        r"std::bad_alloc|Cannot allocate memory|[Oo]ut of memory",
        Cause(
            "out of memory",
            "the server ran out of memory",
            "give it more memory or fewer models",
        ),
    ),
)

_UNKNOWN = Cause("unknown", "the log does not say why in a text that is known here", "")


def cause_of_exit(returncode: int, log: str) -> Cause:
    """Name the cause from the exit status (negative: killed by that signal) and the log."""
    crashed = returncode == -signal.SIGSEGV  # what the log says of models is another matter then
    for pattern, cause in _CAUSES:
        found = re.search(pattern, log)
        if found and (not crashed or cause.name in _RESOURCES):
            named = filter(None, found.groupdict().values())
            what = next(named, "see the log").strip()
            start = log.rfind("\n", 0, found.start()) + 1
            line = log[start:].split("\n", 1)[0].strip()
            return cause._replace(meaning=cause.meaning.format(what=what), line=line)
    if returncode == -signal.SIGKILL:
        return Cause(
            "killed",
            "somebody killed it, most often the system for want of memory",
            "look at the system's log (dmesg) for 'Out of memory'",
        )
    if -returncode in _CRASHES:
        return Cause(
            "crash",
            f"Triton itself crashed ({signal.Signals(-returncode).name})",
            "look for the model that makes it crash: leave models out until the server lives",
        )
    return _UNKNOWN


_RESOURCES = ("no shared memory", "out of memory", "too many processes", "crash")
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)


def describe_exit(returncode: int) -> str:
    """`exit code 1`, or `signal SIGSEGV`."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"signal {signal.Signals(-returncode).name}"
    except ValueError:
        return f"signal {-returncode}"
