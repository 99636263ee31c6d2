/* Simulated GPUs, second part: the DCGM functions that tritonserver reads its GPU metrics from.
 *
 * With them the metrics of GPU instances carry gpu_uuid labels and nv_gpu_* metrics appear, as
 * on a machine with GPUs. Power, energy and utilisation are constants of an idle GPU. The
 * members used here lie at the same places in DCGM 2.1 to 4.6; a server that was built for other
 * versions of the structures is answered with DCGM_ST_VER_MISMATCH, and has no GPU metrics.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cuda_interface.h"
#include "simulated_gpus.h"

#define EXPORT __attribute__((visibility("default")))
#define DCGM_TEXT 256

enum { DCGM_ST_OK = 0, DCGM_ST_BADPARAM = -1, DCGM_ST_NOT_SUPPORTED = -6,
       DCGM_ST_INIT_ERROR = -8, DCGM_ST_VER_MISMATCH = -12 };
enum { POWER_USAGE = 155, TOTAL_ENERGY = 156, POWER_LIMIT = 160, GPU_UTILISATION = 203,
       MEMORY_TOTAL = 250, MEMORY_USED = 252 };

/* dcgmDeviceAttributes_v2 (5216 bytes) and _v3 (5220), up to the last member that core reads. */
struct device_attributes {
  uint32_t version;
  char clocks_and_limits[3116];
  uint32_t identifiers_version;
  char brand[DCGM_TEXT];
  char name[DCGM_TEXT];
  char pci_bus_id[DCGM_TEXT];
  char serial[DCGM_TEXT];
  char uuid[DCGM_TEXT];
};
#define ATTRIBUTES_V2 (5216u | 2u << 24) /* DCGM's version words: size and number */
#define ATTRIBUTES_V3 (5220u | 3u << 24)

/* dcgmFieldValue_v1 */
struct field_value {
  uint32_t version;
  uint16_t field;
  uint16_t type;
  int32_t status;
  int64_t time;
  union {
    int64_t whole;
    double real;
    char blob[4096];
  } value;
};
_Static_assert(sizeof(struct field_value) == 4120, "dcgmFieldValue_v1");

static int device_count(void) {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

EXPORT int dcgmInit(void) { return DCGM_ST_OK; }
EXPORT int dcgmShutdown(void) { return DCGM_ST_OK; }

EXPORT int dcgmStartEmbedded(int mode, uintptr_t *handle) {
  (void)mode;
  if (!handle) return DCGM_ST_BADPARAM;
  *handle = 1;
  return device_count() > 0 ? DCGM_ST_OK : DCGM_ST_INIT_ERROR;
}

EXPORT int dcgmConnect(const char *address, uintptr_t *handle) {
  (void)address;
  return dcgmStartEmbedded(0, handle);
}

EXPORT int dcgmStopEmbedded(uintptr_t handle) { return (void)handle, DCGM_ST_OK; }
EXPORT int dcgmDisconnect(uintptr_t handle) { return (void)handle, DCGM_ST_OK; }

/* Only the GPUs that CUDA shows: core ignores others anyway. */
EXPORT int dcgmGetAllDevices(uintptr_t handle, unsigned int *ids, int *count) {
  (void)handle;
  *count = device_count();
  for (int id = 0; id < *count; id++) ids[id] = (unsigned int)id;
  return DCGM_ST_OK;
}

EXPORT int dcgmGetDeviceAttributes(uintptr_t handle, unsigned int id,
                                   struct device_attributes *attributes) {
  (void)handle;
  char bus[32];
  if (!attributes) return DCGM_ST_BADPARAM;
  if (attributes->version != ATTRIBUTES_V2 && attributes->version != ATTRIBUTES_V3)
    return DCGM_ST_VER_MISMATCH;
  if (cudaDeviceGetPCIBusId(bus, sizeof bus, (int)id) != cudaSuccess) return DCGM_ST_BADPARAM;
  snprintf(attributes->pci_bus_id, DCGM_TEXT, "0000%s", bus); /* eight digits of domain */
  snprintf(attributes->name, DCGM_TEXT, "Simulated GPU");
  simulated_gpu_uuid((int)id, attributes->uuid, DCGM_TEXT);
  return DCGM_ST_OK;
}

EXPORT int dcgmGroupCreate(uintptr_t handle, int type, const char *name, uintptr_t *group) {
  (void)handle, (void)type, (void)name;
  *group = 1;
  return DCGM_ST_OK;
}

EXPORT int dcgmGroupDestroy(uintptr_t handle, uintptr_t group) {
  return (void)handle, (void)group, DCGM_ST_OK;
}

EXPORT int dcgmFieldGroupCreate(uintptr_t handle, int count, const uint16_t *fields,
                                const char *name, uintptr_t *group) {
  (void)handle, (void)count, (void)fields, (void)name;
  *group = 1;
  return DCGM_ST_OK;
}

EXPORT int dcgmWatchFields(uintptr_t handle, uintptr_t group, uintptr_t fields,
                           long long interval_us, double keep_seconds, int keep_samples) {
  (void)handle, (void)group, (void)fields, (void)interval_us, (void)keep_seconds;
  return (void)keep_samples, DCGM_ST_OK;
}

EXPORT int dcgmUpdateAllFields(uintptr_t handle, int wait) {
  return (void)handle, (void)wait, DCGM_ST_OK;
}

EXPORT int dcgmGetLatestValuesForFields(uintptr_t handle, int id, const uint16_t *fields,
                                        unsigned int count, struct field_value *values) {
  (void)handle;
  size_t used, total;
  if (simulated_gpu_memory(id, &used, &total) != cudaSuccess) return DCGM_ST_BADPARAM;
  for (unsigned int i = 0; i < count; i++) {
    struct field_value *value = &values[i];
    value->field = fields[i];
    value->status = DCGM_ST_OK;
    if (fields[i] == POWER_LIMIT) value->value.real = 400.0; /* watts */
    else if (fields[i] == POWER_USAGE) value->value.real = 50.0;
    else if (fields[i] == TOTAL_ENERGY) value->value.whole = 1; /* millijoules */
    else if (fields[i] == GPU_UTILISATION) value->value.whole = 0;
    else if (fields[i] == MEMORY_TOTAL) value->value.whole = (int64_t)(total >> 20); /* MiB */
    else if (fields[i] == MEMORY_USED) value->value.whole = (int64_t)(used >> 20);
    else value->status = DCGM_ST_NOT_SUPPORTED;
  }
  return DCGM_ST_OK;
}
