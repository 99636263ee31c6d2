"""Good python models: each takes the device that its instance was given, or fails.

The body of `initialize` (and of `execute`, after a line `---`), for KIND_GPU and KIND_CPU as its
name says: `both` handles either kind. `ID` stands for `args["model_instance_device_id"]`.
"""

from __future__ import annotations

GPU_MODELS: dict[str, str] = {
    "given": 'self.model = torch.jit.load("m.pt", map_location="cuda:" + ID)',
    "given-format": 'self.model = torch.jit.load("m.pt").to("cuda:{}".format(ID))',
    "given-percent": 'self.model = torch.jit.load("m.pt").to("cuda:%s" % ID)',
    "given-int": 'self.model = torch.jit.load("m.pt").cuda(int(ID))',
    "given-device": 'self.device = torch.device("cuda", int(ID))\nself.m = load().to(self.device)',
    "given-get": """
device = args.get("model_instance_device_id", "0")
self.model = torch.jit.load("m.pt").to(f"cuda:{device}")
""",
    "set-device": """
torch.cuda.set_device(int(ID))
self.model = torch.jit.load("m.pt").cuda()
---
x = torch.zeros(3, device="cuda")
""",
    "device-context": """
with torch.cuda.device(int(ID)):
    self.model = torch.jit.load("m.pt").cuda()
""",
    "in-execute": """
self.device = torch.device(f"cuda:{ID}")
self.model = torch.load("m.pt", map_location=self.device).eval()
---
x = torch.from_numpy(request.as_numpy()).to(self.device)
y = self.model(x).cpu().numpy()
""",
    "raises-without-gpu": """
if not torch.cuda.is_available():
    raise RuntimeError("no GPU")
self.device = "cuda:" + ID
self.model = torch.jit.load("m.pt").to(self.device)
""",
    "raises-in-else": """
if torch.cuda.is_available():
    self.model = torch.jit.load("m.pt").to("cuda:" + ID)
else:
    raise RuntimeError("no GPU")
""",
    "asserts": 'assert torch.cuda.is_available()\nself.m = torch.jit.load("m.pt").cuda(int(ID))',
    "logs-only": """
if torch.cuda.is_available():
    print(torch.cuda.get_device_name(int(ID)))
self.model = torch.jit.load("m.pt").to("cuda:" + ID)
""",
    "half-if-available": """
dtype = torch.float16 if torch.cuda.is_available() else torch.float32
self.model = torch.jit.load("m.pt").to("cuda:" + ID)
""",
    "handles-errors": """
self.model = torch.jit.load("m.pt").to("cuda:" + ID)
---
try:
    y = self.model(torch.ones(3).to("cuda:0" if False else self.model.device))
except Exception as error:
    responses.append(error)
""",
    "both-kinds": """
if args["model_instance_kind"] == "GPU":
    self.device = "cuda:" + ID
else:
    self.device = "cpu"
self.model = torch.jit.load("m.pt").to(self.device)
""",
    "both-kinds-expression": """
kind = args["model_instance_kind"].lower()
self.device = torch.device("cuda" if kind == "gpu" else "cpu", int(ID))
self.model = torch.jit.load("m.pt", map_location=self.device)
""",
    "both-kinds-example": """
device = "cuda" if args["model_instance_kind"] == "GPU" else "cpu"
self.device = f"{device}:{ID}"
self.model = torch.nn.Linear(3, 4).to(self.device)
""",
    "both-kinds-dict": """
device = {"GPU": f"cuda:{ID}", "CPU": "cpu"}[args["model_instance_kind"]]
self.model = torch.jit.load("m.pt").to(device)
""",
    "modulo": """
number = int(ID) % torch.cuda.device_count()
self.model = torch.jit.load("m.pt").to(f"cuda:{number}")
""",
    "own-choice-from-environment": """
self.model = torch.jit.load("m.pt").to(os.environ.get("DEVICE", "cuda:0"))
""",
    "visible": """
os.environ["CUDA_VISIBLE_DEVICES"] = ID
self.model = torch.jit.load("m.pt").to("cuda:0")
""",
    "visible-too-late-to-matter": """
assert torch.cuda.is_available()
os.environ["CUDA_VISIBLE_DEVICES"] = ID
self.model = torch.jit.load("m.pt").to("cuda:" + ID)
""",
    "visible-vllm": """
os.environ["CUDA_VISIBLE_DEVICES"] = str(ID)
from vllm import LLM
self.llm = LLM("x")
""",
    "helper-method": """
def place(number):
    return torch.jit.load("m.pt").to(f"cuda:{number}")
self.model = place(int(ID))
""",
    "hands-everything-on": """
from company.models import build
self.model = build(args)
self.model.to("cuda")
""",
    "transformers-map": """
from transformers import AutoModelForCausalLM, AutoTokenizer
self.tokenizer = AutoTokenizer.from_pretrained("x")
self.model = AutoModelForCausalLM.from_pretrained("x", device_map={"": int(ID)})
""",
    "transformers-map-name": """
import transformers
self.model = transformers.AutoModel.from_pretrained("x", device_map=f"cuda:{ID}")
""",
    "transformers-pipeline": """
from transformers import pipeline
self.pipe = pipeline("ner", device=int(ID))
""",
    "transformers-pipeline-both": """
from transformers import pipeline
self.pipe = pipeline("ner", device=int(ID) if args["model_instance_kind"] == "GPU" else -1)
""",
    "transformers-pipeline-of-model": """
from transformers import AutoModel, pipeline
model = AutoModel.from_pretrained("x").to("cuda:" + ID)
self.pipe = pipeline("ner", model=model, device=torch.device("cuda:" + ID))
""",
    "tokenizer-only": """
from transformers import AutoTokenizer, CLIPProcessor
self.tokenizer = AutoTokenizer.from_pretrained("x")
self.processor = CLIPProcessor.from_pretrained("x")
""",
    "sentence-transformers": """
from sentence_transformers import SentenceTransformer
self.model = SentenceTransformer("x", device="cuda:" + ID)
""",
    "sentence-transformers-moved": """
from sentence_transformers import SentenceTransformer
self.model = SentenceTransformer("x").to("cuda:" + ID)
""",
    "diffusers": """
from diffusers import StableDiffusionPipeline
self.pipe = StableDiffusionPipeline.from_pretrained("x", torch_dtype=torch.float16)
self.pipe.to(f"cuda:{ID}")
""",
    "diffusers-offload": """
from diffusers import DiffusionPipeline
self.pipe = DiffusionPipeline.from_pretrained("x")
self.pipe.enable_model_cpu_offload(gpu_id=int(ID))
""",
    "onnxruntime": """
import onnxruntime as ort
self.session = ort.InferenceSession(
    "m.onnx", providers=[("CUDAExecutionProvider", {"device_id": int(ID)})])
""",
    "onnxruntime-options": """
import onnxruntime as ort
self.session = ort.InferenceSession(
    "m.onnx", providers=["CUDAExecutionProvider"], provider_options=[{"device_id": ID}])
""",
    "onnxruntime-checked": """
import onnxruntime as ort
providers = [("CUDAExecutionProvider", {"device_id": int(ID)}), "CPUExecutionProvider"]
self.session = ort.InferenceSession("m.onnx", providers=providers)
if "CUDAExecutionProvider" not in self.session.get_providers():
    raise RuntimeError("onnxruntime fell back to the CPU")
""",
    "tensorrt": """
import tensorrt as trt
torch.cuda.set_device(int(ID))
runtime = trt.Runtime(trt.Logger())
self.engine = runtime.deserialize_cuda_engine(open("m.plan", "rb").read())
""",
    "tensorrt-cudart": """
import tensorrt as trt
from cuda import cudart
cudart.cudaSetDevice(int(ID))
self.runtime = trt.Runtime(trt.Logger())
""",
    "tensorflow-device": """
import tensorflow as tf
with tf.device(f"/GPU:{ID}"):
    self.model = tf.saved_model.load("m")
""",
    "tensorflow-visible": """
import tensorflow as tf
gpus = tf.config.list_physical_devices("GPU")
tf.config.set_visible_devices(gpus[int(ID)], "GPU")
self.model = tf.keras.models.load_model("m")
""",
    "tensorflow-memory-growth": """
import tensorflow as tf
for gpu in tf.config.list_physical_devices("GPU"):
    tf.config.experimental.set_memory_growth(gpu, True)
with tf.device("/GPU:" + ID):
    self.model = tf.keras.models.load_model("m")
""",
    "jax": """
import jax
device = jax.devices("gpu")[int(ID)]
self.weights = jax.device_put([1.0], device)
""",
    "jax-platforms": """
os.environ["JAX_PLATFORMS"] = "cuda"
import jax
with jax.default_device(jax.devices()[int(ID)]):
    self.answer = jax.jit(lambda x: x)
""",
    "jax-default-device": """
import jax
with jax.default_device(jax.devices("gpu")[int(ID)]):
    self.answer = jax.jit(lambda x: x)
""",
    "cupy": "import cupy as cp\ncp.cuda.Device(int(ID)).use()\nself.weights = cp.asarray([1.0])",
    "cupy-context": "import cupy\nwith cupy.cuda.Device(int(ID)):\n    self.w = cupy.zeros(3)",
    "numba": "from numba import cuda\ncuda.select_device(int(ID))\nself.w = cuda.to_device([1])",
    "cudf": "import cudf, cupy\ncupy.cuda.Device(int(ID)).use()\nself.table = cudf.DataFrame()",
    "faster-whisper": """
from faster_whisper import WhisperModel
self.model = WhisperModel("large-v3", device="cuda", device_index=int(ID))
""",
    "faster-whisper-both": """
from faster_whisper import WhisperModel
device = "cuda" if args["model_instance_kind"] == "GPU" else "cpu"
self.model = WhisperModel("large-v3", device=device, device_index=int(ID))
""",
    "ctranslate2": """
import ctranslate2
self.translator = ctranslate2.Translator("x", device="cuda", device_index=int(ID))
""",
    "whisper": 'import whisper\nself.model = whisper.load_model("base", device="cuda:" + ID)',
    "ultralytics": """
from ultralytics import YOLO
self.model = YOLO("m.pt").to("cuda:" + ID)
---
self.model("x.jpg")
""",
    "ultralytics-predict": """
from ultralytics import YOLO
self.model = YOLO("m.pt")
self.device = int(ID)
---
self.model.predict("x.jpg", device=self.device)
""",
    "spacy": 'import spacy\nspacy.require_gpu(int(ID))\nself.nlp = spacy.load("en")',
    "opencv": """
import cv2
self.image = cv2.imread("x.png")
""",
    "dali": """
from nvidia.dali import pipeline_def, fn
@pipeline_def(batch_size=8, num_threads=2)
def decode():
    return fn.external_source(device="gpu")
self.pipe = decode(device_id=int(ID))
""",
    "paddle": 'import paddle\npaddle.set_device("gpu:" + ID)\nself.model = paddle.jit.load("m")',
    "mxnet": """
import mxnet as mx
ctx = mx.gpu(int(ID))
self.net = mx.gluon.nn.SymbolBlock.imports("s", ["data"], "p", ctx=ctx)
""",
    "faiss": """
import faiss
resources = faiss.StandardGpuResources()
self.index = faiss.index_cpu_to_gpu(resources, int(ID), faiss.read_index("x"))
""",
    "raises-for-its-kind": """
if args["model_instance_kind"] == "GPU" and not torch.cuda.is_available():
    raise ValueError("no GPU")
self.device = f"cuda:{ID}" if torch.cuda.is_available() else "cpu"
self.model = torch.jit.load("m.pt").to(self.device)
""",
    "data-parallel-on-one": """
model = torch.jit.load("m.pt").cuda(int(ID))
self.model = torch.nn.DataParallel(model, device_ids=[int(ID)])
""",
    "both-by-startswith": """
kind = args["model_instance_kind"].strip().upper()
if kind.startswith("GPU"):
    self.device = torch.device("cuda:%d" % int(ID))
elif kind == "CPU":
    self.device = torch.device("cpu")
else:
    raise ValueError(kind)
self.model = torch.jit.load("m.pt").to(self.device)
""",
    "logs-and-raises": """
try:
    self.model = torch.jit.load("m.pt").to("cuda:" + ID)
except Exception as error:
    print(error)
    raise
""",
    "autocast": """
self.model = torch.jit.load("m.pt").to("cuda:" + ID)
---
with torch.autocast("cuda"), torch.inference_mode():
    self.model(1)
torch.cuda.empty_cache()
""",
    "both-hides-gpus": """
if args["model_instance_kind"] == "GPU":
    os.environ["CUDA_VISIBLE_DEVICES"] = ID
    device = "cuda"
else:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    device = "cpu"
self.model = torch.jit.load("m.pt").to(device)
""",
    "no-device-at-all": "import numpy as np\nself.weights = np.load('w.npy')",
    "unknown-library": "from company import Model\nself.model = Model()",
    "calls-other-models": """
import json
self.config = json.loads(args["model_config"])
---
response = pb_utils.InferenceRequest(model_name="m", inputs=[]).exec()
""",
}

CPU_MODELS: dict[str, str] = {
    "never-moved": 'self.model = torch.jit.load("m.pt", map_location="cpu")',
    "moved-to-cpu": 'self.model = torch.jit.load("m.pt").to("cpu")',
    "hides-gpus": """
os.environ["CUDA_VISIBLE_DEVICES"] = ""
self.device = "cuda" if torch.cuda.is_available() else "cpu"
self.model = torch.jit.load("m.pt").to(self.device)
""",
    "onnxruntime": """
import onnxruntime as ort
self.session = ort.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
""",
    "sentence-transformers": """
from sentence_transformers import SentenceTransformer
self.model = SentenceTransformer("x", device="cpu")
""",
    "faster-whisper": """
from faster_whisper import WhisperModel
self.model = WhisperModel("tiny", device="cpu", compute_type="int8")
""",
    "pipeline": 'from transformers import pipeline\nself.pipe = pipeline("ner", device=-1)',
    "pipeline-default": 'from transformers import pipeline\nself.pipe = pipeline("ner")',
    "spacy": 'import spacy\nself.nlp = spacy.load("en")',
    "tensorflow": """
import tensorflow as tf
tf.config.set_visible_devices([], "GPU")
self.model = tf.keras.models.load_model("m")
""",
    "tensorflow-device": """
import tensorflow as tf
with tf.device("/CPU:0"):
    self.model = tf.saved_model.load("m")
""",
    "config-kind": """
import json
group = json.loads(args["model_config"])["instance_group"][0]
self.device = "cuda" if group["kind"] == "KIND_GPU" else "cpu"
self.model = torch.jit.load("m.pt").to(self.device)
""",
}
