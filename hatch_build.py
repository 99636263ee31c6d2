"""Build hook: compiles the two native libraries of the rehearsal, where that is possible.

On Linux with a C compiler the wheel gets the libraries and the platform's tag. Elsewhere it is a
pure Python wheel, with a warning: all that needs no rehearsal works. By hand:

    python hatch_build.py            # compile into src/, skipped when up to date
    python hatch_build.py --force

For wheels that are published, PYTEST_TRITON_WHEEL says what the wheel is for: a platform's tag
(manylinux_2_27_aarch64; CC names the compiler for it, and without one there is no wheel), or "any"
for the pure one.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand, outside a build
    BuildHookInterface = object

ROOT = Path(__file__).resolve().parent
NATIVE = ROOT / "src" / "pytest_triton" / "rehearsal" / "native"
# Which is part of the package, too: its images are built without this file.
BUILD = json.loads((NATIVE / "build.json").read_text("utf-8"))
LIBRARIES: dict[str, list[str]] = BUILD["libraries"]
# No -Werror here: a compiler that warns about more than ours must not cost users the library.
WANTED = "PYTEST_TRITON_WHEEL"
FLAGS: list[str] = BUILD["flags"]


class CannotCompile(Exception):
    """Why there will be no libraries."""


def compiler() -> list[str]:
    """The C compiler's command: $CC, else cc, gcc or clang. Raises CannotCompile."""
    if not sys.platform.startswith("linux"):
        raise CannotCompile(f"tritonserver runs on Linux, this is {sys.platform}")
    named = shlex.split(os.environ.get("CC", ""))
    for command in [named] if named else [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(command[0]):
            return command
    raise CannotCompile(
        f"the C compiler that CC names isn't there: {named[0]}"
        if named
        else "there is no C compiler (cc, gcc or clang)"
    )


def is_up_to_date(library: Path) -> bool:
    inputs = [*NATIVE.glob("*.[ch]"), NATIVE / "build.json", Path(__file__)]
    return library.is_file() and all(
        library.stat().st_mtime >= source.stat().st_mtime for source in inputs
    )


def compile_library(name: str, directory: Path, extra_flags: tuple[str, ...] = ()) -> Path:
    """Compiles one of LIBRARIES into `directory`, whole or not at all. Raises CannotCompile."""
    target = directory / name
    sources = [str(NATIVE / source) for source in LIBRARIES[name]]
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=f".{name}-", suffix=".tmp")
    os.close(handle)
    try:
        command = [*compiler(), *FLAGS, *extra_flags, "-o", temporary, *sources]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotCompile(f"{shlex.join(command)} failed:\n{done.stderr}{done.stdout}")
        os.chmod(temporary, 0o755)
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return target


def compile_all(*, force: bool = False) -> list[Path]:
    """The libraries beside their sources, compiled where needed. Raises CannotCompile."""
    return [
        NATIVE / name
        if not force and is_up_to_date(NATIVE / name)
        else compile_library(name, NATIVE)
        for name in LIBRARIES
    ]


class CustomBuildHook(BuildHookInterface):  # type: ignore[misc, type-arg, unused-ignore]
    """What hatchling calls before it builds a wheel, also an editable one."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        wanted = os.environ.get(WANTED, "")
        if self.target_name != "wheel" or wanted == "any":
            return
        if wanted:
            # Compiled beside those of this machine, which an editable installation uses.
            self.folder = tempfile.TemporaryDirectory()
            for name in LIBRARIES:
                library = compile_library(name, Path(self.folder.name))
                inside = (NATIVE / name).relative_to(ROOT / "src").as_posix()
                build_data["force_include"][str(library)] = inside
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{wanted}"
            return
        try:
            libraries = compile_all()
        except CannotCompile as problem:
            self.app.display_warning(
                f"pytest-triton is built without rehearsals (simulated GPUs, stand-in backends): "
                f"{problem}\nInstall a C compiler on Linux and build again to have them."
            )
            return
        build_data["artifacts"] += [f"/{path.relative_to(ROOT)}" for path in libraries]
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if folder := getattr(self, "folder", None):
            folder.cleanup()


if __name__ == "__main__":
    try:
        for built in compile_all(force="--force" in sys.argv[1:]):
            print(built)
    except CannotCompile as problem:
        sys.exit(f"hatch_build.py: {problem}")
