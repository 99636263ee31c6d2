/* A Triton backend for tests of inference, which does what its model is called for.
 *
 * echo*: answers each output with the input of the same name, byte for byte; echo_raw* as UINT8.
 * many*: answers three times, with 0, 1 and 2 in output "Y" (INT32); then many_failing fails.
 * none*: a decoupled model that ends without a response.
 * crash*: aborts the server. hang*: answers after three seconds, which no test waits for.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "triton_api.h"

#define EXPORT __attribute__((visibility("default")))
#define MUST(call)          \
  do {                      \
    if (call) exit(99);     \
  } while (0)

TRITONSERVER_Error *TRITONBACKEND_InputBuffer(TRITONBACKEND_Input *input, const uint32_t index,
                                              const void **buffer, uint64_t *size,
                                              TRITONSERVER_MemoryType *memory, int64_t *id);
typedef struct TRITONBACKEND_ResponseFactory Factory;
TRITONSERVER_Error *TRITONBACKEND_ResponseFactoryNew(Factory **made, TRITONBACKEND_Request *of);
TRITONSERVER_Error *TRITONBACKEND_ResponseFactorySendFlags(Factory *factory, const uint32_t flags);
TRITONSERVER_Error *TRITONBACKEND_ResponseFactoryDelete(Factory *factory);

static void *output_of(TRITONBACKEND_Response *response, const char *name,
                       TRITONSERVER_DataType type, const int64_t *shape, uint32_t rank,
                       uint64_t size) {
  TRITONBACKEND_Output *output;
  TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
  int64_t id = 0;
  void *buffer = NULL;
  MUST(TRITONBACKEND_ResponseOutput(response, &output, name, type, shape, rank));
  MUST(TRITONBACKEND_OutputBuffer(output, &buffer, size, &memory, &id));
  return buffer;
}

static void echo(TRITONBACKEND_Request *request, int raw) {
  TRITONBACKEND_Response *response;
  uint32_t count;
  MUST(TRITONBACKEND_ResponseNew(&response, request));
  MUST(TRITONBACKEND_RequestOutputCount(request, &count));
  for (uint32_t i = 0; i < count; i++) {
    const char *name;
    TRITONBACKEND_Input *input;
    TRITONSERVER_DataType type;
    const int64_t *shape;
    uint32_t rank, buffers;
    uint64_t size;
    MUST(TRITONBACKEND_RequestOutputName(request, i, &name));
    MUST(TRITONBACKEND_RequestInput(request, name, &input));
    MUST(TRITONBACKEND_InputProperties(input, NULL, &type, &shape, &rank, &size, &buffers));
    const int64_t raw_shape[2] = {1, (int64_t)size};
    if (raw) {
      type = TRITONSERVER_TYPE_UINT8;
      shape = raw_shape;
      rank = 2;
    }
    char *to = output_of(response, name, type, shape, rank, size);
    for (uint32_t j = 0; j < buffers; j++) {
      const void *from;
      uint64_t part;
      TRITONSERVER_MemoryType memory = TRITONSERVER_MEMORY_CPU;
      int64_t id = 0;
      MUST(TRITONBACKEND_InputBuffer(input, j, &from, &part, &memory, &id));
      memcpy(to, from, part);
      to += part;
    }
  }
  MUST(TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, NULL));
}

static void many(TRITONBACKEND_Request *request, int fails) {
  const int64_t shape[1] = {1};
  for (int32_t i = 0; i < 3; i++) {
    TRITONBACKEND_Response *response;
    MUST(TRITONBACKEND_ResponseNew(&response, request));
    int32_t *value = output_of(response, "Y", TRITONSERVER_TYPE_INT32, shape, 1, sizeof i);
    *value = i;
    int last = i == 2;
    TRITONSERVER_Error *error = NULL;
    if (last && fails) error = TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, "out of words");
    MUST(TRITONBACKEND_ResponseSend(response, last ? TRITONSERVER_RESPONSE_COMPLETE_FINAL : 0,
                                    error));
    if (error) TRITONSERVER_ErrorDelete(error);
  }
}

static void none(TRITONBACKEND_Request *request) {
  Factory *factory;
  MUST(TRITONBACKEND_ResponseFactoryNew(&factory, request));
  MUST(TRITONBACKEND_ResponseFactorySendFlags(factory, TRITONSERVER_RESPONSE_COMPLETE_FINAL));
  MUST(TRITONBACKEND_ResponseFactoryDelete(factory));
}

EXPORT TRITONSERVER_Error *TRITONBACKEND_ModelInstanceExecute(
    TRITONBACKEND_ModelInstance *instance, TRITONBACKEND_Request **requests,
    const uint32_t count) {
  TRITONBACKEND_Model *model;
  const char *name;
  MUST(TRITONBACKEND_ModelInstanceModel(instance, &model));
  MUST(TRITONBACKEND_ModelName(model, &name));
  if (strncmp(name, "crash", 5) == 0) abort();
  if (strncmp(name, "hang", 4) == 0) sleep(3);
  for (uint32_t i = 0; i < count; i++) {
    if (strncmp(name, "many", 4) == 0) many(requests[i], strstr(name, "failing") != NULL);
    else if (strncmp(name, "none", 4) == 0) none(requests[i]);
    else echo(requests[i], strncmp(name, "echo_raw", 8) == 0);
    MUST(TRITONBACKEND_RequestRelease(requests[i], TRITONSERVER_REQUEST_RELEASE_ALL));
  }
  return NULL;
}
