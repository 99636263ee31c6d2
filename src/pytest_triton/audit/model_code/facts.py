"""What libraries do with devices: the tables that the reader of model.py looks things up in.

A call is named by its library and the end of its dotted name; `*` stands for one part, so that
`transformers` and `*.from_pretrained` are every class of it. The sources are the libraries' own
documentation and code; each row names the page, class or function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

Form = Literal["torch", "index", "map", "providers", "flag", "count", "tensorflow", "target"]
"""How an argument names a device.

torch: "cuda:1", 1, a torch.device; index: 1, None or below 0 for the CPU, a list for several;
map: accelerate's device_map; providers: onnxruntime's list; flag: True for the GPU; count: how
many GPUs; tensorflow: "/GPU:1"; target: a constant of OpenCV.
"""

Default = Literal["cpu", "gpu", "auto", "all", "saved", "varies", "none"]
"""What a call takes if its arguments don't say.

cpu: it stays there; gpu: the current GPU, else an error; auto: the current GPU if it sees one,
else the CPU, without an error; all: all GPUs; saved: the device that a file was saved from;
varies: "cpu" in some releases, "auto" in others; none: it doesn't place anything.
"""


@dataclass(frozen=True)
class Place:
    """A call that puts something on a device.

    `device`: the arguments that name it, by keyword, or by position (from 0). `number`: those with
    the GPU's number, where `device` has only its kind. `without_gpu`: what becomes of a request
    for a GPU where there is none. `scope`: what selects its current GPU. `model`: what it returns
    stays where it is until it is moved. `gpu_with`: arguments with which it takes the current GPU
    if no other says. `later`: places at the first call of these methods of
    what is returned ("" is a call of the object itself).
    """

    library: str
    call: str
    device: tuple[str | int, ...] = ()
    form: Form = "torch"
    default: Default = "none"
    number: tuple[str | int, ...] = ()
    without_gpu: Literal["error", "cpu"] = "error"
    scope: str = "cuda"
    model: bool = False
    gpu_with: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    source: str = ""

    @property
    def name(self) -> str:
        return self.call.removeprefix("*.")


@dataclass(frozen=True)
class Select:
    """A call that makes a GPU the current one: of its scope, from then on or in a `with`."""

    library: str
    call: str
    argument: tuple[str | int, ...]
    scope: str
    only_with: bool = False
    form: Form = "torch"
    source: str = ""


@dataclass(frozen=True)
class Ask:
    """A call that says whether there are GPUs.

    `answer`: a bool, a count, a list of all devices or of GPUs only, or a name.
    """

    library: str
    call: str
    answer: Literal["bool", "count", "gpus", "devices", "providers", "name", "device"]
    source: str = ""


_MAPS = ("device_map",)
_QUANTIZED = ("load_in_8bit", "load_in_4bit", "quantization_config")
_CLASSES = "class documentation"

PLACES: tuple[Place, ...] = (
    # PyTorch
    *(
        Place("torch", call, ("device",), source="torch.tensor and other creation functions")
        for call in (
            *("tensor", "as_tensor", "asarray", "zeros", "ones", "empty", "full", "arange"),
            *("linspace", "eye", "rand", "randn", "randint", "randperm", "zeros_like"),
            *("ones_like", "empty_like", "full_like", "rand_like", "randn_like", "Generator"),
        )
    ),
    Place("torch", "load", ("map_location", 1), default="saved", model=True, source="torch.load"),
    Place(
        "torch",
        "jit.load",
        ("map_location", 1),
        default="saved",
        model=True,
        source="torch.jit.load: to the device they were saved from, an error if it isn't there",
    ),
    Place("torch", "hub.load", default="cpu", model=True, source="torch.hub.load"),
    Place(
        "torch",
        "DataParallel",
        ("device_ids", 1),
        "index",
        default="all",
        without_gpu="cpu",
        source="torch.nn.DataParallel: device_ids (default: all devices)",
    ),
    Place("torch", "set_default_tensor_type", (0,), source="torch.set_default_tensor_type"),
    Place("torch", "set_default_device", ("device", 0), source="torch.set_default_device"),
    *(
        Place(
            "torchvision", f"models.{call}", default="cpu", model=True, source="torchvision.models"
        )
        for call in ("*", "*.*", "*.*.*")
    ),
    Place("torchvision", "io.decode_jpeg", ("device",), source="torchvision.io.decode_jpeg"),
    Place("torchaudio", "*.get_model", default="cpu", model=True, source="torchaudio.pipelines"),
    Place("timm", "create_model", default="cpu", model=True, source="timm.create_model"),
    # Hugging Face
    Place(
        "transformers",
        "pipeline",
        ("device", "device_map"),
        "map",
        default="varies",
        source="transformers.pipeline: device defaults to -1 (CPU), in newer releases to GPU 0",
    ),
    Place(
        "transformers",
        "*.from_pretrained",
        _MAPS,
        "map",
        default="cpu",
        without_gpu="cpu",
        model=True,
        gpu_with=_QUANTIZED,
        source="PreTrainedModel.from_pretrained, accelerate.infer_auto_device_map",
    ),
    Place("transformers", "*.from_config", default="cpu", model=True, source="AutoModel"),
    Place(
        "peft",
        "*.from_pretrained",
        _MAPS,
        "map",
        default="none",
        without_gpu="cpu",
        source="PeftModel.from_pretrained",
    ),
    Place(
        "auto_gptq",
        "*.from_quantized",
        ("device", "device_map"),
        "map",
        default="gpu",
        source="AutoGPTQForCausalLM.from_quantized",
    ),
    Place(
        "optimum",
        "*.from_pretrained",
        ("provider",),
        "providers",
        default="cpu",
        model=True,
        source="ORTModel.from_pretrained: provider defaults to CPUExecutionProvider",
    ),
    Place(
        "accelerate",
        "Accelerator",
        (),
        default="auto",
        source="accelerate.state.PartialState: the CPU without an accelerator",
    ),
    Place(
        "accelerate",
        "load_checkpoint_and_dispatch",
        _MAPS,
        "map",
        without_gpu="cpu",
        source="accelerate.load_checkpoint_and_dispatch",
    ),
    Place(
        "accelerate",
        "dispatch_model",
        ("device_map", 1),
        "map",
        without_gpu="cpu",
        source="accelerate.dispatch_model",
    ),
    Place(
        "accelerate",
        "cpu_offload",
        ("execution_device", 1),
        default="gpu",
        source="accelerate.cpu_offload",
    ),
    *(
        Place(
            "sentence_transformers",
            call,
            ("device", position),
            default="auto",
            source="SentenceTransformer: without device it looks for a GPU",
        )
        for call, position in (("SentenceTransformer", 2), ("CrossEncoder", 3))
    ),
    Place("sentence_transformers", "SparseEncoder", ("device",), default="auto", source=_CLASSES),
    Place(
        "diffusers",
        "*.from_pretrained",
        _MAPS,
        "map",
        default="cpu",
        without_gpu="cpu",
        model=True,
        gpu_with=_QUANTIZED,
        source="DiffusionPipeline.from_pretrained",
    ),
    Place(
        "diffusers",
        "*.from_single_file",
        default="cpu",
        model=True,
        source="DiffusionPipeline.from_single_file",
    ),
    # ONNX Runtime, TensorRT
    Place(
        "onnxruntime",
        "InferenceSession",
        ("providers", 2),
        "providers",
        number=("provider_options", 3),
        default="cpu",
        scope="",
        model=True,
        source="onnxruntime.InferenceSession: without providers the CPU, or an error since 1.9",
    ),
    Place(
        "onnxruntime",
        "OrtValue.ortvalue_from_numpy",
        ("device_type", 1),
        number=("device_id", 2),
        scope="",
        source="onnxruntime.OrtValue",
    ),
    Place("tensorrt", "Runtime", default="gpu", source="tensorrt.Runtime: the current CUDA device"),
    Place("pycuda", "autoinit", default="gpu", source="pycuda.autoinit: the first usable device"),
    # TensorFlow and Keras
    *(
        Place(
            library,
            call,
            default="auto",
            scope="tensorflow",
            source="TensorFlow's guide to GPUs: the first GPU if there is one, else the CPU",
        )
        for library, call in (
            ("tensorflow", "models.load_model"),
            ("tensorflow", "saved_model.load"),
            ("tensorflow", "keras.applications.*"),
            ("tensorflow", "saving.load_model"),
            ("tensorflow", "keras.applications.*.*"),
            ("tensorflow_hub", "load"),
            ("tensorflow_hub", "KerasLayer"),
            ("keras", "models.load_model"),
            ("keras", "saving.load_model"),
            ("keras", "applications.*"),
        )
    ),
    Place(
        "tensorflow",
        "MirroredStrategy",
        ("devices", 0),
        "tensorflow",
        default="all",
        without_gpu="cpu",
        scope="tensorflow",
        source="tf.distribute.MirroredStrategy",
    ),
    # JAX
    *(
        Place(
            "jax",
            call,
            argument,
            default="auto",
            scope="jax",
            source="jax.devices: GPU 0 if there is one, else the CPU with a warning",
        )
        for call, argument in (
            ("device_put", ("device", 1)),
            ("jit", ("device",)),
            *((f"numpy.{one}", ("device",)) for one in ("array", "asarray", "zeros", "ones")),
        )
    ),
    Place(
        "jax",
        "pmap",
        ("devices",),
        "index",
        default="all",
        without_gpu="cpu",
        scope="jax",
        source="jax.pmap",
    ),
    # CuPy, Numba, RAPIDS
    *(
        Place("cupy", call, default="gpu", source="CuPy's basics: the current device")
        for call in ("array", "asarray", "zeros", "ones", "empty", "full", "arange", "load")
    ),
    *(
        Place("numba", f"cuda.{call}", default="gpu", source="Numba for CUDA: device management")
        for call in ("to_device", "device_array", "device_array_like", "synchronize", "jit()")
    ),
    *(
        Place("cudf", call, default="gpu", source="cuDF: the current CUDA device")
        for call in ("DataFrame", "Series", "from_pandas", "read_csv", "read_parquet")
    ),
    *(
        Place("cuml", call, default="gpu", source="cuML: the current CUDA device")
        for call in (
            "*.load",
            "cluster.*",
            "ensemble.*",
            "linear_model.*",
            "neighbors.*",
            "manifold.*",
            "decomposition.*",
            "svm.*",
            "ForestInference",
        )
    ),
    Place(
        "cudf",
        "pandas.install",
        default="auto",
        source="cudf.pandas: falls back to pandas on the CPU",
    ),
    Place("cuml", "accel.install", default="auto", source="cuml.accel: falls back to scikit-learn"),
    # Speech
    Place(
        "faster_whisper",
        "WhisperModel",
        ("device", 1),
        number=("device_index", 2),
        default="auto",
        scope="",
        source="faster_whisper.WhisperModel: device='auto'",
    ),
    *(
        Place(
            "ctranslate2",
            call,
            ("device", 1),
            number=("device_index",),
            default="cpu",
            scope="",
            model=True,
            source="ctranslate2: device defaults to 'cpu', device_index to 0",
        )
        for call in ("Translator", "Generator", "Encoder", "Whisper")
    ),
    Place(
        "whisper",
        "load_model",
        ("device", 1),
        default="auto",
        source="whisper.load_model: 'cuda' if torch.cuda.is_available() else 'cpu'",
    ),
    Place(
        "nemo",
        "*.from_pretrained",
        ("map_location",),
        default="auto",
        source="ModelPT.from_pretrained: a GPU if there is one",
    ),
    Place(
        "nemo",
        "*.restore_from",
        ("map_location",),
        default="auto",
        source="ModelPT.restore_from: a GPU if there is one",
    ),
    Place("pyannote", "*.from_pretrained", default="cpu", model=True, source="pyannote.audio"),
    Place(
        "TTS", "TTS", ("gpu",), "flag", default="cpu", model=True, source="TTS.api.TTS: gpu=False"
    ),
    # Vision and language
    Place(
        "ultralytics",
        "*",
        later=("", "predict", "track", "val"),
        scope="",
        device=("device",),
        default="auto",
        source="ultralytics' predict mode, select_device: GPU 0, else the CPU",
    ),
    Place(
        "easyocr",
        "Reader",
        ("gpu", 1),
        "flag",
        default="auto",
        without_gpu="cpu",
        source="easyocr.Reader: gpu=True, the CPU where there is none",
    ),
    Place(
        "clip",
        "load",
        ("device", 1),
        default="auto",
        source="clip.load: 'cuda' if torch.cuda.is_available() else 'cpu'",
    ),
    Place(
        "open_clip",
        "create_model_and_transforms",
        ("device",),
        default="cpu",
        source="open_clip.create_model_and_transforms: device='cpu'",
    ),
    Place(
        "cv2",
        "setPreferableTarget",
        (0,),
        "target",
        scope="opencv",
        without_gpu="cpu",
        source="cv2.dnn.Net: a target that isn't there means the CPU, with a warning",
    ),
    *(
        Place("cv2", f"dnn.{call}", default="cpu", model=True, source="cv2.dnn: DNN_TARGET_CPU")
        for call in (
            "readNet",
            "readNetFromONNX",
            "readNetFromDarknet",
            "readNetFromCaffe",
            "readNetFromTensorflow",
            "readNetFromTorch",
        )
    ),
    Place("cv2", "cuda_GpuMat", default="gpu", source="cv2.cuda"),
    Place(
        "insightface",
        "*.prepare",
        ("ctx_id", 0),
        "index",
        scope="",
        without_gpu="cpu",
        source="insightface.app.FaceAnalysis.prepare",
    ),
    Place(
        "spacy",
        "prefer_gpu",
        ("gpu_id", 0),
        "index",
        default="auto",
        scope="",
        without_gpu="cpu",
        source="spacy.prefer_gpu: False, and the CPU, without a GPU; gpu_id=0",
    ),
    Place(
        "spacy",
        "require_gpu",
        ("gpu_id", 0),
        "index",
        default="gpu",
        scope="",
        source="spacy.require_gpu: an error without a GPU; gpu_id=0",
    ),
    Place("spacy", "load", default="cpu", model=True, source="spacy.load"),
    # Language models
    *(
        Place(
            "vllm",
            call,
            ("tensor_parallel_size",),
            "count",
            default="gpu",
            scope="",
            source="vLLM's engine arguments; the first GPUs of CUDA_VISIBLE_DEVICES",
        )
        for call in ("LLM", "AsyncEngineArgs", "EngineArgs")
    ),
    Place(
        "sglang",
        "Engine",
        ("tp_size",),
        "count",
        default="gpu",
        scope="",
        number=("base_gpu_id",),
        source="sglang's server arguments",
    ),
    Place(
        "llama_cpp",
        "Llama",
        ("n_gpu_layers",),
        "count",
        default="cpu",
        without_gpu="cpu",
        scope="",
        source="llama_cpp.Llama: n_gpu_layers=0; split over all GPUs otherwise",
    ),
    # Others
    Place(
        "nvidia",
        "dali.pipeline.Pipeline",
        ("device_id", 2),
        "index",
        scope="",
        source="nvidia.dali.Pipeline",
    ),
    Place("nvidia", "dali.Pipeline", ("device_id", 2), "index", scope="", source="nvidia.dali"),
    Place("nvidia", "pipeline_def()()", ("device_id",), "index", scope="", source="pipeline_def"),
    *(
        Place(
            "paddle",
            call,
            default="auto",
            scope="paddle",
            source="paddle.device: gpu:0 in a GPU build, else the CPU",
        )
        for call in ("load", "jit.load", "to_tensor")
    ),
    Place(
        "paddleocr",
        "PaddleOCR",
        ("use_gpu",),
        "flag",
        default="auto",
        scope="paddle",
        without_gpu="cpu",
        source="PaddleOCR's arguments: use_gpu=True",
    ),
    *(
        Place("mxnet", call, ("ctx",), default="cpu", scope="", source="mxnet.context: cpu(0)")
        for call in (
            *("SymbolBlock.imports", "mod.Module", "module.Module"),
            *("nd.array", "nd.zeros", "nd.ones"),
        )
    ),
    Place(
        "xgboost",
        "*",
        ("device",),
        without_gpu="cpu",
        source="XGBoost's parameter device: the CPU, with a warning, where there is no GPU",
    ),
    Place("faiss", "index_cpu_to_gpu", (1,), "index", scope="", source="faiss.index_cpu_to_gpu"),
    Place(
        "faiss",
        "index_cpu_to_all_gpus",
        default="all",
        without_gpu="cpu",
        source="faiss.index_cpu_to_all_gpus",
    ),
)

MODULE = Place("torch", "nn.Module", default="cpu", model=True, source="torch.nn.Module")
"""A class of the model's own that is a module of PyTorch."""

METHODS: dict[str, Place] = {
    fact.call: fact
    for fact in (
        Place("", "to", ("device", 0), source="torch.nn.Module.to, Tensor.to"),
        Place("", "to_empty", ("device",), source="torch.nn.Module.to_empty"),
        Place("", "cuda", ("device", 0), default="gpu", source="torch.nn.Module.cuda"),
        Place("", "cpu", default="cpu", source="torch.nn.Module.cpu"),
        Place(
            "",
            "enable_model_cpu_offload",
            ("device", "gpu_id", 0),
            default="gpu",
            scope="",
            source="DiffusionPipeline.enable_model_cpu_offload: gpu_id=0",
        ),
        Place(
            "",
            "enable_sequential_cpu_offload",
            ("device", "gpu_id", 0),
            default="gpu",
            scope="",
            source="DiffusionPipeline.enable_sequential_cpu_offload: gpu_id=0",
        ),
        Place(
            "",
            "setPreferableTarget",
            (0,),
            "target",
            scope="opencv",
            without_gpu="cpu",
            source="cv2.dnn.Net.setPreferableTarget: the CPU, with a warning, without CUDA",
        ),
        Place(
            "",
            "set_providers",
            ("providers", 0),
            "providers",
            number=("provider_options", 1),
            scope="",
            source="onnxruntime.InferenceSession.set_providers",
        ),
        Place(
            "",
            "prepare",
            ("ctx_id",),
            "index",
            scope="",
            without_gpu="cpu",
            source="insightface.app.FaceAnalysis.prepare",
        ),
        Place("", "as_in_context", (0,), source="mxnet.nd.NDArray.as_in_context"),
        Place(
            "",
            "enable_use_gpu",
            (),
            default="gpu",
            number=("device_id", 1),
            scope="paddle",
            source="paddle.inference.Config.enable_use_gpu: device_id=0",
        ),
        Place(
            "",
            "start_multi_process_pool",
            ("target_devices", 0),
            "index",
            default="all",
            without_gpu="cpu",
            source="SentenceTransformer.start_multi_process_pool",
        ),
    )
}
"""By the name of a method: of any object that nobody follows."""

SELECTS: tuple[Select, ...] = (
    Select("torch", "cuda.set_device", ("device", 0), "cuda", source="torch.cuda.set_device"),
    Select("torch", "cuda.device", ("device", 0), "cuda", True, source="torch.cuda.device"),
    Select("cupy", "cuda.Device", ("device", 0), "cuda", True, source="cupy.cuda.Device"),
    Select("cupy", "runtime.setDevice", (0,), "cuda", source="cupy.cuda.runtime.setDevice"),
    Select("numba", "cuda.select_device", (0,), "cuda", source="numba.cuda.select_device"),
    Select("numba", "cuda.gpus", (0,), "cuda", True, source="numba.cuda.gpus"),
    Select("cuda", "cudaSetDevice", (0,), "cuda", source="cuda-python: cudart.cudaSetDevice"),
    Select("pycuda", "driver.Device", (0,), "cuda", source="pycuda.driver.Device"),
    Select("rmm", "reinitialize", ("devices",), "cuda", source="rmm.reinitialize"),
    Select("cv2", "cuda.setDevice", (0,), "opencv", source="cv2.cuda.setDevice"),
    Select("tensorflow", "device", (0,), "tensorflow", True, "tensorflow", "tf.device"),
    Select(
        "tensorflow",
        "set_visible_devices",
        ("devices", 0),
        "tensorflow",
        False,
        "tensorflow",
        "tf.config.set_visible_devices",
    ),
    Select("jax", "default_device", (0,), "jax", True, source="jax.default_device"),
    Select("jax", "config.update", (1,), "jax", source="jax.config.update"),
    Select("paddle", "set_device", ("device", 0), "paddle", source="paddle.set_device"),
    Select("paddle", "device.set_device", ("device", 0), "paddle", source="paddle.set_device"),
)

ASKS: tuple[Ask, ...] = (
    Ask("torch", "cuda.is_available", "bool", "torch.cuda.is_available"),
    Ask("torch", "accelerator.is_available", "bool", "torch.accelerator.is_available"),
    Ask("torch", "cuda.device_count", "count", "torch.cuda.device_count"),
    Ask("torch", "accelerator.current_accelerator", "device", "torch.accelerator"),
    Ask("transformers", "is_torch_cuda_available", "bool", "transformers.utils"),
    Ask("transformers", "is_torch_gpu_available", "bool", "transformers.utils"),
    Ask("tensorflow", "test.is_gpu_available", "bool", "tf.test.is_gpu_available"),
    Ask("tensorflow", "test.gpu_device_name", "name", "tf.test.gpu_device_name"),
    Ask("tensorflow", "list_physical_devices", "gpus", "tf.config.list_physical_devices"),
    Ask("tensorflow", "list_logical_devices", "gpus", "tf.config.list_logical_devices"),
    Ask("jax", "devices", "devices", "jax.devices"),
    Ask("jax", "local_devices", "devices", "jax.local_devices"),
    Ask("jax", "default_backend", "name", "jax.default_backend"),
    Ask("cupy", "cuda.is_available", "bool", "cupy.cuda.is_available"),
    Ask("cupy", "runtime.getDeviceCount", "count", "cupy.cuda.runtime.getDeviceCount"),
    Ask("numba", "cuda.is_available", "bool", "numba.cuda.is_available"),
    Ask("onnxruntime", "get_available_providers", "providers", "get_available_providers"),
    Ask("onnxruntime", "get_device", "name", "onnxruntime.get_device"),
    Ask("ctranslate2", "get_cuda_device_count", "count", "ctranslate2.get_cuda_device_count"),
    Ask("cv2", "cuda.getCudaEnabledDeviceCount", "count", "cv2.cuda"),
    Ask("paddle", "is_compiled_with_cuda", "bool", "paddle.is_compiled_with_cuda"),
    Ask("paddle", "cuda.device_count", "count", "paddle.device.cuda.device_count"),
    Ask("mxnet", "num_gpus", "count", "mxnet.context.num_gpus"),
    Ask("faiss", "get_num_gpus", "count", "faiss.get_num_gpus"),
    Ask("pynvml", "nvmlDeviceGetCount", "count", "nvmlDeviceGetCount"),
    Ask("GPUtil", "getAvailable", "gpus", "GPUtil.getAvailable"),
    Ask("GPUtil", "getGPUs", "gpus", "GPUtil.getGPUs"),
)

# Libraries that put nothing on a GPU unless they are asked to, or only in calls of the table.
PASSIVE = frozenset(
    (
        *("numpy", "torch", "torchvision", "torchaudio", "transformers", "tokenizers", "PIL"),
        *("scipy", "pandas", "triton_python_backend_utils", "c_python_backend_utils", "timm"),
        *("diffusers", "sentencepiece", "soundfile", "librosa", "yaml", "requests", "spacy"),
        *("ctranslate2", "onnxruntime", "cv2", "huggingface_hub", "tqdm", "einops"),
        *("sentence_transformers", "faster_whisper", "whisper", "optimum", "peft", "easyocr"),
        *("clip", "open_clip", "sklearn", "joblib", "jinja2", "regex"),
    )
)

_Fact = TypeVar("_Fact", Place, Select, Ask)


def _by_last(facts: Sequence[_Fact]) -> Mapping[tuple[str, str], Sequence[_Fact]]:
    found: dict[tuple[str, str], list[_Fact]] = {}
    for fact in facts:
        found.setdefault((fact.library, fact.call.rpartition(".")[2]), []).append(fact)
    for same in found.values():
        same.sort(key=lambda fact: -fact.call.count("."))  # torch.jit.load before torch.load
    return found


_PLACES, _SELECTS, _ASKS = _by_last(PLACES), _by_last(SELECTS), _by_last(ASKS)
LIBRARIES = frozenset(
    {fact.library for fact in PLACES}
    | {fact.library for fact in SELECTS}
    | {fact.library for fact in ASKS}
)


def _fitting(table: Mapping[tuple[str, str], Sequence[_Fact]], name: str) -> _Fact | None:
    library, _, rest = name.partition(".")
    if library not in LIBRARIES or not rest:
        return None
    parts = rest.split(".")
    for last in (parts[-1], "*"):
        for fact in table.get((library, last), ()):
            wanted = fact.call.split(".")
            tail = parts[-len(wanted) :]
            if len(tail) == len(wanted) and all(
                one in ("*", part) for one, part in zip(wanted, tail, strict=True)
            ):
                return fact
    return None


def place(name: str) -> Place | None:
    """The row for a call by its dotted name."""
    return _fitting(_PLACES, name)


_NO_MODELS = ("Tokenizer", "TokenizerFast", "Processor", "Config", "Extractor", "Scheduler")


def is_no_model(name: str) -> bool:
    """Whether it's a class's `from_pretrained` that loads no weights, such as a tokenizer's."""
    owner, _, last = name.rpartition(".")
    return last.startswith("from_") and owner.endswith(_NO_MODELS)


def select(name: str) -> Select | None:
    return _fitting(_SELECTS, name)


def ask(name: str) -> Ask | None:
    return _fitting(_ASKS, name)
