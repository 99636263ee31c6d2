"""What a server does doesn't depend on where it runs: one suite over process and container."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_triton.client.http import HttpApi
from pytest_triton.ledger import read_ledger
from pytest_triton.options.hosts import ContainerHost, Host, ProcessHost
from pytest_triton.options.settings import ContainerOptions
from pytest_triton.placement.command_line import BadArguments
from pytest_triton.placement.hardware import HardwareRequest
from pytest_triton.rehearsal.completed_configs import as_json
from pytest_triton.rehearsal.simulation import OFFICIAL_BACKENDS, SimulatedGpus, write_control
from pytest_triton.repository import model_config_type
from pytest_triton.servers.launching import launch
from pytest_triton.servers.pool import ServerPool
from pytest_triton.servers.running_server import RunningServer, Server
from pytest_triton.servers.server_errors import ServerExited, ServerNotLive, ServerTimeout
from pytest_triton.servers.spec import ServerSpec
from support.builders import RepositoryBuilder
from support.docker_daemon import IMAGE, ours

WHERE = ("process", "container")


def host_at(where: str, mount: tuple[Path, ...] = ()) -> Host:
    if where == "process":
        return ProcessHost()
    return ContainerHost(IMAGE, ContainerOptions(mount=mount))


pytestmark = pytest.mark.usefixtures("docker_image")


@pytest.fixture(params=WHERE)
def where(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Start = Callable[..., Server]


@pytest.fixture
def start(where: str, repository: RepositoryBuilder, folders_left: None) -> Iterator[Start]:
    """Start servers on the test's repository, without waiting; all are stopped at the end."""
    servers = []

    def start(gpus: str = "none", *, mount: tuple[Path, ...] = (), **changes: object) -> Server:
        values = {"stand_ins": OFFICIAL_BACKENDS, **changes}
        hardware = HardwareRequest.parse(gpus)
        spec = ServerSpec((repository.path,), hardware, host_at(where, mount), **values)  # type: ignore[arg-type]
        servers.append(launch(spec))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
    assert ours() == []


@pytest.fixture
def live(start: Start) -> Callable[..., RunningServer]:
    """Start a server, wait for it, and hand out what its users see."""

    def live(gpus: str = "none", **changes: object) -> RunningServer:
        server = start(gpus, **changes)
        server.wait_until_live()
        return server.view

    return live


Live = Callable[..., RunningServer]


def states(server: RunningServer) -> dict[str, str]:
    with HttpApi(server.http) as api:
        return {entry["name"]: entry.get("state", "") for entry in api.index()}


def load(server: RunningServer, model: str) -> None:
    import tritonclient.grpc

    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        client.load_model(model)


def test_it_answers_on_the_loopback_and_is_gone_after_its_end(
    repository: RepositoryBuilder, start: Start, where: str
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    repository.add("pinned", "{ kind: KIND_GPU }")
    server = start()
    server.wait_until_live()
    server.check_alive()
    view = server.view
    assert states(view) == {"cpu": "READY", "pinned": "UNAVAILABLE"}
    for address in (view.http, view.grpc, view.metrics):
        assert address.startswith("127.0.0.1:")
    assert re.match(rf"tritonserver 2\.51\.0 \({where}, ", view.description)
    assert view.backends == frozenset(OFFICIAL_BACKENDS)
    assert view.control_file is None
    assert "successfully loaded 'cpu'" in view.log.about("cpu")
    assert view.log_file is not None
    server.begin_stop()
    server.begin_stop()
    server.stop()
    server.stop()
    assert not view.log_file.exists()
    with HttpApi(view.http) as api:
        assert api.live(view.name) is None


def test_real_python_model_answers(repository: RepositoryBuilder, live: Live) -> None:
    import numpy
    import tritonclient.grpc

    repository.add("cpu", "{ kind: KIND_CPU }")
    server = live(stand_ins=())
    assert server.backends == frozenset({"python"})
    given = numpy.arange(4, dtype=numpy.float32).reshape(1, 4)
    sent = tritonclient.grpc.InferInput("X", given.shape, "FP32")
    sent.set_data_from_numpy(given)
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        answer = client.infer("cpu", [sent])
    assert [output.name for output in answer.get_response().outputs] == ["Y"]


def test_simulated_gpus_are_there_and_none_hides_what_there_is(
    repository: RepositoryBuilder, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.add("pinned", "{ kind: KIND_GPU }")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert states(live("sim:2")) == {"pinned": "READY"}
    assert states(live("sim:2@5.2")) == {"pinned": "UNAVAILABLE"}, "too old for this server"
    assert states(live("none")) == {"pinned": "UNAVAILABLE"}


def test_gpus_can_go_and_come_while_it_runs(repository: RepositoryBuilder, live: Live) -> None:
    from tritonclient.utils import InferenceServerException

    repository.add("pinned", "{ kind: KIND_GPU }")
    server = live("sim:2", model_control="explicit", load=())
    assert server.control_file is not None
    write_control(server.control_file, SimulatedGpus(0))
    with pytest.raises(InferenceServerException, match="no GPUs are available"):
        load(server, "pinned")
    write_control(server.control_file, SimulatedGpus(1))
    load(server, "pinned")
    assert states(server) == {"pinned": "READY"}


def test_only_what_is_to_be_loaded_is_loaded(repository: RepositoryBuilder, live: Live) -> None:
    repository.add("one", "{ kind: KIND_CPU }")
    repository.add("two", "{ kind: KIND_CPU }")
    assert states(live(model_control="explicit", load=("two",)))["two"] == "READY"
    assert states(live(model_control="explicit", load=("two",))).get("one", "") == ""
    assert states(live(model_control="explicit")) == {"one": "READY", "two": "READY"}


def test_what_is_left_out_is_not_served(repository: RepositoryBuilder, live: Live) -> None:
    repository.add("good", "{ kind: KIND_CPU }")
    repository.add("bad", "{ kind: KIND_CPU }")
    (repository.path / "dangling").symlink_to("nowhere")
    left_out = (repository.path / "dangling", repository.path / "bad")
    assert states(live(left_out=left_out)) == {"good": "READY"}


def test_links_lead_where_they_lead_here(
    repository: RepositoryBuilder, live: Live, tmp_path: Path
) -> None:
    store = RepositoryBuilder(tmp_path / "store")
    for name in ("absolute", "relative", "version", "chained"):
        store.add(name, "{ kind: KIND_CPU }")
    (repository.path / "absolute").symlink_to(store.path / "absolute")
    (repository.path / "relative").symlink_to("../store/relative")
    (tmp_path / "hop").symlink_to("store/chained")
    (repository.path / "chained").symlink_to(tmp_path / "hop")
    repository.add("version", "{ kind: KIND_CPU }")
    (repository.path / "version" / "2").symlink_to("../../store/version/1")
    server = live(stand_ins=(), mount=(store.path,))
    assert set(states(server).values()) == {"READY"}
    assert sorted(states(server)) == ["absolute", "chained", "relative", "version"]
    with HttpApi(server.http) as api:
        assert {entry["version"] for entry in api.index() if entry["name"] == "version"} == {"2"}


def test_completed_configs_reach_the_stand_ins(repository: RepositoryBuilder, live: Live) -> None:
    repository.add_config("bare", 'backend: "onnxruntime"\ninstance_group [ { kind: KIND_CPU } ]\n')
    completed = model_config_type()(name="bare", backend="onnxruntime", max_batch_size=3)
    completed.instance_group.add(kind=2, count=1)
    server = live(completed=as_json({"bare": completed}))
    with HttpApi(server.http) as api:
        assert api.model_config("bare")["max_batch_size"] == 3


def test_arguments_and_variables_reach_the_server(
    repository: RepositoryBuilder, live: Live
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    server = live(arguments=("--strict-readiness=false",), environment=(("HELLO", "there"),))
    assert re.search(r"strict_readiness +\| 0 ", server.log.since())
    (repository.path / "cpu" / "1" / "model.py").write_text(
        "import os\nassert os.environ['HELLO'] == 'there'\n"
        "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"
    )
    assert states(live(stand_ins=(), environment=(("HELLO", "there"),))) == {"cpu": "READY"}
    assert states(live(stand_ins=())) == {"cpu": "UNAVAILABLE"}


def test_flag_that_only_newer_releases_know_names_the_first(start: Start) -> None:
    with pytest.raises(BadArguments, match=r"2\.51\.0 doesn't know --allow-client-shm") as raised:
        start(arguments=("--allow-client-shm=true",))
    assert "from release 2.68.0 on" in str(raised.value)


def test_unknown_flag_ends_the_waiting_at_once(repository: RepositoryBuilder, start: Start) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    server = start(arguments=("--frobnicate",))
    with pytest.raises(ServerExited, match="exit code 1") as raised:
        server.wait_until_live()
    assert raised.value.cause == "unknown flag"
    assert "unrecognized option '--frobnicate'" in str(raised.value), "the log's last lines"


def test_repository_that_has_gone_is_reported_at_once(
    repository: RepositoryBuilder, start: Start
) -> None:
    repository.path.rmdir()
    server = start()
    with pytest.raises(ServerNotLive, match="repository unreadable") as raised:
        server.wait_until_live()
    assert "failed to stat file" in str(raised.value)


def test_start_that_takes_too_long_shows_how_far_it_is(
    repository: RepositoryBuilder, start: Start
) -> None:
    repository.add("slow", "{ kind: KIND_CPU }")
    (repository.path / "slow" / "1" / "model.py").write_text("import time\ntime.sleep(600)\n")
    server = start(stand_ins=(), timeout=2.5)
    with pytest.raises(ServerTimeout, match="not live after 2") as raised:
        server.wait_until_live()
    assert "loading: slow:1" in str(raised.value)


def test_pool_has_both(repository: RepositoryBuilder, where: str, folders_left: None) -> None:
    repository.add("pinned", "{ kind: KIND_GPU }")
    specs = [
        ServerSpec(
            (repository.path,),
            HardwareRequest.parse(gpus),
            stand_ins=OFFICIAL_BACKENDS,
            host=host_at(where),
        )
        for gpus in ("none", "sim:1")
    ]
    pool = ServerPool()
    try:
        pool.launch(specs)
        assert [states(pool.get(spec))["pinned"] for spec in specs] == ["UNAVAILABLE", "READY"]
        assert pool.get(specs[0]) == pool.get(specs[0])
        pool.release(specs[0])
        assert any("no GPUs are available" in one.log.since() for one in pool.handed_out())
    finally:
        pool.close()
    assert ours() == []


# --- the whole way, as a user goes it -----------------------------------------------------------


def _verdicts(pytester: pytest.Pytester, *arguments: str) -> dict[str, tuple[str, str]]:
    """The outcome and text of each test; what differs by nature is taken out."""

    class Collector:
        def __init__(self) -> None:
            self.found: dict[str, tuple[str, str]] = {}

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.when == "call" or not report.passed:
                self.found[report.nodeid] = (report.outcome, _timeless(report.longreprtext))

    collector = Collector()
    pytester.inline_run("-p", "no:cacheprovider", *arguments, plugins=[collector])
    return collector.found


def _timeless(text: str) -> str:
    text = re.sub(r"[IWE]\d{4} [\d:.]+ \d+ ", "", text)
    text = re.sub(r"\((process|container), [^)]*\)", "", text)
    text = re.sub(r"pytest-triton-\w+", "(folder)", text)
    lines = [line for line in text.splitlines() if "0x" not in line]
    return "\n".join(sorted(lines))


@pytest.mark.parametrize("backends", ["stand-in", "real"])
def test_same_repository_gets_the_same_verdicts(
    pytester: pytest.Pytester, repository: RepositoryBuilder, backends: str, folders_left: None
) -> None:
    repository.add("pinned", "{ kind: KIND_GPU }")
    repository.add("second", "{ kind: KIND_GPU gpus: [ 1 ] }")
    repository.add("mixed", "{ kind: KIND_GPU }, { kind: KIND_CPU count: 2 }")
    repository.add("cpu", "{ kind: KIND_CPU }")
    repository.add("undeclared")
    repository.add("never", "{ kind: KIND_CPU gpus: [ 0 ] }")
    repository.add("other", "{ kind: KIND_CPU }", backend="onnxruntime")
    repository.add_config("typo", 'backend: "python"\ninstance_grup [ ]\n')
    repository.add_config("misnamed", 'name: "else"\nbackend: "python"\n')
    (repository.path / "dangling").symlink_to("nowhere")
    asked = [f"--triton-repo={repository.path}", f"--triton-backends={backends}"]
    hardware = ("none", "sim:2") if backends == "stand-in" else ("none",)
    asked += [f"--triton-gpus={gpus}" for gpus in hardware]
    process = _verdicts(pytester, *asked)
    in_container = ("--triton-server=container", f"--triton-image={IMAGE}")
    container = _verdicts(pytester, *asked, *in_container)
    assert container == process
    assert {outcome for outcome, _ in process.values()} == {"passed", "failed", "skipped"}
    assert len(process) >= (2 + len(hardware)) * 9
    assert ours() == []


def test_container_that_is_named_has_real_backends_and_the_header_reports_it(
    pytester: pytest.Pytester, repository: RepositoryBuilder, folders_left: None
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    result = pytester.runpytest(f"--triton-repo={repository.path}", f"--triton-image={IMAGE}")
    assert result.ret == 0
    header = f"triton: real run on tritonserver (container, {IMAGE}) * no GPU *"
    result.stdout.fnmatch_lines([header])


def test_ledger_names_the_image(
    pytester: pytest.Pytester, repository: RepositoryBuilder, folders_left: None
) -> None:
    repository.add("cpu", "{ kind: KIND_CPU }")
    arguments = [f"--triton-repo={repository.path}", f"--triton-image={IMAGE}"]
    result = pytester.runpytest(*arguments, "--triton-ledger=ledger.json")
    assert result.ret == 0
    ledger = read_ledger(pytester.path / "ledger.json")
    servers = {entry.server for entry in ledger.entries if entry.server is not None}
    assert [server.image for server in servers] == [IMAGE]
    assert all((server.image_digest or "").startswith("sha256:") for server in servers)
