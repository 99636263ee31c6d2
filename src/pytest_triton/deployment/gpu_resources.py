"""What Kubernetes' resources grant of NVIDIA GPUs: `nvidia.com/gpu`, and those of other plugins.

The names are those that device plugins and schedulers register: NVIDIA's (with time slicing, MIG,
and sandboxed GPUs called by their model), HAMi's, Volcano's, Koordinator's, and clouds'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches

from pytest_triton.deployment.deployed_server import Grant
from pytest_triton.deployment.yaml_file import BadYaml, Node, Place

_COUNTS = re.compile(
    r"nvidia\.com/(?:[vp]?gpu(?:\.shared)?|gpu-\d+gb|gpu-(?!mem|core)[\w.-]+|"
    r"mig-(?:\d+c\.)?\d+g\.\d+gb(?:[.+-][\w.+-]+)?|[A-Z][A-Z0-9]+[\w.-]*)|"
    r"(?:aliyun|alibabacloud)\.com/gpu(?:-count)?|"
    r"volcano\.sh/(?:v?gpu-number|vgpu)|k8s\.amazonaws\.com/vgpu|koordinator\.sh/gpu\.shared|"
    r"4paradigm\.com/vgpu|alpha\.kubernetes\.io/nvidia-gpu",
    re.ASCII,
)
# 100 of them are a GPU.
_HUNDREDTHS = re.compile(
    r"[\w.-]+/vcuda-core|koordinator\.sh/gpu(?:-core|-memory-ratio)?|"
    r"tke\.cloud\.tencent\.com/qgpu-core|elasticgpu\.io/q?gpu-(?:core|percent)",
    re.ASCII,
)
# Memory, or compute, of a GPU that the plugin chooses.
_PARTS = re.compile(
    r"(?:aliyun|alibabacloud)\.com/gpu-(?:mem|core[\w.]*)|"
    r"[\w.-]+/vcuda-memory|volcano\.sh/v?gpu-(?:mem|core)[\w.-]*|koordinator\.sh/gpu-memory|"
    r"tke\.cloud\.tencent\.com/qgpu-memory|elasticgpu\.io/q?gpu-memory|"
    r"vke\.volcengine\.com/m?gpu-[\w.-]+|baidu\.com/[\w.-]*cgpu[\w.-]*",
    re.ASCII,
)
# HAMi's: they say how much of the GPUs that nvidia.com/gpu counts.
_BESIDE = re.compile(r"nvidia\.com/(?:gpumem(?:-percentage)?|gpucores|priority)", re.ASCII)
_OTHERS = (
    (re.compile(r"(?:[\w-]+\.)*amd\.com/.*", re.ASCII), "AMD's"),
    (
        re.compile(r"(?:[\w-]+\.)*intel\.com/(?:i915|xe|gpu|npu|tile|monitoring).*", re.ASCII),
        "Intel's",
    ),
    (re.compile(r"gpu\.intel\.com/.*", re.ASCII), "Intel's"),
    (re.compile(r"habana\.ai/.*", re.ASCII), "Intel's (Gaudi)"),
    (re.compile(r"(?:cloud-tpus\.google|google)\.com/.*", re.ASCII), "Google's"),
    (re.compile(r"(?:[\w-]+\.)*aws\.amazon\.com/neuron.*", re.ASCII), "AWS'"),
    (re.compile(r"huawei\.com/(?:Ascend|npu).*", re.ASCII), "Huawei's"),
    (re.compile(r"cambricon\.com/.*", re.ASCII), "Cambricon's"),
    (re.compile(r"hygon\.com/.*", re.ASCII), "Hygon's"),
    (re.compile(r"metax-tech\.com/.*", re.ASCII), "MetaX'"),
    (re.compile(r"mthreads\.com/.*", re.ASCII), "Moore Threads'"),
    (re.compile(r"iluvatar\.(?:ai|com)/.*", re.ASCII), "Iluvatar's"),
    (re.compile(r"enflame\.com/.*", re.ASCII), "Enflame's"),
    (re.compile(r"(?:kunlunxin\.com/.*|baidu\.com/.*xpu.*)", re.ASCII), "Kunlunxin's"),
    (re.compile(r"birentech\.com/.*", re.ASCII), "Biren's"),
    (re.compile(r"qualcomm\.com/qaic.*", re.ASCII), "Qualcomm's"),
    (
        re.compile(r"furiosa\.ai/.*|rebellions\.ai/.*|tenstorrent\.com/.*", re.ASCII),
        "another vendor's",
    ),
)
_NVIDIAS = ("gpu", "gpu.shared", "gpumem", "gpumem-percentage", "gpucores", "vgpu", "pgpu")
_IN_CAPITALS = re.compile(r"nvidia\.com/(?!gpu)(?i:gpu)", re.ASCII)  # `GPU` is no model
_MAY_BE_GPUS = re.compile(r"gpu|cuda|nvidia", re.IGNORECASE | re.ASCII)
_GPU = "nvidia.com/gpu"
_QUANTITY = re.compile(r"([+-]?[\d.]+)(?:(m|k|[MGTPE]|[KMGTPE]i)|[eE]([+-]?\d{1,2}))?", re.ASCII)
_FACTORS: Mapping[str | None, Decimal] = {
    None: Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** n for n, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": Decimal(1024) ** n for n, unit in enumerate("KMGTPE", 1)},
}


def granted_by(container: Node) -> tuple[Grant, Place | None]:
    """The GPUs of a container's limits, and where they stand.

    Raises BadYaml for what Kubernetes refuses, and for names that are misspelt.
    """
    limits = container.get("resources", "limits")
    entries: Mapping[str, Node] = limits.entries if limits is not None else {}
    keys = limits.keys if limits is not None else {}
    _check_requests(container, entries)
    whole, hundredths, parts = 0, 0, 0
    place: Place | None = None
    other: list[str] = []
    unknown = ""
    for name, amount in entries.items():
        kind = _kind(name, keys[name])
        if not kind:
            continue
        count = _counted(name, amount, keys[name])
        place = place or keys[name]
        if kind == "count":
            whole += count
        elif kind == "hundredths":
            hundredths = max(hundredths, -(-count // 100))
        elif kind == "part":
            parts = max(parts, min(count, 1))
        elif kind == "unknown":
            unknown = f"{name} isn't known to be of NVIDIA GPUs"
        elif count:
            other.append(kind)
    total = whole or hundredths or parts
    if total or (place is not None and not other and not unknown):
        return Grant("count", total) if total else Grant(), place
    if unknown:
        return Grant("unknown", unknown=unknown, others=f"{unknown}: --target counts them"), place
    claims = container.get("resources", "claims")
    if claims is not None:
        why = "resource claims (DRA) say elsewhere what they stand for"
        return Grant("unknown", unknown=why), claims.place
    return Grant(others="; ".join(other)), place


def _kind(name: str, place: Place) -> str:
    """`count`, `hundredths`, `part`, `unknown`, "" for what has nothing to do with GPUs, or why it
    grants none. Raises BadYaml for a misspelt name."""
    if _COUNTS.fullmatch(name) and not _IN_CAPITALS.match(name):
        return "count"
    if _HUNDREDTHS.fullmatch(name):
        return "hundredths"
    if _PARTS.fullmatch(name):
        return "part"
    if _BESIDE.fullmatch(name):
        return f"{name} is a share (HAMi's) of the GPUs that {_GPU} counts"
    for pattern, whose in _OTHERS:
        if pattern.fullmatch(name):
            return f"{name} is {whose}, and Triton's KIND_GPU needs {_GPU}"
    meant = _meant(name)
    if meant:
        raise BadYaml(
            f"{place}: no device plugin has the resource {name}: the pod stays Pending, or has no "
            "GPU.",
            fix=f"did you mean {meant}?",
        )
    return "unknown" if "/" in name and _MAY_BE_GPUS.search(name.partition("/")[2]) else ""


def _meant(name: str) -> str:
    """The resource that a misspelt name stands for, "" if it isn't one."""
    domain, slash, rest = name.partition("/")
    if not slash:
        return _GPU if "nvidia" in name.lower() or name.lower() in ("gpu", "gpus") else ""
    is_nvidias = domain == "nvidia.com"
    close = get_close_matches(domain.lower(), ["nvidia.com"], n=1, cutoff=0.75)
    if not is_nvidias and not close and domain.lower() != "nvidia":
        return ""
    if rest.lower().startswith("mig"):
        return "nvidia.com/mig-1g.5gb (mig-SLICESg.MEMORYgb)"
    found = get_close_matches(rest.lower(), _NVIDIAS, n=1, cutoff=0.75)
    if found:
        return f"nvidia.com/{found[0]}"
    return "" if is_nvidias else _GPU


def _counted(name: str, amount: Node, place: Place) -> int:
    """The whole number that a limit is. Raises BadYaml for any other."""
    text = amount.text or ""
    found = _QUANTITY.fullmatch(text.strip())
    try:
        value = None if found is None else Decimal(found[1])
    except InvalidOperation:
        value = None
    if found is not None and value is not None:
        value *= Decimal(10) ** int(found[3]) if found[3] else _FACTORS[found[2]]
    if value is None or not 0 <= value <= 10**9 or value != int(value):
        raise BadYaml(
            f"{place}: {name}: {text or 'nothing'} is no whole number, and Kubernetes refuses the "
            "pod.",
            fix=f"write a number: {name}: 1",
        )
    return int(value)


def _check_requests(container: Node, limits: Mapping[str, Node]) -> None:
    """What Kubernetes asks of extended resources: a limit, and no request that differs from it."""
    requests = container.get("resources", "requests")
    for name, amount in (requests.entries if requests is not None else {}).items():
        place = requests.keys[name] if requests is not None else container.place
        kind = _kind(name, place)
        if not kind:
            continue
        count = _counted(name, amount, place)
        if name not in limits:
            raise BadYaml(
                f"{place}: {name} is requested and not limited, and Kubernetes refuses the pod.",
                fix=f"write it in resources.limits: {name}: {count}",
            )
        limit = _counted(name, limits[name], place)
        if limit != count:
            raise BadYaml(
                f"{place}: {count} of {name} are requested and {limit} are the limit; Kubernetes "
                "refuses the pod where they differ.",
                fix=f"write the same number in both, or leave {name} out of resources.requests",
            )
