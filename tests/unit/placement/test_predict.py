"""The rules, row by row; the real core is asked about all of them in tests/rehearsal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_triton.placement.declared import Declared, OnDisk
from pytest_triton.placement.hardware import NO_GPU, Gpu, Hardware, simulated_gpus
from pytest_triton.placement.instances import NOTHING, Placement, cpu, gpu, on_model
from pytest_triton.placement.predict import (
    ResolvedGroup,
    ServerTraits,
    explain,
    predict,
    predict_all,
    refused_everywhere,
)
from pytest_triton.placement.rate_limits import RateLimits
from pytest_triton.placement.refusal import classify
from support.short_configs import config, declared, ensemble, groups
from support.strategies import Case, cases

GPU, CPU = "kind: KIND_GPU", "kind: KIND_CPU"
BOTH = gpu(0) + gpu(1)
Outcome = Placement | str  # a placement, or the reason of a refusal

# What a config declares -> what becomes of it with 0, 1 and 2 GPUs.
ROWS: list[tuple[str, str, str, tuple[Outcome, Outcome, Outcome]]] = [
    ("nothing", "mine", "", (cpu(), gpu(0), BOTH)),
    ("nothing, python", "python", "", (cpu(), gpu(0), BOTH)),
    ("nothing, vllm", "vllm", "", (cpu(), gpu(0), BOTH)),
    ("nothing, openvino", "openvino", "", (cpu(), cpu(), cpu())),
    ("nothing, onnxruntime", "onnxruntime", "", (cpu(count=2), gpu(0), BOTH)),
    ("nothing, tensorflow", "tensorflow", "", (cpu(count=2), gpu(0), BOTH)),
    ("nothing, pytorch", "pytorch", "", (cpu(), gpu(0), BOTH)),
    ("nothing, tensorrt", "tensorrt", "", ("backend-gpu-only", gpu(0), BOTH)),
    ("an empty group", "mine", groups(""), (cpu(), gpu(0), BOTH)),
    ("AUTO", "mine", groups("kind: KIND_AUTO"), (cpu(), gpu(0), BOTH)),
    ("AUTO, openvino", "openvino", groups(""), (cpu(), "backend-cpu-only", "backend-cpu-only")),
    ("AUTO gpus [0]", "mine", groups("gpus: [0]"), ("cpu-with-gpus", gpu(0), gpu(0))),
    (
        "AUTO gpus [0,1,2,3]",
        "mine",
        groups("gpus: [0, 1, 2, 3]"),
        ("cpu-with-gpus", "cpu-with-gpus", "cpu-with-gpus"),
    ),
    ("GPU", "mine", groups(GPU), ("no-gpu", gpu(0), BOTH)),
    (
        "GPU x2",
        "mine",
        groups(f"{GPU} count: 2"),
        ("no-gpu", gpu(0, count=2), gpu(0, count=2) + gpu(1, count=2)),
    ),
    ("GPU, onnxruntime", "onnxruntime", groups(GPU), ("no-gpu", gpu(0), BOTH)),
    ("GPU gpus [1]", "mine", groups(f"{GPU} gpus: [1]"), ("gpu-id", "gpu-id", gpu(1))),
    (
        "GPU gpus [0,0]",
        "mine",
        groups(f"{GPU} gpus: [0, 0]"),
        ("gpu-id", gpu(0, count=2), gpu(0, count=2)),
    ),
    ("GPU gpus [-1]", "mine", groups(f"{GPU} gpus: [-1]"), ("gpu-id", "gpu-id", "gpu-id")),
    ("CPU", "mine", groups(CPU), (cpu(), cpu(), cpu())),
    ("CPU x3", "mine", groups(f"{CPU} count: 3"), (cpu(count=3), cpu(count=3), cpu(count=3))),
    ("CPU count -1", "mine", groups(f"{CPU} count: -1"), (cpu(), cpu(), cpu())),
    (
        "CPU, onnxruntime",
        "onnxruntime",
        groups(CPU),
        (cpu(count=2), cpu(count=2), cpu(count=2)),
    ),
    ("CPU x1, onnxruntime", "onnxruntime", groups(f"{CPU} count: 1"), (cpu(), cpu(), cpu())),
    (
        "CPU gpus [0]",
        "mine",
        groups(f"{CPU} gpus: [0]"),
        ("cpu-with-gpus", "cpu-with-gpus", "cpu-with-gpus"),
    ),
    ("CPU, tensorrt", "tensorrt", groups(CPU), ("backend-gpu-only",) * 3),
    ("GPU, openvino", "openvino", groups(GPU), ("no-gpu", "backend-cpu-only", "backend-cpu-only")),
    ("MODEL", "mine", groups("kind: KIND_MODEL"), (on_model(), on_model(), on_model())),
    ("MODEL, openvino", "openvino", groups("kind: KIND_MODEL"), ("backend-cpu-only",) * 3),
    ("MODEL, tensorrt", "tensorrt", groups("kind: KIND_MODEL"), ("backend-gpu-only",) * 3),
    ("MODEL gpus [0]", "mine", groups("kind: KIND_MODEL gpus: [0]"), ("model-with-gpus",) * 3),
    ("GPU + CPU", "mine", groups(GPU, CPU), ("no-gpu", gpu(0) + cpu(), BOTH + cpu())),
    ("CPU + GPU", "mine", groups(CPU, GPU), ("no-gpu", gpu(0) + cpu(), BOTH + cpu())),
    (
        "GPU + CPU, tensorrt",
        "tensorrt",
        groups(GPU, CPU),
        ("no-gpu", "backend-gpu-only", "backend-gpu-only"),
    ),
    (
        "CPU, passive GPU",
        "mine",
        groups(CPU, f"{GPU} passive: true"),
        ("no-gpu", cpu() + gpu(0), cpu() + BOTH),
    ),
    ("an unknown kind", "mine", groups("kind: 9"), ("kind", "kind", "kind")),
    (
        "the first bad group speaks",
        "mine",
        groups("kind: KIND_MODEL gpus: [0]", f"{CPU} gpus: [0]"),
        ("model-with-gpus",) * 3,
    ),
    ("a profile, not tensorrt", "mine", groups(f'{CPU} profile: "0"'), ("profile",) * 3),
    (
        "kind before profile",
        "mine",
        groups(f'{GPU} profile: "0"'),
        ("no-gpu", "profile", "profile"),
    ),
    (
        "a profile, tensorrt",
        "tensorrt",
        groups(f'{GPU} profile: "0"'),
        ("no-gpu", gpu(0), BOTH),
    ),
    (
        "a negative profile",
        "tensorrt",
        groups(f'{GPU} profile: "-1"'),
        ("no-gpu", "profile", "profile"),
    ),
    (
        "secondary devices and host policies place nothing",
        "mine",
        groups(f'{CPU} host_policy: "gpu_0" secondary_devices {{ kind: KIND_NVDLA device_id: 1 }}'),
        (cpu(), cpu(), cpu()),
    ),
]


@pytest.mark.parametrize(
    ("backend", "text", "outcomes"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS]
)
@pytest.mark.parametrize("gpus", [0, 1, 2])
def test_outcome_by_declaration_and_hardware(
    backend: str, text: str, outcomes: tuple[Outcome, ...], gpus: int
) -> None:
    prediction = predict(config(text, backend=backend), simulated_gpus(gpus))
    expected = outcomes[gpus]
    if isinstance(expected, str):
        assert prediction.refusal is not None
        assert prediction.refusal.reason == expected
        assert not prediction.ready
        assert prediction.placement == NOTHING
    else:
        assert prediction.refusal is None
        assert prediction.placement == expected
        assert prediction.ready


@pytest.mark.parametrize(
    ("text", "gpus", "message"),
    [
        (
            groups(GPU),
            0,
            "Invalid argument: instance group m_0 of model m has kind KIND_GPU but no GPUs are "
            "available",
        ),
        (
            groups(CPU, f"{GPU} gpus: [7]"),
            2,
            "Invalid argument: instance group m_1 of model m specifies invalid or unsupported gpu "
            "id 7. GPUs with at least the minimum required CUDA compute compatibility of 6.000000 "
            "are: 0, 1",
        ),
        (
            groups(f"name: 'a' {CPU} gpus: [0]"),
            0,
            "Invalid argument: instance group a of model m has kind KIND_CPU but specifies one or "
            "more GPUs",
        ),
    ],
)
def test_tritons_own_text(text: str, gpus: int, message: str) -> None:
    refusal = predict(config(text), simulated_gpus(gpus)).refusal
    assert refusal is not None
    assert refusal.text == message
    assert refusal.stage == "load"


class TestFallback:
    @pytest.mark.parametrize("text", ["", groups(""), groups(CPU, "")])
    def test_without_a_gpu_and_without_a_word(self, text: str) -> None:
        assert predict(config(text), NO_GPU).fallback
        assert not predict(config(text), simulated_gpus(1)).fallback

    @pytest.mark.parametrize(
        ("text", "backend"),
        [
            (groups(CPU), "mine"),
            (groups(GPU), "mine"),
            (groups("kind: KIND_MODEL"), "mine"),
            ("", "openvino"),
            (groups(""), "openvino"),
            ("", "tensorrt"),
            (groups("", CPU + " gpus: [0]"), "mine"),
        ],
    )
    def test_never_of_what_is_declared_or_refused(self, text: str, backend: str) -> None:
        for gpus in (0, 1):
            assert not predict(config(text, backend=backend), simulated_gpus(gpus)).fallback

    def test_shows_in_the_table(self) -> None:
        assert str(predict(config(""), NO_GPU)) == "CPU  <- fallback"
        assert str(predict(config(groups(GPU)), NO_GPU)) == "refused: no GPU"
        assert str(predict(config(groups(GPU)), simulated_gpus(2))) == "GPU 0 · GPU 1"


class TestNames:
    def test_of_groups_and_instances(self) -> None:
        prediction = predict(
            config(groups(f"{GPU} count: 2", f"name: 'slow' {CPU}")), simulated_gpus(2)
        )
        assert [group.name for group in prediction.groups] == ["m_0", "slow"]
        assert [group.instances for group in prediction.groups] == [
            ("m_0_0", "m_0_0", "m_0_1", "m_0_1"),
            ("slow_0",),
        ]

    def test_of_an_undeclared_model(self) -> None:
        (group,) = predict(config(""), NO_GPU).groups
        assert (group.name, group.instances) == ("m", ("m_0",))

    def test_before_2_37_a_single_instance_has_the_groups_name(self) -> None:
        old = ServerTraits(version=(2, 36, 0))
        text = groups(CPU, f"{CPU} count: 2")
        first, second = predict(config(text), NO_GPU, server=old).groups
        assert first.instances == ("m_0",)
        assert second.instances == ("m_1_0", "m_1_1")


class TestHardware:
    def test_gpus_below_the_minimum_capability_do_not_count(self) -> None:
        mixed = Hardware((Gpu(0, (5, 2)), Gpu(1, (6, 0)), Gpu(2, (12, 1))), simulated=True)
        assert predict(config(groups(GPU)), mixed).placement == gpu(1) + gpu(2)
        refusal = predict(config(groups(f"{GPU} gpus: [0]")), mixed).refusal
        assert refusal is not None
        assert refusal.reason == "gpu-id"
        assert refusal.text.endswith("are: 1, 2")

    def test_minimum_of_other_builds(self) -> None:
        server = ServerTraits(min_compute_capability=(7, 5))
        assert predict(config(""), simulated_gpus(1, (7, 0)), server=server).fallback
        assert predict(config(""), simulated_gpus(1, (7, 5)), server=server).placement == gpu(0)
        refusal = predict(config(groups(GPU + " gpus: [0]")), NO_GPU, server=server).refusal
        assert refusal is not None
        assert "compatibility of 7.500000 are: " in refusal.text

    def test_build_without_gpu_support(self) -> None:
        server = ServerTraits(gpu_support=False)
        refusal = predict(config(groups(GPU + " gpus: [0]")), simulated_gpus(2), server=server)
        assert refusal.refusal is not None
        assert refusal.refusal.reason == "no-gpu-support"
        for backend in ("mine", "python"):
            undeclared = predict(config("", backend=backend), simulated_gpus(2), server=server)
            assert undeclared.placement == cpu()
            assert undeclared.fallback

    def test_cuda_error_refuses_every_model(self) -> None:
        broken = Hardware((), simulated=False, cuda_error="unknown error")
        for text in (groups(CPU), groups(GPU), ""):
            refusal = predict(config(text), broken).refusal
            assert refusal is not None
            assert refusal.reason == "cuda"
            assert refusal.text == ("Internal: unable to get number of CUDA devices: unknown error")


class TestReleases:
    def test_before_2_36_a_preference_for_gpus_holds_without_one(self) -> None:
        old, new = ServerTraits(version=(2, 33, 0)), ServerTraits(version=(2, 36, 0))
        refusal = predict(config("", backend="python"), NO_GPU, server=old).refusal
        assert refusal is not None
        assert refusal.reason == "no-gpu"
        assert predict(config("", backend="python"), NO_GPU, server=new).fallback
        assert predict(config(groups(""), backend="python"), NO_GPU, server=old).fallback

    def test_before_2_36_no_backend_of_ones_own_on_a_known_platform(self) -> None:
        text = 'backend: "mine" platform: "onnxruntime_onnx"'
        old = predict(config(text), NO_GPU, server=ServerTraits(version=(2, 33, 0))).refusal
        assert old is not None
        assert (old.reason, old.stage) == ("config", "poll")
        assert predict(config(text), NO_GPU).ready


class TestOrder:
    """flaws of the config -> backend library -> groups -> inputs -> the backend's own word"""

    def test_backend_library_before_groups(self) -> None:
        server = ServerTraits(backends=frozenset({"python"}))
        prediction = predict(config(groups(GPU)), NO_GPU, server=server)
        assert prediction.refusal is not None
        assert prediction.refusal.reason == "backend-missing"
        assert "unable to find backend library for backend 'mine'" in prediction.refusal.text

    def test_config_before_backend_library(self) -> None:
        server = ServerTraits(backends=frozenset())
        prediction = predict(config("max_batch_size: -1"), NO_GPU, server=server)
        assert prediction.refusal is not None
        assert (prediction.refusal.reason, prediction.refusal.stage) == ("config", "poll")

    def test_groups_before_inputs_before_instances(self) -> None:
        bad_input = 'input { name: "IN" } output { name: "OUT" }'
        for text, gpus, reason in (
            (groups(GPU) + bad_input, 0, "no-gpu"),
            (groups(GPU) + bad_input, 1, "config"),
            (groups(CPU) + bad_input, 1, "config"),
            (groups(CPU), 1, "backend-gpu-only"),
        ):
            refusal = predict(config(text, backend="tensorrt"), simulated_gpus(gpus)).refusal
            assert refusal is not None
            assert (refusal.reason, refusal.stage) == (reason, "load")


class TestOnDisk:
    def refused(self, text: str, on_disk: OnDisk) -> str:
        read = config(text)
        if "name" not in text:
            read.name = ""
        refusal = predict(read, NO_GPU, on_disk=on_disk).refusal
        return refusal.reason if refusal else "ready"

    def test_name(self) -> None:
        assert self.refused('name: "m"', OnDisk("m")) == "ready"
        assert self.refused('name: "m"', OnDisk("other")) == "name"
        assert self.refused("", OnDisk("other")) == "ready"

    def test_versions(self) -> None:
        def policy(text: str, *versions: int) -> str:
            return self.refused(f"version_policy {{ {text} }}", OnDisk("m", versions))

        assert self.refused("", OnDisk("m", ())) == "version"
        assert policy("latest { num_versions: 0 }", 1) == "version"
        assert policy("latest { num_versions: 2 }", 1) == "ready"
        assert policy("all { }", 1) == "ready"
        assert policy("specific { versions: [ 2 ] }", 1) == "version"
        assert policy("specific { versions: [ 2, 1 ] }", 1) == "ready"
        assert policy("specific { }", 1) == "version"

    def test_no_config(self) -> None:
        from tritonclient.grpc.model_config_pb2 import ModelConfig

        def alone(file: str, name: str = "m") -> str:
            on_disk = OnDisk(name, files=frozenset({file}), has_config=False)
            refusal = predict(ModelConfig(), NO_GPU, on_disk=on_disk).refusal
            return refusal.reason if refusal else "ready"

        assert alone("model.onnx") == "ready"
        assert alone("model.onnx/") == "ready"
        assert alone("model.py") == "ready"
        assert alone("model.pt") == "no-config"
        assert alone("model.plan/") == "no-backend"
        assert alone("other.bin") == "no-backend"
        assert alone("other.bin", "m.mine") == "no-config"


class TestEnsembles:
    def outcome(self, gpus: int = 0, **texts: str) -> dict[str, str]:
        models = {n: Declared.of(config(text, name=n)) for n, text in texts.items()}
        predictions = predict_all(models, simulated_gpus(gpus))
        return {n: p.refusal.reason if p.refusal else "ready" for n, p in predictions.items()}

    def test_alone_it_has_no_instances(self) -> None:
        prediction = predict(config(ensemble("a")), NO_GPU)
        assert prediction.ready
        assert prediction.placement == NOTHING
        assert not prediction.fallback

    def test_with_an_instance_group(self) -> None:
        refusal = predict(config(ensemble("a") + groups(CPU)), NO_GPU).refusal
        assert refusal is not None
        assert (refusal.reason, refusal.stage) == ("ensemble", "poll")
        assert refusal.text == "instance group should not be specified for ensemble 'm'"

    def test_falls_with_its_models(self) -> None:
        models = {"pinned": groups(GPU), "e": ensemble("pinned"), "ee": ensemble("e")}
        assert self.outcome(0, **models) == {"pinned": "no-gpu", "e": "ensemble", "ee": "ensemble"}
        assert self.outcome(1, **models) == {"pinned": "ready", "e": "ready", "ee": "ready"}

    def test_needs_its_models(self) -> None:
        assert self.outcome(e=ensemble("gone"), ee=ensemble("e")) == {
            "e": "ensemble",
            "ee": "ensemble",
        }

    def message(self, *ensembles: str, versions: tuple[int, ...] = (1,), policy: str = "") -> str:
        """Why the last of the ensembles e0, e1, ... over `m`, which has these versions, fell."""
        models = {"m": declared(policy, on_disk=OnDisk("m", versions))}
        for index, text in enumerate(ensembles):
            name = f"e{index}"
            models[name] = Declared.of(config(text, name=name), on_disk=OnDisk(name))
        prediction = predict_all(models, NO_GPU)[name]
        if prediction.refusal is None:
            return "ready"
        assert (prediction.refusal.reason, prediction.refusal.stage) == ("ensemble", "poll")
        assert classify(prediction.refusal.text) == "ensemble"
        return prediction.refusal.text

    @pytest.mark.parametrize(
        ("asked", "there", "policy", "missing"),
        [
            (-1, (1,), "", None),
            (1, (1,), "", None),
            (None, (1,), "", 0),  # left out is version 0, not the newest
            (None, (0,), "", None),  # a directory 0/ is a version
            (0, (0, 1), "", 0),
            (3, (1,), "", 3),
            (-2, (1,), "", -2),
            (1, (1, 2), "", 1),  # without a policy only the newest is loaded
            (2, (1, 2), "", None),
            (10, (2, 10), "", None),
            (1, (1, 2), "all { }", None),
            (1, (1, 2, 3), "latest { num_versions: 2 }", 1),
            (2, (1, 2, 3), "latest { num_versions: 2 }", None),
            (2, (1, 2, 3), "specific { versions: [ 1, 3 ] }", 2),
            (3, (1, 2, 3), "specific { versions: [ 1, 3 ] }", None),
            (7, (1,), "specific { versions: [ 7, 7 ] }", None),
        ],
    )
    def test_version_that_a_step_asks_for(
        self, asked: int | None, there: tuple[int, ...], policy: str, missing: int | None
    ) -> None:
        text = f"version_policy {{ {policy} }}" if policy else ""
        message = self.message(ensemble("m", versions=[asked]), versions=there, policy=text)
        assert message == (
            "ready"
            if missing is None
            else f"ensemble 'e0' depends on 'm' whose required version {missing} is not loaded."
        )

    def test_of_several_versions_of_a_model_the_highest_missing_one_is_named(self) -> None:
        asked = ensemble("m", "m", "m", versions=[5, 1, 4])
        assert "required version 5 " in self.message(asked)

    def test_ensemble_of_an_ensemble_that_asks_for_a_wrong_version(self) -> None:
        inner = "ensemble 'e0' depends on 'm' whose required version 2 is not loaded."
        assert self.message(ensemble("m", versions=[2]), ensemble("e0")) == (
            "ensemble 'e1' depends on 'e0' which is not valid. Model 'e0' failed with error: "
            f"{inner}"
        )
        assert self.message(ensemble("m"), ensemble("e0", versions=[2])) == (
            "ensemble 'e1' depends on 'e0' whose required version 2 is not loaded."
        )

    def test_refused_model_is_named_before_the_version_asked_of_it(self) -> None:
        policy = "version_policy { all { } } " + groups(GPU)
        why = (
            "Invalid argument: instance group m_0 of model m has kind KIND_GPU but no GPUs are "
            "available"
        )
        message = self.message(ensemble("m", versions=[7]), versions=(2, 10), policy=policy)
        assert message == (
            "ensemble 'e0' depends on 'm' which has no loaded version. Model 'm' loading failed "
            f"with error: version 2 is at UNAVAILABLE state: {why};"
            f"version 10 is at UNAVAILABLE state: {why};"
        )

    def test_nothing_is_reported_of_versions_where_nobody_looked(self) -> None:
        assert self.outcome(m="", e=ensemble("m", versions=[3])) == {"m": "ready", "e": "ready"}

    def test_first_missing_model_is_named(self) -> None:
        assert self.message(ensemble("m", "z", "a", versions=[3])).endswith("or ambiguous: z")

    def test_why_it_fell_is_among_the_steps(self) -> None:
        models = {"p": declared(groups(GPU)), "e": Declared.of(config(ensemble("p"), name="e"))}
        steps = predict_all(models, NO_GPU)["e"].steps
        assert "'e' depends on 'p'" in steps[-1]


@pytest.mark.parametrize(
    ("text", "backend", "reason"),
    [
        (groups(f"{CPU} gpus: [0]"), "mine", "cpu-with-gpus"),
        (groups("kind: KIND_MODEL gpus: [0]"), "mine", "model-with-gpus"),
        (groups(f"{GPU} gpus: [-1]"), "mine", "gpu-id"),
        (groups(GPU), "openvino", "backend-cpu-only"),
        (groups(CPU), "tensorrt", "backend-gpu-only"),
        ("max_batch_size: -1", "mine", "config"),
        (groups(GPU), "mine", None),
        (groups(f"{GPU} gpus: [2147483647]"), "mine", None),
        (groups("gpus: [3]"), "mine", None),
        (groups(""), "openvino", None),
        ("", "tensorrt", None),
    ],
)
def test_refused_everywhere(text: str, backend: str, reason: str | None) -> None:
    refusal = refused_everywhere(config(text, backend=backend))
    assert (refusal.reason if refusal else None) == reason


def test_explanation_names_the_rules() -> None:
    steps = explain(config("", backend="onnxruntime"), NO_GPU)
    text = "\n".join(steps)
    assert "has no GPU" in steps[0]
    assert "No instance_group is declared" in text
    assert "KIND_AUTO becomes KIND_CPU" in text
    assert "onnxruntime gets 2 instances" in text
    assert "fallback" in text
    refused = explain(config(groups("gpus: [0, 5]")), simulated_gpus(1))
    assert "GPU 5 is not there" in "\n".join(refused)
    assert refused[-1].startswith("The whole model is refused: Invalid argument:")


@given(cases(), st.integers(0, 4), st.sampled_from([(2, 33, 0), (2, 51, 0)]))
def test_whatever_is_declared(case: Case, gpus: int, version: tuple[int, int, int]) -> None:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    named = case.named("m")
    read = Declared.of(named.config or ModelConfig(), on_disk=named.on_disk("m"))
    hardware = simulated_gpus(gpus)
    server = ServerTraits(version=version)
    prediction = predict(read, hardware, server=server)
    assert prediction == predict(read, hardware, server=server)
    assert prediction.ready == (prediction.refusal is None)
    assert set(prediction.placement.devices) <= set(range(gpus))
    assert prediction.placement.total == sum(len(group.instances) for group in prediction.groups)
    if prediction.fallback:
        assert gpus == 0
        assert read.can_fall_back
        assert not read.is_explicit
        richer = predict(read, simulated_gpus(1), server=server)
        assert richer.refusal is not None or richer.placement.devices
    if read.pins_gpu:
        assert not prediction.ready or prediction.placement.devices
    everywhere = refused_everywhere(read, server=server)
    if everywhere is not None:
        assert not prediction.ready
    assert len(prediction.steps) >= 2


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("kind: KIND_GPU gpus: [ 7 ]", "gpus"),
        ("kind: KIND_CPU gpus: [ 0 ]", "gpus"),
        ("kind: KIND_MODEL gpus: [ 0 ]", "gpus"),
        ('kind: KIND_GPU profile: "-1"', "profile"),
        ('kind: KIND_GPU profile: "2147483648"', "profile"),
        ("kind: 9", "kind"),
    ],
)
def test_refusal_of_a_group_names_the_field_that_is_wrong(text: str, field: str) -> None:
    read = config(groups("kind: KIND_CPU", text), backend="tensorrt" if "pro" in text else "mine")
    refusal = predict(read, simulated_gpus(1)).refusal
    assert refusal is not None
    assert refusal.diagnostic is not None
    assert refusal.diagnostic.field == f"instance_group[1].{field}"


@pytest.mark.parametrize(
    ("group", "instances"),
    [
        (ResolvedGroup("g", "GPU", 2, (0, 3)), ("g_0", "g_0", "g_1", "g_1")),
        (ResolvedGroup("g", "CPU", 2), ("g_0", "g_1")),
        (ResolvedGroup("g", "MODEL", 1), ("g_0",)),
        (ResolvedGroup("g", "CPU", 1, numbered=False), ("g",)),
        (ResolvedGroup("g", "GPU", 1, (0, 3), numbered=False), ("g", "g")),
        (ResolvedGroup("g", "CPU", 2, numbered=False), ("g_0", "g_1")),
    ],
)
def test_instances_of_a_group_have_its_name_and_a_number(
    group: ResolvedGroup, instances: tuple[str, ...]
) -> None:
    assert group.instances == instances
    assert group.placement.total == len(instances)


@pytest.mark.parametrize(("versions", "named"), [(None, (1,)), ((3,), (3,)), ((2, 4), (4,))])
def test_ensemble_names_the_versions_of_a_model_that_is_refused(
    versions: tuple[int, ...] | None, named: tuple[int, ...]
) -> None:
    on_disk = None if versions is None else OnDisk("a", versions)
    models = {
        "a": Declared.of(config(groups(GPU), name="a"), on_disk=on_disk),
        "e": Declared.of(config(ensemble("a"), name="e")),
    }
    refused = predict_all(models, NO_GPU)
    assert refused["a"].refusal is not None
    assert refused["e"].refusal is not None
    message = refused["a"].refusal.text
    states = "".join(f"version {n} is at UNAVAILABLE state: {message};" for n in named)
    assert refused["e"].refusal.text.endswith(f"loading failed with error: {states}")


@pytest.mark.parametrize(
    ("group", "gpus", "expected"),
    [
        (
            "",
            2,
            "KIND_AUTO becomes KIND_GPU, as there is a GPU; no gpus are listed, so it takes "
            "all: 0, 1; 1 instance on each GPU.",
        ),
        ("", 0, "KIND_AUTO becomes KIND_CPU, as there is no GPU to use; 1 instance."),
        ("gpus: [ 3, 0 ]", 1, "KIND_AUTO becomes KIND_CPU, as GPU 3 is not there"),
        (f"{GPU} count: 2 gpus: [ 0 ]", 1, "KIND_GPU; gpus 0; 2 instances."),
        (f"{CPU} count: 2", 1, "KIND_CPU; 2 instances."),
        ("kind: 9", 0, "kind 9; 1 instance."),
    ],
)
def test_step_of_a_group_says_why_it_has_its_kind(group: str, gpus: int, expected: str) -> None:
    read = config(groups(f'name: "g" {group}' + ("" if "count" in group else " count: 1")))
    (step,) = (s for s in explain(read, simulated_gpus(gpus)) if s.startswith("Group g"))
    assert step.startswith(f"Group g: {expected}")


@pytest.mark.parametrize(
    ("limits", "group", "refused"),
    [
        ({0: {"R": 2}}, CPU, False),  # instances on the CPU are counted on device 0
        ({1: {"R": 2}}, CPU, True),
        ({-1: {"R": 2}}, CPU, False),
        ({0: {"R": 2}}, f"{GPU} gpus: [ 0 ]", False),
        ({0: {"R": 2}}, f"{GPU} gpus: [ 0, 1 ]", True),
    ],
)
def test_resources_of_a_group_are_those_of_its_devices(
    limits: dict[int, dict[str, int]], group: str, refused: bool
) -> None:
    text = groups(f'{group} rate_limiter {{ resources {{ name: "R" count: 2 }} }}')
    server = ServerTraits(rate_limits=RateLimits(limits))
    models = {"m": Declared.of(config(text))}
    assert (predict_all(models, simulated_gpus(2), server=server)["m"].refusal is not None) == (
        refused
    )


def test_ensemble_names_the_first_step_that_asks_for_a_version_that_is_not_there() -> None:
    models = {
        "a": Declared.of(config("", name="a"), on_disk=OnDisk("a", (1, 2))),
        "b": Declared.of(config("", name="b"), on_disk=OnDisk("b", (1,))),
    }
    found = {}
    for versions in ((2, 1, 7), (-1, -1, None)):
        text = ensemble("a", "b", "a", versions=versions)
        every = {**models, "e": Declared.of(config(text, name="e"))}
        refusal = predict_all(every, NO_GPU)["e"].refusal
        assert refusal is not None
        assert refusal.diagnostic is not None
        found[versions] = (refusal.diagnostic.field, refusal.diagnostic.message)
    place = "ensemble_scheduling.step[2].model_version"
    assert found == {
        (2, 1, 7): (place, "step 2 asks for version 7 of `a`; loaded: 2"),
        (-1, -1, None): (
            place,
            "step 2 has no model_version, which means version 0 of `a`; loaded: 2",
        ),
    }
