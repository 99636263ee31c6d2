/* The stand-in backend: serves under the name of any Triton backend, without its framework.
 *
 * Triton's core decides where instances go; a backend can only prefer, refuse and complete.
 * This library does those three as the real backend of its name does (the table below), logs
 * its instances in the real format, and answers inference with zeros (BYTES: empty strings) of
 * the declared type and shape. It never looks at model files.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "json.h"
#include "triton_api.h"

#define EXPORT __attribute__((visibility("default")))
#define TRY(call)                                   \
  do {                                              \
    TRITONSERVER_Error *try_error = (call);         \
    if (try_error) return try_error;                \
  } while (0)

/* ---- what real backends do that matters to placement ---------------------------------------- */

#define CPU TRITONSERVER_INSTANCEGROUPKIND_CPU
#define GPU TRITONSERVER_INSTANCEGROUPKIND_GPU
#define ANY TRITONSERVER_INSTANCEGROUPKIND_AUTO

struct behaviour {
  const char *backend;
  TRITONSERVER_InstanceGroupKind prefers; /* kind of a model without instance_group; ANY: none */
  TRITONSERVER_InstanceGroupKind only;    /* the one kind it runs on; ANY: it refuses none */
  const char *refusal;                    /* its words for the others, behind "unable to load
                                             model '<name>', " */
  bool completes; /* fills in a missing config.pbtxt from the model file */
};

/* From the sources of the backends, releases 23.04 to 26.06. */
static const struct behaviour behaviours[] = {
    {"onnxruntime", ANY, ANY, NULL, true},
    {"openvino", CPU, CPU, "Triton openVINO backend supports only CPU device", true},
    {"tensorrt", ANY, GPU, "TensorRT backend supports only GPU device", true},
    {"tensorflow", ANY, ANY, NULL, true},
    {"dali", ANY, ANY, NULL, true},
    {"python", GPU, ANY, NULL, true},
    {"vllm", GPU, ANY, NULL, true}, /* runs on the python backend's library */
};
static const struct behaviour others = {"", ANY, ANY, NULL, false};

static const struct behaviour *behaviour_of(const char *backend) {
  for (size_t i = 0; i < sizeof behaviours / sizeof *behaviours; i++)
    if (strcmp(behaviours[i].backend, backend) == 0) return &behaviours[i];
  return &others;
}

/* ---- small helpers -------------------------------------------------------------------------- */

static TRITONSERVER_Error *new_error(TRITONSERVER_Error_Code code, const char *format,
                                     const char *detail, const char *more) {
  char *text = NULL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  if (asprintf(&text, format, detail, more) < 0) text = NULL;
#pragma GCC diagnostic pop
  TRITONSERVER_Error *error = TRITONSERVER_ErrorNew(code, text ? text : "out of memory");
  free(text);
  return error;
}

static void forget(TRITONSERVER_Error *error) {
  if (error) TRITONSERVER_ErrorDelete(error);
}

static void log_info(const char *what, const char *name, const char *where) {
  char *text = NULL;
  if (asprintf(&text, "%s: %s%s", what, name, where) < 0) return;
  forget(TRITONSERVER_LogMessage(TRITONSERVER_LOG_INFO, __FILE__, __LINE__, text));
  free(text);
}

/* By the clock that core takes its own time stamps from. */
static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- loading -------------------------------------------------------------------------------- */

EXPORT TRITONSERVER_Error *TRITONBACKEND_Initialize(TRITONBACKEND_Backend *backend) {
  const char *name;
  uint32_t major, minor;
  TRY(TRITONBACKEND_BackendName(backend, &name));
  TRY(TRITONBACKEND_ApiVersion(&major, &minor));
  log_info("TRITONBACKEND_Initialize", name, " (pytest-triton stand-in)");
  if (major != TRITON_API_MAJOR || minor < TRITON_API_MINOR) {
    return new_error(TRITONSERVER_ERROR_UNSUPPORTED,
                     "triton backend API version does not support the stand-in for %s%s", name,
                     " (it needs 1.12 or a later 1.x)");
  }
  return NULL;
}

EXPORT TRITONSERVER_Error *TRITONBACKEND_GetBackendAttribute(
    TRITONBACKEND_Backend *backend, TRITONBACKEND_BackendAttribute *attributes) {
  const char *name;
  TRY(TRITONBACKEND_BackendName(backend, &name));
  const struct behaviour *behaviour = behaviour_of(name);
  if (behaviour->prefers == ANY) return NULL;
  return TRITONBACKEND_BackendAttributeAddPreferredInstanceGroup(attributes, behaviour->prefers,
                                                                 0, NULL, 0);
}

static TRITONSERVER_Error *backend_of(TRITONBACKEND_Model *model,
                                      const struct behaviour **behaviour) {
  TRITONBACKEND_Backend *backend;
  const char *name;
  TRY(TRITONBACKEND_ModelBackend(model, &backend));
  TRY(TRITONBACKEND_BackendName(backend, &name));
  *behaviour = behaviour_of(name);
  return NULL;
}

/* The whole text of a file, which the caller frees; NULL if it can't be read. */
static char *text_of_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file) return NULL;
  char *text = NULL;
  long end;
  if (fseek(file, 0, SEEK_END) == 0 && (end = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0) {
    *size = (size_t)end;
    text = malloc(*size + 1);
    if (text && fread(text, 1, *size, file) != *size) {
      free(text);
      text = NULL;
    }
  }
  fclose(file);
  return text;
}

/* The config that Python has completed for this model, in the folder that is named by
 * PYTEST_TRITON_COMPLETIONS; empty if there is none. */
static TRITONSERVER_Error *completed_config(TRITONBACKEND_Model *model,
                                            TRITONSERVER_Message **config) {
  const char *folder = getenv("PYTEST_TRITON_COMPLETIONS"), *name;
  char *path = NULL;
  size_t size = 0;
  *config = NULL;
  if (!folder) return NULL;
  TRY(TRITONBACKEND_ModelName(model, &name));
  if (asprintf(&path, "%s/%s.json", folder, name) < 0)
    return new_error(TRITONSERVER_ERROR_INTERNAL, "out of memory%s%s", "", "");
  char *text = text_of_file(path, &size);
  free(path);
  if (!text) return NULL;
  TRITONSERVER_Error *error = TRITONSERVER_MessageNewFromSerializedJson(config, text, size);
  free(text);
  return error;
}

/* A model without config.pbtxt, or with half of one, must get the rest from its backend. What
 * clients and ensembles need to know of its inputs and outputs is for Python to guess; where
 * nothing is known, the config that core has put together is handed back as it is. */
static TRITONSERVER_Error *complete_config(TRITONBACKEND_Model *model) {
  bool wanted = false;
  TRITONBACKEND_ArtifactType type;
  const char *directory;
  char *path = NULL;
  TRITONSERVER_Message *config;
  TRY(TRITONBACKEND_ModelAutoCompleteConfig(model, &wanted));
  if (!wanted) return NULL;
  TRY(completed_config(model, &config));
  if (!config) {
    TRY(TRITONBACKEND_ModelRepository(model, &type, &directory));
    if (asprintf(&path, "%s/config.pbtxt", directory) < 0)
      return new_error(TRITONSERVER_ERROR_INTERNAL, "out of memory%s%s", "", "");
    bool written_down = access(path, F_OK) == 0;
    free(path);
    if (written_down) return NULL;
    TRY(TRITONBACKEND_ModelConfig(model, 1, &config));
  }
  TRITONSERVER_Error *error = TRITONBACKEND_ModelSetConfig(model, 1, config);
  forget(TRITONSERVER_MessageDelete(config));
  return error;
}

static TRITONSERVER_Error *refusal(const struct behaviour *behaviour, const char *model_name) {
  return new_error(TRITONSERVER_ERROR_INVALID_ARG, "unable to load model '%s', %s", model_name,
                   behaviour->refusal);
}

/* Do the resolved groups hold both the one kind that the backend runs on and others? */
static TRITONSERVER_Error *has_mixed_kinds(TRITONBACKEND_Model *model,
                                           const struct behaviour *behaviour, bool *mixed) {
  const char *only = behaviour->only == GPU ? "KIND_GPU" : "KIND_CPU", *text;
  TRITONSERVER_Message *config;
  size_t size;
  bool wanted = false, refused = false;
  TRY(TRITONBACKEND_ModelConfig(model, 1, &config));
  TRITONSERVER_Error *error = TRITONSERVER_MessageSerializeToJson(config, &text, &size);
  if (!error) {
    struct json groups = json_member(json_text(text, size), "instance_group");
    for (struct json group = json_first(groups); group.start; group = json_next(group)) {
      char kind[32] = "";
      json_string(json_member(group, "kind"), kind, sizeof kind);
      if (strcmp(kind, only) == 0) wanted = true;
      else refused = true;
    }
  }
  forget(TRITONSERVER_MessageDelete(config));
  *mixed = wanted && refused;
  return error;
}

/* Real backends refuse a kind when its instance is made, and so do we. But when other instances
 * of the model have been made before, core often crashes on cleaning them up (seen in 2.33.0 to
 * 2.51.0). One such model must not end a rehearsal, so here the model is refused beforehand. */
EXPORT TRITONSERVER_Error *TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model *model) {
  const struct behaviour *behaviour;
  const char *model_name;
  bool mixed = false;
  TRY(TRITONBACKEND_ModelName(model, &model_name));
  TRY(backend_of(model, &behaviour));
  if (behaviour->completes) TRY(complete_config(model));
  if (behaviour->only != ANY) TRY(has_mixed_kinds(model, behaviour, &mixed));
  return mixed ? refusal(behaviour, model_name) : NULL;
}

EXPORT TRITONSERVER_Error *TRITONBACKEND_ModelInstanceInitialize(
    TRITONBACKEND_ModelInstance *instance) {
  const char *name, *model_name;
  TRITONSERVER_InstanceGroupKind kind;
  int32_t device;
  TRITONBACKEND_Model *model;
  const struct behaviour *behaviour;
  char where[64];
  TRY(TRITONBACKEND_ModelInstanceName(instance, &name));
  TRY(TRITONBACKEND_ModelInstanceKind(instance, &kind));
  TRY(TRITONBACKEND_ModelInstanceDeviceId(instance, &device));
  TRY(TRITONBACKEND_ModelInstanceModel(instance, &model));
  TRY(TRITONBACKEND_ModelName(model, &model_name));
  TRY(backend_of(model, &behaviour));
  snprintf(where, sizeof where, " (%s device %d)", TRITONSERVER_InstanceGroupKindString(kind),
           (int)device);
  log_info("TRITONBACKEND_ModelInstanceInitialize", name, where);
  bool refused = behaviour->only != ANY && kind != behaviour->only;
  return refused ? refusal(behaviour, model_name) : NULL;
}

/* ---- what inference needs of the model's config --------------------------------------------- */

#define MAX_RANK 64
#define MAX_NAME 1024

struct tensor {
  char name[MAX_NAME];
  TRITONSERVER_DataType type;
  uint32_t rank;
  int64_t dims[MAX_RANK]; /* without the batch dimension; -1: variable */
};

struct signature {
  bool batching;
  size_t input_count, output_count;
  struct tensor *inputs, *outputs;
};

static bool read_dims(struct json dims, struct tensor *tensor) {
  tensor->rank = 0;
  for (struct json dim = json_first(dims); dim.start; dim = json_next(dim)) {
    if (tensor->rank == MAX_RANK || !json_integer(dim, &tensor->dims[tensor->rank++]))
      return false;
  }
  return true;
}

/* Reads one list of the config ("input" or "output") into tensors; the caller frees them. */
static bool read_tensors(struct json list, struct tensor **tensors, size_t *count) {
  char type[32];
  *count = 0;
  for (struct json entry = json_first(list); entry.start; entry = json_next(entry)) ++*count;
  *tensors = calloc(*count ? *count : 1, sizeof **tensors);
  struct tensor *tensor = *tensors;
  if (!tensor) return false;
  for (struct json entry = json_first(list); entry.start; entry = json_next(entry), tensor++) {
    /* Where there is a reshape, the backend sees and gives that shape. */
    struct json dims = json_member(json_member(entry, "reshape"), "shape");
    if (!dims.start) dims = json_member(entry, "dims");
    if (!json_string(json_member(entry, "name"), tensor->name, sizeof tensor->name) ||
        !json_string(json_member(entry, "data_type"), type, sizeof type) ||
        strncmp(type, "TYPE_", 5) != 0 || !read_dims(dims, tensor))
      return false;
    tensor->type = strcmp(type, "TYPE_STRING") == 0 ? TRITONSERVER_TYPE_BYTES
                                                    : TRITONSERVER_StringToDataType(type + 5);
  }
  return true;
}

static void free_signature(struct signature *signature) {
  if (!signature) return;
  free(signature->inputs);
  free(signature->outputs);
  free(signature);
}

static struct signature *read_signature(struct json config) {
  int64_t max_batch_size = 0;
  struct signature *signature = calloc(1, sizeof *signature);
  if (!signature) return NULL;
  json_integer(json_member(config, "max_batch_size"), &max_batch_size);
  signature->batching = max_batch_size > 0;
  if (read_tensors(json_member(config, "input"), &signature->inputs, &signature->input_count) &&
      read_tensors(json_member(config, "output"), &signature->outputs, &signature->output_count))
    return signature;
  free_signature(signature);
  return NULL;
}

/* The model's signature, read at its first request and kept as the model's state. */
static TRITONSERVER_Error *signature_of(TRITONBACKEND_Model *model,
                                        const struct signature **signature) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  TRITONSERVER_Message *config = NULL;
  const char *text;
  size_t size;
  void *state = NULL;
  pthread_mutex_lock(&lock);
  TRITONSERVER_Error *error = TRITONBACKEND_ModelState(model, &state);
  if (!error && !state) error = TRITONBACKEND_ModelConfig(model, 1, &config);
  if (!error && config) error = TRITONSERVER_MessageSerializeToJson(config, &text, &size);
  if (!error && config) {
    state = read_signature(json_text(text, size));
    if (state) error = TRITONBACKEND_ModelSetState(model, state);
    else error = new_error(TRITONSERVER_ERROR_INTERNAL,
                           "the stand-in can't read the model's inputs and outputs%s%s", "", "");
  }
  if (config) forget(TRITONSERVER_MessageDelete(config));
  pthread_mutex_unlock(&lock);
  *signature = state;
  return error;
}

EXPORT TRITONSERVER_Error *TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model *model) {
  void *state = NULL;
  TRY(TRITONBACKEND_ModelState(model, &state));
  free_signature(state);
  return NULL;
}

/* ---- inference ------------------------------------------------------------------------------ */

struct shape {
  const int64_t *dims; /* with the batch dimension; NULL: the request hasn't got this input */
  uint32_t rank;
};

static struct shape shape_in_request(TRITONBACKEND_Request *request, const char *name) {
  TRITONBACKEND_Input *input;
  struct shape shape = {NULL, 0};
  TRITONSERVER_Error *error = TRITONBACKEND_RequestInput(request, name, &input);
  if (!error)
    error = TRITONBACKEND_InputProperties(input, NULL, NULL, &shape.dims, &shape.rank, NULL, NULL);
  if (error) shape.dims = NULL;
  forget(error);
  return shape;
}

/* The shape to answer `output` with. The batch size is that of the inputs; a variable dimension
 * is taken from the input of the same name and rank, else from the first input of that rank,
 * else it is 1. */
static uint32_t resolve_shape(const struct signature *signature, const struct tensor *output,
                              TRITONBACKEND_Request *request, int64_t *dims) {
  uint32_t rank = output->rank + signature->batching;
  const int64_t *pattern = NULL, *batch = NULL;
  for (size_t i = 0; i < signature->input_count; i++) {
    const struct tensor *input = &signature->inputs[i];
    struct shape shape = shape_in_request(request, input->name);
    if (!shape.dims) continue;
    if (!batch && shape.rank > 0) batch = shape.dims;
    if (shape.rank != rank) continue;
    if (!pattern || strcmp(input->name, output->name) == 0) pattern = shape.dims;
  }
  if (signature->batching) dims[0] = batch ? batch[0] : 1;
  for (uint32_t i = 0; i < output->rank; i++) {
    uint32_t at = i + signature->batching;
    dims[at] = output->dims[i] >= 0 ? output->dims[i] : pattern ? pattern[at] : 1;
  }
  return rank;
}

static TRITONSERVER_Error *answer_output(const struct signature *signature,
                                         TRITONBACKEND_Request *request,
                                         TRITONBACKEND_Response *response, const char *name) {
  const struct tensor *tensor = NULL;
  for (size_t i = 0; i < signature->output_count; i++)
    if (strcmp(signature->outputs[i].name, name) == 0) tensor = &signature->outputs[i];
  if (!tensor)
    return new_error(TRITONSERVER_ERROR_INVALID_ARG, "the model has no output '%s'%s", name, "");

  int64_t dims[MAX_RANK + 1];
  uint32_t rank = resolve_shape(signature, tensor, request, dims);
  uint64_t size = TRITONSERVER_DataTypeByteSize(tensor->type);
  if (tensor->type == TRITONSERVER_TYPE_BYTES) size = 4; /* the length before an empty string */
  for (uint32_t i = 0; i < rank; i++) {
    if (__builtin_mul_overflow(size, (uint64_t)dims[i], &size) || size > INT64_MAX)
      return new_error(TRITONSERVER_ERROR_INVALID_ARG, "output '%s' is too large%s", name, "");
  }
  TRITONBACKEND_Output *output;
  void *buffer = NULL;
  TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
  int64_t memory_id = 0;
  TRY(TRITONBACKEND_ResponseOutput(response, &output, name, tensor->type, dims, rank));
  TRY(TRITONBACKEND_OutputBuffer(output, &buffer, size, &memory, &memory_id));
  if (memory == TRITONSERVER_MEMORY_GPU && !getenv("PYTEST_TRITON_GPUS_FILE"))
    return new_error(TRITONSERVER_ERROR_UNSUPPORTED,
                     "the stand-in can't write output '%s' to real GPU memory%s", name, "");
  if (size > 0) memset(buffer, 0, size);
  return NULL;
}

/* Fills a response with every output that the request asks for. */
static TRITONSERVER_Error *answer(const struct signature *signature,
                                  TRITONBACKEND_Request *request,
                                  TRITONBACKEND_Response *response) {
  uint32_t count;
  TRY(TRITONBACKEND_RequestOutputCount(request, &count));
  for (uint32_t i = 0; i < count; i++) {
    const char *name;
    TRY(TRITONBACKEND_RequestOutputName(request, i, &name));
    TRY(answer_output(signature, request, response, name));
  }
  return NULL;
}

/* Each request gets one final response, decoupled models' too, and is then released: from here
 * on its errors belong into its response. */
EXPORT TRITONSERVER_Error *TRITONBACKEND_ModelInstanceExecute(
    TRITONBACKEND_ModelInstance *instance, TRITONBACKEND_Request **requests,
    const uint32_t request_count) {
  TRITONBACKEND_Model *model;
  const struct signature *signature = NULL;
  TRY(TRITONBACKEND_ModelInstanceModel(instance, &model));
  TRY(signature_of(model, &signature));
  uint64_t start = now_ns();
  for (uint32_t i = 0; i < request_count; i++) {
    TRITONBACKEND_Response *response;
    uint64_t request_start = now_ns();
    TRITONSERVER_Error *error = TRITONBACKEND_ResponseNew(&response, requests[i]);
    bool success = false;
    if (!error) {
      TRITONSERVER_Error *problem = answer(signature, requests[i], response);
      success = !problem;
      error = TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, problem);
      forget(problem);
    }
    forget(error);
    uint64_t end = now_ns();
    forget(TRITONBACKEND_ModelInstanceReportStatistics(instance, requests[i], success,
                                                       request_start, request_start, end, end));
    forget(TRITONBACKEND_RequestRelease(requests[i], TRITONSERVER_REQUEST_RELEASE_ALL));
  }
  uint64_t end = now_ns();
  forget(TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, request_count, start, start,
                                                          end, end));
  return NULL;
}
