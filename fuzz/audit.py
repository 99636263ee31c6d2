"""A coverage-guided fuzzer of reading and auditing: config bytes, model.py bytes, directory shapes.

    pip install atheris
    python fuzz/audit.py -max_total_time=300 -timeout=10 -rss_limit_mb=1024

What must hold for any input: no exception but RepositoryError, no hang, bounded memory; the text
after all fixes is read as well as the one before.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["pytest_triton"]):
    from pytest_triton.audit import RULES, Example, audit
    from pytest_triton.audit.fixing import fixed_texts
    from pytest_triton.repository import RepositoryError, read_repository

NAMES = ["m", "chain", "a", "config.pbtxt", "configs", "h100.pbtxt", "1", "2", "01", "2.old"]
NAMES += ["model.py", "model.onnx", "model.json", "labels.txt", ".git", "99999999999999999999"]
NAMES += ["\udcff", "x\ny"]
ROOT = Path(os.environ.get("FUZZ_ROOT", "."))


def test_one_input(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    target = provider.PickValueInList([None, 0, 1, 4])
    repository = ROOT / "models"
    shutil.rmtree(repository, ignore_errors=True)
    (repository / "m" / "1").mkdir(parents=True)
    for _ in range(provider.ConsumeIntInRange(0, 8)):
        make_entry(provider, repository)
    code = provider.ConsumeBytes(provider.ConsumeIntInRange(0, 400))
    config = provider.ConsumeBytes(provider.remaining_bytes())
    write(repository / "m" / "1" / "model.py", code)
    write(repository / "m" / "config.pbtxt", config)
    check(repository, target)


def make_entry(provider: atheris.FuzzedDataProvider, repository: Path) -> None:
    """A directory, file, link or pipe somewhere in the repository."""
    depth = provider.ConsumeIntInRange(1, 4)
    path = repository.joinpath(*(provider.PickValueInList(NAMES) for _ in range(depth)))
    kind = provider.ConsumeIntInRange(0, 3)
    if not is_inside(path):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == 0:
            path.mkdir()
        elif kind == 1:
            write(path, provider.ConsumeBytes(provider.ConsumeIntInRange(0, 200)))
        elif kind == 2:
            path.symlink_to(
                provider.PickValueInList(["..", "../..", "nowhere", path.name, "m", "1"])
            )
        else:
            os.mkfifo(path)
    except (OSError, ValueError):
        pass  # there is something already


def is_inside(path: Path) -> bool:
    """Whether a path ends up below ROOT: links may lead anywhere."""
    return os.path.realpath(path).startswith(os.path.realpath(ROOT) + os.sep)


def write(path: Path, data: bytes) -> None:
    try:
        if not is_inside(path):
            return
        if not os.path.lexists(path) or (path.is_file() and not path.is_symlink()):
            path.write_bytes(data)
    except OSError:
        pass


def check(root: Path, target: int | None) -> None:
    try:
        repository = read_repository([root])
    except RepositoryError:
        return
    found = audit(repository, target=target)
    assert all(one.message for one in found)
    texts = {
        model.config_file.path: model.config_file.text
        for model in repository.models
        if model.config_file is not None and model.config_file.config is not None
    }
    for path, (new, _) in fixed_texts(found, texts).items():
        if is_inside(path):
            path.write_text(new)
    again = {model.directory: model for model in read_repository([root]).models}
    for model in repository.models:
        if model.config_file is not None and model.config_file.path in texts:
            assert again[model.directory].readable, "a fix broke the config"


def seeds() -> Path:
    """A corpus to start from: the examples of all rules, as configs and code of one model."""
    folder = ROOT / "seeds"
    folder.mkdir()
    for rule in RULES:
        for number, example in enumerate((rule.failing, rule.fixed)):
            if any(name.endswith("config.pbtxt") for name in example.files):
                (folder / f"{rule.id}-{number}").write_bytes(seed(example))
    return folder


def seed(example: Example) -> bytes:
    """Bytes that `test_one_input` reads as this config: a FuzzedDataProvider takes integers from
    the end, the rest from the start.
    """
    texts = [text for name, text in example.files.items() if name.endswith("config.pbtxt")]
    codes = [text for name, text in example.files.items() if name.endswith("model.py")]
    code = (codes or [""])[0].encode()[:400]
    size = len(code).to_bytes(2, "little")
    return code + texts[0].encode() + size + b"\0" + b"\0"


def main() -> int:
    if "FUZZ_ROOT" in os.environ:
        atheris.Setup([*sys.argv, str(seeds())], test_one_input)
        atheris.Fuzz()
        return 0
    # libFuzzer ends the process without asking: somebody else has to clean up behind it.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        command = [sys.executable, __file__, *sys.argv[1:]]
        return subprocess.run(command, env={**os.environ, "FUZZ_ROOT": folder}).returncode


if __name__ == "__main__":
    sys.exit(main())
