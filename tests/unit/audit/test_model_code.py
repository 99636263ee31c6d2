"""How the code of python models is followed: through helpers and modules, within bounds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_triton.audit.model_code import facts
from pytest_triton.audit.model_code.importing import obstacles
from pytest_triton.audit.model_code.source import SIZE_LIMIT
from pytest_triton.audit.model_code.uses import uses
from pytest_triton.diagnostics.diagnostic import Diagnostic
from support.audit_examples import audit_files, ids

HEAD = "import torch\nclass TritonPythonModel:\n  def execute(self, requests): return []\n"
HEAD += "  def initialize(self, args):\n"
GPU, CPU = "kind: KIND_GPU", "kind: KIND_CPU"


def findings(
    root: Path,
    code: str,
    group: str = GPU,
    target: int | None = None,
    more: str = "",
    files: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Diagnostic, ...]:
    config = f'backend: "python"\ninstance_group [ {{ {group} }} ]\n{more}'
    return audit_files(root, {"m/config.pbtxt": config, "m/1/model.py": code, **files}, target)


@pytest.mark.parametrize(
    ("body", "group", "target", "expected"),
    [
        ('self.m = load().to("cuda:1")', GPU, None, ["TRT221"]),
        ('self.m = load().to("cuda:1")', f"{GPU} gpus: [ 1 ]", None, []),
        ('self.m = load().to("cuda:0")', GPU, 1, []),
        ('self.m = load().to("cuda:0")', GPU, 2, ["TRT221"]),
        ("self.m = load().cuda(2)", GPU, None, ["TRT221"]),
        ("self.m = load().cuda(device=2)", GPU, None, ["TRT221"]),
        ("self.m = load().cuda()", f"{GPU} gpus: [ 0 ]", None, []),
        ('self.m = load().to("cuda")', f"{GPU} gpus: [ 0, 1 ]", None, ["TRT220"]),
        ('place(args); self.m = load().to("cuda")', GPU, 2, []),  # who knows what place does
        ('self.args = args; self.m = load().to("cuda")', GPU, 2, ["TRT220"]),
        ("self.m = load()", GPU, 2, []),
        ('self.m = load().to("cuda")', CPU, None, ["TRT223"]),
        (
            'self.m = load().to("cuda" if torch.cuda.is_available() else "cpu")',
            CPU,
            None,
            ["TRT223"],
        ),
        ('self.m = load().to("cuda" if args["x"] else "cpu")', CPU, None, []),
        ("self.m = torch.nn.DataParallel(load())", GPU, 1, []),
        ("self.m = torch.nn.DataParallel(load())", GPU, 2, ["TRT225"]),
        ("self.m = torch.nn.DataParallel(load())", "kind: KIND_MODEL", 2, []),
        ('self.m = load().to(("cpu", "cuda")[torch.cuda.is_available()])', GPU, 1, ["TRT224"]),
        ('self.m = load().to(torch.cuda.is_available() and "cuda" or "cpu")', GPU, 1, ["TRT224"]),
    ],
)
def test_code_against_groups_and_target(
    tmp_path: Path, body: str, group: str, target: int | None, expected: list[str]
) -> None:
    assert ids(findings(tmp_path, f"{HEAD}    {body}\n", group, target)) == expected


def test_mixed_groups_are_read_for_each_kind(tmp_path: Path) -> None:
    code = f'{HEAD}    self.m = load().to("cuda:" + args["model_instance_device_id"])\n'
    groups = f"{GPU} }}, {{ {CPU} count: 1"
    assert ids(findings(tmp_path, code, groups)) == ["TRT223", "TRT112"]


def test_place_of_finding_counts_characters(tmp_path: Path) -> None:
    code = f'{HEAD}    self.é = "ü"; self.m = x.to("cuda:3")\n'
    (finding,) = findings(tmp_path, code)
    assert (finding.line, finding.column) == (5, 28)


def test_further_places_are_counted_in_one_finding(tmp_path: Path) -> None:
    body = "".join(f'    self.m{n} = x.to("cuda")\n' for n in range(4))
    (finding,) = findings(tmp_path, HEAD + body)
    assert finding.message.endswith("(and in 3 more places)")


HELPER = 'import torch\ndef device():\n  return "cuda" if torch.cuda.is_available() else "cpu"\n'


@pytest.mark.parametrize(
    ("files", "statement"),
    [
        ({"m/1/helper.py": HELPER}, "from helper import device"),
        ({"m/1/helper.py": HELPER}, "from .helper import device"),
        ({"m/1/helper.py": HELPER}, "import helper; device = helper.device"),
        ({"m/1/helper.py": HELPER}, "from . import helper; device = helper.device"),
        ({"m/helper.py": HELPER}, "from helper import device"),
        ({"m/1/kit/__init__.py": "", "m/1/kit/helper.py": HELPER}, "from kit.helper import device"),
        ({"m/1/kit/__init__.py": "from .helper import *", "m/1/kit/helper.py": HELPER},
         "from kit import device"),
    ],
)  # fmt: skip
def test_modules_beside_the_model_are_followed(
    tmp_path: Path, files: dict[str, str], statement: str
) -> None:
    code = f"{statement}\n{HEAD}    self.m = load().to(device())\n"
    assert ids(findings(tmp_path, code, GPU, 1, files=files)) == ["TRT224"]


def test_inherited_and_split_methods_are_followed(tmp_path: Path) -> None:
    code = """\
import torch
class Base:
  device = "cuda"
  def setup(self, model):
    self.model = model.to(self.device)
  @property
  def other(self):
    return self._pick(1)
  @staticmethod
  def _pick(number):
    return f"cuda:{number}"
class TritonPythonModel(Base):
  def initialize(self, args):
    self.setup(load())
  def execute(self, requests):
    for request in requests:
      x = torch.ones(3, device=self.other)
    return []
"""
    found = findings(tmp_path, code)
    assert [(one.rule, one.line) for one in found] == [("TRT220", 5), ("TRT221", 17)]


def test_device_from_a_parameter_is_that_of_the_config(tmp_path: Path) -> None:
    code = (
        "import json\n"
        + HEAD
        + '    p = json.loads(args["model_config"])["parameters"]\n'
        + '    p = {k: v["string_value"] for k, v in p.items()}\n'
        + '    self.m = load().to(p.get("device", "cpu"))\n'
    )
    parameter = 'parameters { key: "device" value { string_value: "cuda:1" } }\n'
    assert ids(findings(tmp_path / "a", code, more=parameter)) == ["TRT221"]
    assert ids(findings(tmp_path / "b", code)) == []


PARAMETERS = '    p = json.loads(args["model_config"])["parameters"]\n'


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ('p["a"]["string_value"]', ["a"]),
        ('p["a"]["string_value"]; p["b"]["string_value"]; p["a"]', ["a", "b"]),
        ('p.get("a")["string_value"]', ["a"]),
        ('p["there"]["string_value"]', []),
        ('p.get("a", {"string_value": "1"})["string_value"]', []),
        ('if "a" in p: p["a"]["string_value"]', []),
        ('x = p["a"] if "a" in p else None', []),
        ('if p.get("a"): p["a"]["string_value"]', []),
        ('x = (p.get("a") or {}).get("string_value", "1")', []),
        ('if args["other"]: p["a"]', []),
        ('[p[name]["string_value"] for name in ("there", "c")]', ["c"]),
        ("def get(name): return p[name]['string_value']\n    get('d')", ["d"]),
    ],
)
def test_parameters_that_the_config_lacks(tmp_path: Path, body: str, missing: list[str]) -> None:
    code = "import json\n" + HEAD + PARAMETERS + f"    {body}\n"
    parameter = 'parameters { key: "there" value { string_value: "1" } }\n'
    found = findings(tmp_path, code, CPU, more=parameter)
    assert [one.message.split("'")[1] for one in found] == missing
    assert set(ids(found)) <= {"TRT233"}


def test_parameter_error_that_is_handled_is_no_finding(tmp_path: Path) -> None:
    code = (
        "import json\n" + HEAD + PARAMETERS + '    try:\n      p["a"]\n    except KeyError: pass\n'
    )
    assert findings(tmp_path, code, CPU) == ()


ADVERSARIAL = {
    "null byte": "import torch\x00",
    "no code": "def f(:\n  'cuda'",
    "minus signs": "x = 'cuda'" + "-" * 100_000 + "1",
    "parentheses": "x = 'cuda' + " + "(" * 5_000,
    "lists": "x = 'cuda' + " + "[" * 150 + "]" * 150,
    "additions": HEAD + "    x = 'cuda'" + " + 'a'" * 20_000,
    "attributes": HEAD + "    x = torch" + ".a" * 20_000,
    "nots": HEAD + "    y = " + "not " * 20_000 + "1",
    "lambdas": HEAD + "    x = " + "lambda: " * 5_000 + "'cuda'",
    "unfinished": "'cuda'\n" + "if 1:\n" * 3,
    "escape that warns": "'cuda' '\\d'",
    "branches": HEAD + "    x = 1\n" + "    if args['a']: x = 'cuda'\n" * 8_000,
    "doubling": HEAD + "    a = ['cuda']\n" + "    a = [a, a]\n" * 1_000,
    "doubling text": HEAD + "    a = 'cuda'\n" + "    a = a + a\n" * 1_000,
    "doubling calls": "".join(f"def f{n}():\n  f{n + 1}(); f{n + 1}()\n" for n in range(40))
    + "def f40(): x.cuda()\n"
    + HEAD
    + "    f0()\n",
    "recursion": "def f(): g(); g()\ndef g(): f(); f()\n" + HEAD + "    f()\n",
    "loops": HEAD + "    t = [1, 2, 3, 4, 5, 6, 7]\n    "
    + "".join("for x in t:\n    " + " " * (n + 1) for n in range(15)) + "x.cuda()\n",
    "comprehension": HEAD + "    x = [0 " + "for a in [1,2,3,4,5,6,7,8] " * 20 + "]\n",
    "f-string": HEAD + "    x = f'" + "{args}" * 5_000 + "'\n",
    "bases": "class A0: pass\n" + "".join(f"class A{n + 1}(A{n}, A{n}): pass\n" for n in range(500))
    + HEAD + "    A500()\n",
    "imports": "".join(f"import m{n}\n" for n in range(10_000)) + HEAD + "    x.cuda()\n",
    "base of itself": "class TritonPythonModel(TritonPythonModel):\n  pass\n'cuda'",
}  # fmt: skip


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_code_is_read_within_bounds(tmp_path: Path, name: str) -> None:
    path = tmp_path / "m" / "1" / "model.py"
    path.parent.mkdir(parents=True)
    path.write_text(ADVERSARIAL[name])
    assert isinstance(uses(path, (), True, True), tuple)
    assert isinstance(obstacles(path, tmp_path), tuple)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            (
                *("if x:", "for a in b:", "while True:", "try:", "except KeyError:", "finally:"),
                *("def f(a, *b, **c):", "class A(B):", "with torch.cuda.device(1):", "else:"),
                *("x.cuda()", "self.m = x.to('cuda')", "return f(1)", "raise KeyError", "break"),
                *("f(**{'device': 'cuda'})", "p = [*p, 1]", "a, *b = c", "del x", "global x"),
                *("x = y = {1: 2, **z}", "x: int = 1", "x += 1", "yield x", "await x", "pass"),
                *("import torch.cuda as c", "from . import *", "x[1:2] = 3", "match x:"),
                *("  case 1:", "async def g():", "lambda: x", "assert x, y", "x = -y if z else {}"),
            )
        ).flatmap(lambda text: st.integers(2, 8).map(lambda depth: "  " * depth + text)),
        max_size=12,
    )
)
def test_any_code_is_read(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.mktemp("m") / "model.py"
    path.write_text(HEAD + "\n".join(["    x = torch", *lines]) + "\n")
    assert isinstance(uses(path, (), True, True), tuple)
    assert isinstance(obstacles(path), tuple)


@given(st.text(alphabet="cuda:0\"'.()\n torchimpselfxargs=[]{},+-*#\\éü", max_size=200))
def test_any_text_is_read(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("m") / "model.py"
    path.write_text(text)
    assert isinstance(uses(path, (), True, True), tuple)
    assert isinstance(obstacles(path), tuple)


@pytest.mark.parametrize(
    "line",
    [
        "type Vector = list[float]",
        "def first[T](items: list[T]) -> T: ...",
        "class Box[T]: ...",
        "x = f'{args['a']}'",
        "try: pass\nexcept* ValueError: pass",
        "try: pass\nexcept ValueError, KeyError: pass",
    ],
)
def test_syntax_of_newer_python_is_no_finding(tmp_path: Path, line: str) -> None:
    assert findings(tmp_path, f"{line}\n{HEAD}    pass\n", CPU) == ()


@pytest.mark.parametrize(
    "line",
    [
        "print 'x'",
        "def f(:",
        "x = (",
        "   x = 1",
        "return 1",
        "x = 'a",
        "class A\n  pass",
        "await x",
    ],
)
def test_syntax_error_is_found(tmp_path: Path, line: str) -> None:
    assert ids(findings(tmp_path, f"{HEAD}    pass\n{line}\n", CPU)) == ["TRT230"]


def test_modules_that_import_each_other_are_read_once(tmp_path: Path) -> None:
    files = {"m/1/a.py": "import b, model\n", "m/1/b.py": "import a\nfrom . import a, b\n"}
    code = f'import a\nfrom .b import a\n{HEAD}    self.m = x.to("cuda")\n'
    assert ids(findings(tmp_path, code, files=files)) == ["TRT220"]


def test_files_that_are_no_code_have_no_findings(tmp_path: Path) -> None:
    (tmp_path / "huge.py").write_text("'cuda'\n" + "#" * SIZE_LIMIT)
    (tmp_path / "loop.py").symlink_to("loop.py")
    os.mkfifo(tmp_path / "pipe.py")
    for name in ("huge.py", "loop.py", "pipe.py", "gone.py", "."):
        assert uses(tmp_path / name, (), True, True) == ()
        assert obstacles(tmp_path / name) == ()


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("torch.jit.load", "jit.load"),
        ("torch.load", "load"),
        ("transformers.AutoModel.from_pretrained", "*.from_pretrained"),
        ("transformers.models.bert.BertModel.from_pretrained", "*.from_pretrained"),
        ("transformers.pipelines.pipeline", "pipeline"),
        ("tensorflow.keras.models.load_model", "models.load_model"),
        ("torchvision.models.detection.ssd300_vgg16", "models.*.*"),
        ("sentence_transformers.SentenceTransformer", "SentenceTransformer"),
        ("torch.nn.Linear", None),
        ("mylibrary.load", None),
        ("torch", None),
    ],
)
def test_fact_is_found_by_library_and_end_of_name(name: str, call: str | None) -> None:
    fact = facts.place(name)
    assert (fact.call if fact is not None else None) == call


def test_each_fact_has_a_source() -> None:
    for table in (facts.PLACES, facts.METHODS.values(), facts.SELECTS, facts.ASKS):
        for fact in table:
            assert fact.source, fact
