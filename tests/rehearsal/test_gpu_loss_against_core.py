"""What becomes of a service without its GPUs: predicted, and seen on the real core.

Every combination of the flags that decide about it, for models of each kind: each on one release
or two, on all of them with PYTEST_TRITON_TEST_ALL_GPU_LOSSES=1.
"""

from __future__ import annotations

import itertools
import os
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_triton.placement.command_line import CommandLine, read_version
from pytest_triton.placement.declared import Declared
from pytest_triton.placement.hardware import NO_GPU
from pytest_triton.placement.outcome import service_outcome
from pytest_triton.placement.predict import ServerTraits, predict_all
from pytest_triton.rehearsal.simulation import SimulatedGpus, assemble_backends
from pytest_triton.repository import read_repository
from pytest_triton.repository.refusals import declared_models
from support.bare_server import BareServer, bare_server
from support.builders import RepositoryBuilder
from support.components import RELEASES, do_without
from support.core_oracle import server_of_release

pytestmark = pytest.mark.server

KINDS = {
    "cpu": "{ kind: KIND_CPU }",
    "pinned": "{ kind: KIND_GPU }",
    "mixed": "{ kind: KIND_GPU }, { kind: KIND_CPU }",
    "nothing": "",
    "second": "{ kind: KIND_GPU gpus: [ 1 ] }",
}
SETS = (
    ("cpu",),
    ("pinned",),
    ("nothing",),
    ("cpu", "pinned"),
    ("pinned", "nothing"),
    ("cpu", "nothing"),
    ("mixed", "nothing"),
    ("second",),
    ("cpu", "broken"),
    ("nothing", "broken"),
)


VERSIONS = ("2.51.0", "2.42.0", "2.39.0", "2.36.0", "2.33.0")
FLAGS = tuple(itertools.product((True, False), repeat=3))
# Read when tests are collected: while they run, our variables are hidden from them.
ALL = bool(os.environ.get("PYTEST_TRITON_TEST_ALL_GPU_LOSSES"))
SHARE = 3  # each release sees one combination in so many, all releases together see each


@pytest.mark.parametrize("version", VERSIONS)
def test_service_without_gpus_does_what_is_predicted(version: str, tmp_path: Path) -> None:
    binary = server_of_release(version)
    if binary is None:
        do_without(RELEASES, f"{RELEASES.reason}: {version}")
    backends = assemble_backends(tmp_path / "backends", ["onnxruntime"])
    release = read_version(version)
    assert release is not None
    sets = [(names, *_repository(tmp_path / f"models-{n}", names)) for n, names in enumerate(SETS)]
    combinations = [(*one, flags) for one in sets for flags in FLAGS]
    if not ALL:
        combinations = combinations[VERSIONS.index(version) % SHARE :: SHARE]

    def look(
        combination: tuple[tuple[str, ...], Path, dict[str, Declared], tuple[bool, ...]],
    ) -> tuple[str, str, str]:
        names, path, declared, (exits, strict, explicit) = combination
        arguments = [
            f"--exit-on-error={str(exits).lower()}",
            f"--strict-readiness={str(strict).lower()}",
            *(["--model-control-mode=explicit", f"--load-model={names[0]}"] * explicit),
        ]
        line = CommandLine.parse(arguments)
        loaded = declared if line.loads is None else {n: declared[n] for n in line.loads}
        predictions = predict_all(loaded, NO_GPU, server=ServerTraits(version=release))
        predicted = service_outcome(predictions, line).service
        seen = _seen(path, arguments, binary, backends, loaded)
        return f"{names} {arguments}", predicted, seen

    # Most of a server's time it waits, for its metrics or to end.
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(look, combinations))
    wrong = [
        f"{what}: predicted {predicted}, seen {seen}"
        for what, predicted, seen in outcomes
        if seen != predicted
    ]
    assert not wrong, "\n".join(wrong)
    said = Counter(seen for _, _, seen in outcomes)
    assert len(said) == 5, said
    print(f"{version}: {said.total()} combinations, {dict(said)}")


def test_releases_together_see_every_combination() -> None:
    everything = range(len(SETS) * len(FLAGS))
    shares = [everything[index % SHARE :: SHARE] for index in range(len(VERSIONS))]
    assert {one for share in shares for one in share} == set(everything)


def _repository(path: Path, names: tuple[str, ...]) -> tuple[Path, dict[str, Declared]]:
    repository = RepositoryBuilder(path)
    for name in names:
        if name == "broken":
            repository.add_config(name, "nonsense")
        else:
            repository.add(name, KINDS[name], backend="onnxruntime")
    return repository.path, _declared(repository.path)


def _declared(repository: Path) -> dict[str, Declared]:
    models = read_repository([repository]).models
    found = declared_models(models, {})
    for model in models:  # unreadable: refused while polling
        if model.name not in found and model.refusal is not None:
            found[model.name] = Declared(model.name, "", "", flaws=(model.refusal,))
    return found


def _seen(
    repository: Path,
    arguments: list[str],
    binary: Path,
    backends: Path,
    loaded: dict[str, Declared],
) -> str:
    try:
        with bare_server(
            repository,
            SimulatedGpus(0),
            binary=binary,
            backends=backends,
            arguments=["--exit-timeout-secs=1", *arguments],
        ) as server:
            return _service(server, loaded)
    except RuntimeError as error:
        if "error: creating server:" in str(error):  # it may crash while it gives up
            return "stops"
        raise


def _service(server: BareServer, loaded: dict[str, Declared]) -> str:
    try:
        urllib.request.urlopen(f"{server.url}/v2/health/ready").close()
    except urllib.error.HTTPError:
        return "not ready"
    index = server.read_index()
    ready = [name for name in loaded if index.get(name, {}).get("state") == "READY"]
    if len(ready) < len(loaded):
        return "degraded"
    fell_back = [
        name
        for name in ready
        if not loaded[name].groups and server.groups(name)[0]["kind"] == "KIND_CPU"
    ]
    return "unnoticed" if fell_back else "unaffected"
