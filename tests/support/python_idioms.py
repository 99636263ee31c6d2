"""Python models by what they do with devices: idioms of the libraries, and what is to be found.

Each is the body of `initialize` (and of `execute`, after a line `---`), for a KIND_GPU model on
two GPUs; `ID` stands for `args["model_instance_device_id"]`.
"""

from __future__ import annotations

DEFAULT, FIXED, STAYS, FALLS = "TRT220", "TRT221", "TRT222", "TRT224"
SPREADS, VISIBLE = "TRT225", "TRT226"

# name -> (code, rules)
IDIOMS: dict[str, tuple[str, set[str]]] = {
    # PyTorch
    "torch-device-if-available": (
        """
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
self.model = torch.jit.load("m.pt", map_location=device)
""",
        {DEFAULT, FALLS},
    ),
    "torch-device-0-if-available": (
        """
self.device = "cuda:0" if torch.cuda.is_available() else "cpu"
self.model = torch.jit.load("m.pt").to(self.device)
""",
        {FIXED, FALLS},
    ),
    "torch-given-if-available": (
        """
self.device = f"cuda:{ID}" if torch.cuda.is_available() else "cpu"
self.model = torch.jit.load("m.pt").to(self.device)
""",
        {FALLS},
    ),
    "torch-kind-and-available": (
        """
use_gpu = args["model_instance_kind"] == "GPU" and torch.cuda.is_available()
self.device = torch.device("cuda", int(ID)) if use_gpu else torch.device("cpu")
self.model = torch.load("m.pt", map_location=self.device)
""",
        {FALLS},
    ),
    "torch-if-statement": (
        """
self.model = torch.jit.load("m.pt", map_location="cpu")
if torch.cuda.is_available():
    self.model = self.model.cuda(int(ID))
""",
        {FALLS},
    ),
    "torch-count": (
        """
if torch.cuda.device_count() > 0:
    device = "cuda:" + ID
else:
    device = "cpu"
self.model = torch.jit.load("m.pt").to(device)
""",
        {FALLS},
    ),
    "torch-try": (
        """
self.model = torch.jit.load("m.pt")
try:
    self.model.to("cuda:" + ID)
except RuntimeError:
    self.model.to("cpu")
""",
        {FALLS},
    ),
    "torch-cuda": ('self.model = torch.jit.load("m.pt").cuda()', {DEFAULT}),
    "torch-cuda-in-execute": (
        """
self.model = torch.jit.load("m.pt")
---
self.model.to("cuda")
""",
        {DEFAULT},
    ),
    "torch-number": ('self.model = torch.jit.load("m.pt").to(1)', {FIXED}),
    "torch-set-device": (
        'torch.cuda.set_device(0)\nself.model = torch.jit.load("m.pt").cuda()',
        {FIXED},
    ),
    "torch-tensor-device": (
        'self.model = torch.jit.load("m.pt")\n---\nx = torch.zeros(1, device="cuda")',
        {DEFAULT},
    ),
    "torch-never-moved": ('self.model = torch.jit.load("m.pt")', {STAYS}),
    "torch-load-on-cpu": ('self.model = torch.load("m.pt", map_location="cpu")', {STAYS}),
    "torch-load-by-lambda": (
        'self.model = torch.load("m.pt", map_location=lambda storage, place: storage)',
        {STAYS},
    ),
    "torch-data-parallel": (
        'self.model = torch.nn.DataParallel(torch.jit.load("m.pt", map_location="cpu"))',
        {SPREADS},
    ),
    "torch-by-helper": (
        """
def pick():
    return "cuda" if torch.cuda.is_available() else "cpu"
self.model = torch.jit.load("m.pt").to(pick())
""",
        {DEFAULT, FALLS},
    ),
    "torch-own-module": (
        """
class Net(torch.nn.Module):
    pass
self.model = Net()
""",
        {STAYS},
    ),
    "torch-default-device": ('torch.set_default_device("cuda")', {DEFAULT}),
    "torch-default-tensor-type": (
        'torch.set_default_tensor_type("torch.cuda.FloatTensor")',
        {DEFAULT},
    ),
    "torchvision-models": (
        "import torchvision\nself.model = torchvision.models.resnet50().eval()",
        {STAYS},
    ),
    "torch-hub": ('self.model = torch.hub.load("a/b", "c").cuda()', {DEFAULT}),
    # Hugging Face
    "transformers-device-map": (
        """
from transformers import AutoModelForCausalLM
self.model = AutoModelForCausalLM.from_pretrained("x", device_map="auto")
""",
        {SPREADS},
    ),
    "transformers-device-map-keywords": (
        """
import transformers
options = dict(torch_dtype=torch.float16)
options["device_map"] = "balanced"
self.model = transformers.AutoModel.from_pretrained("x", **options)
""",
        {SPREADS},
    ),
    "transformers-device-map-cuda": (
        """
from transformers import AutoModel
self.model = AutoModel.from_pretrained("x", device_map="cuda")
""",
        {DEFAULT},
    ),
    "transformers-device-map-dict": (
        """
from transformers import AutoModel
self.model = AutoModel.from_pretrained("x", device_map={"": 0})
""",
        {FIXED},
    ),
    "transformers-stays": (
        'from transformers import BertModel\nself.model = BertModel.from_pretrained("x")',
        {STAYS},
    ),
    "transformers-quantized": (
        """
from transformers import AutoModelForCausalLM
self.model = AutoModelForCausalLM.from_pretrained("x", load_in_8bit=True)
""",
        {DEFAULT},
    ),
    "transformers-wrong-kind": (
        """
from transformers import AutoModel
device = "cuda" if args["model_instance_kind"] == "KIND_GPU" else "cpu"
self.model = AutoModel.from_pretrained("x").to(device)
""",
        {STAYS},
    ),
    "transformers-pipeline-0": (
        'from transformers import pipeline\nself.pipe = pipeline("ner", device=0)',
        {FIXED},
    ),
    "transformers-pipeline-minus-1": (
        """
from transformers import pipeline
self.pipe = pipeline("ner", device=0 if torch.cuda.is_available() else -1)
""",
        {FIXED, FALLS},
    ),
    "transformers-pipeline-map": (
        """
import transformers
self.pipe = transformers.pipeline("text-generation", model="x", device_map="auto")
""",
        {SPREADS},
    ),
    "transformers-pipeline-default": (
        'from transformers import pipeline\nself.pipe = pipeline("ner")',
        {DEFAULT, FALLS},
    ),
    "accelerate-accelerator": (
        """
from accelerate import Accelerator
self.accelerator = Accelerator()
self.model = self.accelerator.prepare(torch.jit.load("m.pt", map_location="cpu"))
""",
        {DEFAULT, FALLS},
    ),
    "accelerate-dispatch": (
        """
from accelerate import load_checkpoint_and_dispatch
self.model = load_checkpoint_and_dispatch(Net(), "x", device_map="auto")
""",
        {SPREADS},
    ),
    "sentence-transformers": (
        """
from sentence_transformers import SentenceTransformer
self.model = SentenceTransformer("x")
""",
        {DEFAULT, FALLS},
    ),
    "sentence-transformers-cpu": (
        """
from sentence_transformers import SentenceTransformer
self.model = SentenceTransformer("x", device="cpu")
""",
        {STAYS},
    ),
    "sentence-transformers-cuda": (
        """
from sentence_transformers import CrossEncoder
self.model = CrossEncoder("x", device="cuda")
""",
        {DEFAULT},
    ),
    "diffusers-to-cuda": (
        """
from diffusers import StableDiffusionPipeline
self.pipe = StableDiffusionPipeline.from_pretrained("x", torch_dtype=torch.float16)
self.pipe = self.pipe.to("cuda")
""",
        {DEFAULT},
    ),
    "diffusers-offload": (
        """
from diffusers import DiffusionPipeline
self.pipe = DiffusionPipeline.from_pretrained("x")
self.pipe.enable_model_cpu_offload()
""",
        {DEFAULT},
    ),
    "diffusers-balanced": (
        """
import diffusers
self.pipe = diffusers.FluxPipeline.from_pretrained("x", device_map="balanced")
""",
        {SPREADS},
    ),
    "optimum-stays": (
        """
from optimum.onnxruntime import ORTModelForFeatureExtraction
self.model = ORTModelForFeatureExtraction.from_pretrained("x")
""",
        {STAYS},
    ),
    "optimum-default": (
        """
from optimum.onnxruntime import ORTModelForSequenceClassification
self.model = ORTModelForSequenceClassification.from_pretrained(
    "x", provider="CUDAExecutionProvider")
""",
        {DEFAULT},
    ),
    # ONNX Runtime, TensorRT
    "onnxruntime-fallback": (
        """
import onnxruntime as ort
self.session = ort.InferenceSession(
    "m.onnx", providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
""",
        {DEFAULT, FALLS},
    ),
    "onnxruntime-appended": (
        """
import onnxruntime
providers = ["CPUExecutionProvider"]
if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
    providers.insert(0, "CUDAExecutionProvider")
self.session = onnxruntime.InferenceSession("m.onnx", None, providers)
""",
        {DEFAULT, FALLS},
    ),
    "onnxruntime-available": (
        """
from onnxruntime import InferenceSession, get_available_providers
self.session = InferenceSession("m.onnx", providers=get_available_providers())
""",
        {DEFAULT, FALLS},
    ),
    "onnxruntime-given-with-cpu": (
        """
import onnxruntime as ort
cuda = ("CUDAExecutionProvider", {"device_id": int(ID)})
self.session = ort.InferenceSession("m.onnx", providers=[cuda, "CPUExecutionProvider"])
""",
        {FALLS},
    ),
    "onnxruntime-device-id-0": (
        """
import onnxruntime as ort
self.session = ort.InferenceSession(
    "m.onnx", providers=["CUDAExecutionProvider"], provider_options=[{"device_id": "1"}])
""",
        {FIXED},
    ),
    "onnxruntime-no-providers": (
        'import onnxruntime as ort\nself.session = ort.InferenceSession("m.onnx")',
        {STAYS},
    ),
    "tensorrt-current": (
        """
import tensorrt as trt
runtime = trt.Runtime(trt.Logger())
self.engine = runtime.deserialize_cuda_engine(open("m.plan", "rb").read())
""",
        {DEFAULT},
    ),
    "pycuda-autoinit": ("import pycuda.autoinit\nimport pycuda.driver as cuda", {DEFAULT}),
    # TensorFlow, JAX
    "tensorflow-load": (
        'import tensorflow as tf\nself.model = tf.keras.models.load_model("m")',
        {DEFAULT, FALLS},
    ),
    "tensorflow-saved-model": (
        'import tensorflow as tf\nself.model = tf.saved_model.load("m")',
        {DEFAULT, FALLS},
    ),
    "tensorflow-device-0": (
        """
import tensorflow as tf
with tf.device("/GPU:0"):
    self.model = tf.saved_model.load("m")
""",
        {FIXED},
    ),
    "tensorflow-mirrored": (
        "import tensorflow as tf\nself.strategy = tf.distribute.MirroredStrategy()",
        {SPREADS},
    ),
    "keras-load": ('import keras\nself.model = keras.models.load_model("m")', {DEFAULT, FALLS}),
    "jax-jit": ("import jax\nself.answer = jax.jit(lambda x: x)", {DEFAULT, FALLS}),
    "jax-numpy": ("import jax.numpy as jnp\nself.w = jnp.array([1.0])", {DEFAULT, FALLS}),
    "jax-device-put-0": (
        "import jax\nself.w = jax.device_put([1.0], jax.devices('gpu')[0])",
        {FIXED},
    ),
    "jax-pmap": ("import jax\nself.answer = jax.pmap(lambda x: x)", {SPREADS}),
    # CuPy, Numba, RAPIDS
    "cupy-default": ("import cupy as cp\nself.w = cp.asarray([1.0])", {DEFAULT}),
    "cupy-device-0": (
        "import cupy\nwith cupy.cuda.Device(0):\n    self.w = cupy.zeros(3)",
        {FIXED},
    ),
    "cupy-or-numpy": (
        """
import cupy, numpy
xp = cupy if cupy.cuda.is_available() else numpy
self.w = xp.zeros(3)
""",
        {DEFAULT, FALLS},
    ),
    "numba-default": ("from numba import cuda\nself.w = cuda.to_device([1])", {DEFAULT}),
    "numba-kernel": (
        """
from numba import cuda
@cuda.jit
def kernel(x):
    pass
kernel[1, 32]([1])
""",
        {DEFAULT},
    ),
    "cudf-default": ("import cudf\nself.table = cudf.read_parquet('x')", {DEFAULT}),
    "cuml-default": (
        "from cuml.ensemble import RandomForestClassifier\nself.model = RandomForestClassifier()",
        {DEFAULT},
    ),
    # Speech
    "faster-whisper-default": (
        'from faster_whisper import WhisperModel\nself.model = WhisperModel("large-v3")',
        {DEFAULT, FALLS},
    ),
    "faster-whisper-cuda": (
        """
from faster_whisper import WhisperModel
self.model = WhisperModel("large-v3", device="cuda", compute_type="float16")
""",
        {DEFAULT},
    ),
    "faster-whisper-spread": (
        """
from faster_whisper import WhisperModel
self.model = WhisperModel("large-v3", device="cuda", device_index=[0, 1])
""",
        {SPREADS},
    ),
    "ctranslate2-default": ('import ctranslate2\nself.t = ctranslate2.Translator("x")', {STAYS}),
    "ctranslate2-auto": (
        'import ctranslate2\nself.t = ctranslate2.Generator("x", device="auto")',
        {DEFAULT, FALLS},
    ),
    "whisper-load": ('import whisper\nself.model = whisper.load_model("base")', {DEFAULT, FALLS}),
    # Vision and language
    "ultralytics-default": (
        'from ultralytics import YOLO\nself.model = YOLO("m.pt")\n---\nself.model("x.jpg")',
        {DEFAULT, FALLS},
    ),
    "ultralytics-predict-0": (
        """
from ultralytics import YOLO
self.model = YOLO("m.pt")
---
self.model.predict("x.jpg", device=0)
""",
        {FIXED},
    ),
    "spacy-prefer": (
        'import spacy\nspacy.prefer_gpu()\nself.nlp = spacy.load("en")',
        {DEFAULT, FALLS},
    ),
    "spacy-prefer-given": (
        'import spacy\nspacy.prefer_gpu(int(ID))\nself.nlp = spacy.load("en")',
        {FALLS},
    ),
    "spacy-require": ('import spacy\nspacy.require_gpu()\nself.nlp = spacy.load("en")', {DEFAULT}),
    "spacy-stays": ('import spacy\nself.nlp = spacy.load("en")', {STAYS}),
    "easyocr": ("import easyocr\nself.reader = easyocr.Reader(['en'])", {DEFAULT, FALLS}),
    "opencv-dnn": (
        """
import cv2
self.net = cv2.dnn.readNetFromONNX("m.onnx")
self.net.setPreferableBackend(cv2.dnn.DNN_BACKEND_CUDA)
self.net.setPreferableTarget(cv2.dnn.DNN_TARGET_CUDA)
""",
        {DEFAULT, FALLS},
    ),
    "opencv-dnn-stays": ('import cv2\nself.net = cv2.dnn.readNet("m.onnx")', {STAYS}),
    "clip": ('import clip\nself.model, _ = clip.load("ViT-B/32")', {DEFAULT, FALLS}),
    # Others
    "vllm-one": ('from vllm import LLM\nself.llm = LLM("x")', {DEFAULT}),
    "vllm-parallel": (
        'from vllm import LLM\nself.llm = LLM(model="x", tensor_parallel_size=2)',
        {SPREADS},
    ),
    "vllm-engine-arguments": (
        """
from vllm import AsyncEngineArgs, AsyncLLMEngine
self.llm = AsyncLLMEngine.from_engine_args(AsyncEngineArgs(model="x", tensor_parallel_size=4))
""",
        {SPREADS},
    ),
    "dali-fixed": (
        """
from nvidia.dali import pipeline_def, fn
@pipeline_def
def decode():
    return fn.external_source(device="cpu")
self.pipe = decode(batch_size=8, num_threads=2, device_id=0)
""",
        {FIXED},
    ),
    "dali-decorator": (
        """
from nvidia.dali import pipeline_def
@pipeline_def(batch_size=8, num_threads=2, device_id=0)
def decode():
    pass
self.pipe = decode()
""",
        {FIXED},
    ),
    "dali-class": (
        """
from nvidia.dali.pipeline import Pipeline
self.pipe = Pipeline(batch_size=8, num_threads=2, device_id=1)
""",
        {FIXED},
    ),
    "paddle-default": ('import paddle\nself.model = paddle.jit.load("m")', {DEFAULT, FALLS}),
    "paddle-set-device": (
        'import paddle\npaddle.set_device("gpu:0")\nself.model = paddle.jit.load("m")',
        {FIXED},
    ),
    "paddle-inference": (
        """
import paddle.inference as inference
config = inference.Config("m", "p")
config.enable_use_gpu(500, 0)
""",
        {FIXED},
    ),
    "mxnet-try": (
        """
import mxnet as mx
try:
    mx.nd.zeros((1,), ctx=mx.gpu(0))
    self.ctx = mx.gpu(0)
except mx.base.MXNetError:
    self.ctx = mx.cpu()
self.net = mx.gluon.nn.SymbolBlock.imports("s", ["data"], "p", ctx=self.ctx)
""",
        {FIXED, FALLS},
    ),
    "mxnet-fallback": (
        """
import mxnet as mx
ctx = mx.gpu() if mx.context.num_gpus() else mx.cpu()
self.net = mx.gluon.nn.SymbolBlock.imports("s", ["data"], "p", ctx=ctx)
""",
        {FIXED, FALLS},
    ),
    "faiss-all": ("import faiss\nself.index = faiss.index_cpu_to_all_gpus(load())", {SPREADS}),
    "llama-cpp": (
        'from llama_cpp import Llama\nself.llm = Llama("m.gguf", n_gpu_layers=-1)',
        {SPREADS},
    ),
    # CUDA_VISIBLE_DEVICES
    "visible-0": (
        'os.environ["CUDA_VISIBLE_DEVICES"] = "0"\nself.m = torch.jit.load("m").cuda()',
        {VISIBLE},
    ),
    "visible-given-by-number": (
        'os.environ["CUDA_VISIBLE_DEVICES"] = ID\nself.m = torch.jit.load("m").to("cuda:" + ID)',
        {VISIBLE},
    ),
    "visible-none": (
        'os.environ["CUDA_VISIBLE_DEVICES"] = ""\nself.m = torch.load("m", map_location="cpu")',
        {VISIBLE, STAYS},
    ),
    "visible-minus-1": ('os.environ.update({"CUDA_VISIBLE_DEVICES": "-1"})', {VISIBLE}),
}
