/* Simulated GPUs: CUDA's runtime interface over host memory, to be preloaded (LD_PRELOAD).
 *
 * tritonserver asks CUDA how many GPUs there are and of what kind, and places models by the
 * answers. This library gives the answers from a control file, so that a real server can be
 * shown any hardware. It simulates placement and memory, never computing: a kernel launch is
 * refused, and so is every other call of the runtime (refused_calls.h): none of them reaches a
 * real one. Definitions carry no symbol version on purpose: the dynamic linker then takes them
 * for any version asked for (libcudart.so.12, libcudart.so.13).
 *
 * The control file is named by PYTEST_TRITON_GPUS_FILE and read again at each
 * cudaGetDeviceCount. One "key=value" a line, "#" starts a comment:
 *   count=2                   GPUs in the machine, 0 to 16 (required)
 *   compute_capability=8.0    of all GPUs, or one for each, separated by commas
 *   memory_mib=16384          of each GPU
 *   fault=none                or driver-too-old, no-device, unknown
 * What can't be read or understood is reported on stderr, and every call that asks for devices
 * fails with cudaErrorInitializationError, which makes Triton refuse every model.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "cuda_interface.h"
#include "refused_calls.h"
#include "simulated_gpus.h"

#define EXPORT __attribute__((visibility("default")))
#define MAX_GPUS 16
#define CONTROL_FILE_LIMIT 4096
#define PROBLEM_LIMIT 512

/* ---- what the control file says ---------------------------------------------------------- */

struct settings {
  int count;                 /* GPUs in the machine */
  int visible;               /* GPUs after CUDA_VISIBLE_DEVICES */
  int machine_id[MAX_GPUS];  /* ordinal -> which GPU of the machine */
  int major[MAX_GPUS], minor[MAX_GPUS];
  size_t memory_bytes;
  cudaError_t fault;
  char problem[PROBLEM_LIMIT]; /* why the file can't be used; empty when it can */
};

static pthread_mutex_t settings_lock = PTHREAD_MUTEX_INITIALIZER;
static struct settings current;
static bool settings_read;
static char reported_problem[PROBLEM_LIMIT];

static _Thread_local int thread_device;
static _Thread_local cudaError_t thread_error;
static _Thread_local char thread_error_text[PROBLEM_LIMIT + 64];

static cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) thread_error = error;
  return error;
}

/* The number that `text` begins with; LONG_MAX if it is larger than any that is asked for. Not
 * strtol: newer C libraries have that under a name which those of images before 24.11 lack. */
static long leading_number(const char *text, const char **end) {
  long number = 0;
  for (; isdigit((unsigned char)*text); text++)
    number = number > LONG_MAX / 100 ? LONG_MAX : number * 10 + (*text - '0');
  *end = text;
  return number;
}

/* A whole decimal number between low and high, with nothing behind it. */
static bool parse_number(const char *text, long low, long high, long *number) {
  const char *end;
  if (!isdigit((unsigned char)*text)) return false;
  *number = leading_number(text, &end);
  return *end == '\0' && *number >= low && *number <= high;
}

/* "8.0", or "8.0,7.5" with one entry for each GPU. Returns the number of entries, 0 if bad. */
static int parse_capabilities(char *text, struct settings *settings) {
  int entries = 0;
  char *rest = NULL;
  if (*text == '\0' || text[strlen(text) - 1] == ',') return 0;
  for (char *entry = strtok_r(text, ",", &rest); entry; entry = strtok_r(NULL, ",", &rest)) {
    long major, minor;
    char *dot = strchr(entry, '.');
    if (!dot || entries == MAX_GPUS) return 0;
    *dot = '\0';
    if (!parse_number(entry, 1, 99, &major) || !parse_number(dot + 1, 0, 9, &minor)) return 0;
    settings->major[entries] = (int)major;
    settings->minor[entries] = (int)minor;
    entries++;
  }
  return entries;
}

static bool parse_fault(const char *text, cudaError_t *fault) {
  if (strcmp(text, "none") == 0) *fault = cudaSuccess;
  else if (strcmp(text, "driver-too-old") == 0) *fault = cudaErrorInsufficientDriver;
  else if (strcmp(text, "no-device") == 0) *fault = cudaErrorNoDevice;
  else if (strcmp(text, "unknown") == 0) *fault = cudaErrorUnknown;
  else return false;
  return true;
}

static void parse_control_text(char *text, struct settings *settings) {
  int capabilities = 1, line_number = 0;
  bool has_count = false;
  long number;
  char *next = text;
  while (next && settings->problem[0] == '\0') {
    char *line = next, shown[80];
    next = strchr(line, '\n');
    if (next) *next++ = '\0';
    line_number++;
    line[strcspn(line, "#\r")] = '\0';
    size_t length = strlen(line);
    while (length && isspace((unsigned char)line[length - 1])) line[--length] = '\0';
    if (length == 0) continue;
    snprintf(shown, sizeof shown, "%s", line);

    bool understood = false;
    char *value = strchr(line, '=');
    if (value) {
      *value++ = '\0';
      if (strcmp(line, "count") == 0) {
        understood = has_count = parse_number(value, 0, MAX_GPUS, &number);
        if (understood) settings->count = (int)number;
      } else if (strcmp(line, "memory_mib") == 0) {
        understood = parse_number(value, 1, 1L << 24, &number);
        if (understood) settings->memory_bytes = (size_t)number << 20;
      } else if (strcmp(line, "compute_capability") == 0) {
        capabilities = parse_capabilities(value, settings);
        understood = capabilities > 0;
      } else if (strcmp(line, "fault") == 0) {
        understood = parse_fault(value, &settings->fault);
      }
    }
    if (!understood)
      snprintf(settings->problem, sizeof settings->problem, "line %d is not understood: %s",
               line_number, shown);
  }
  if (settings->problem[0] != '\0') return;
  if (!has_count) {
    snprintf(settings->problem, sizeof settings->problem, "it has no line count=N");
  } else if (capabilities == 1) {
    for (int gpu = 1; gpu < MAX_GPUS; gpu++) {
      settings->major[gpu] = settings->major[0];
      settings->minor[gpu] = settings->minor[0];
    }
  } else if (capabilities < settings->count) {
    snprintf(settings->problem, sizeof settings->problem,
             "compute_capability names %d GPUs, count is %d", capabilities, settings->count);
  }
}

static void uuid_text(int machine_id, char text[64]) {
  snprintf(text, 64, "GPU-51300000-0000-0000-0000-%012x", (unsigned)machine_id);
}

/* CUDA_VISIBLE_DEVICES, as CUDA reads it: ordinals or (shortened) UUIDs; the first entry that
 * names no GPU ends the list; a GPU named twice empties it. */
static void apply_visible_devices(struct settings *settings) {
  const char *variable = getenv("CUDA_VISIBLE_DEVICES");
  settings->visible = 0;
  if (!variable) {
    for (int gpu = 0; gpu < settings->count; gpu++) settings->machine_id[gpu] = gpu;
    settings->visible = settings->count;
    return;
  }
  for (const char *next = variable; next;) {
    const char *entry = next + strspn(next, " ");
    size_t length = strcspn(entry, ", ");
    int found = -1;
    next = strchr(entry, ',');
    if (next) next++;
    if (length >= 4 && strncasecmp(entry, "GPU-", 4) == 0) {
      for (int gpu = 0, matches = 0; gpu < settings->count; gpu++) {
        char uuid[64];
        uuid_text(gpu, uuid);
        if (length <= strlen(uuid) && strncasecmp(entry, uuid, length) == 0)
          found = ++matches == 1 ? gpu : -1;
      }
    } else if (isdigit((unsigned char)*entry)) {
      const char *end;
      long ordinal = leading_number(entry, &end);
      if (ordinal < settings->count) found = (int)ordinal;
    }
    if (found < 0) return;
    for (int gpu = 0; gpu < settings->visible; gpu++) {
      if (settings->machine_id[gpu] == found) {
        settings->visible = 0;
        return;
      }
    }
    settings->machine_id[settings->visible++] = found;
  }
}

static void read_control_file(struct settings *settings) {
  char text[CONTROL_FILE_LIMIT + 1], why[PROBLEM_LIMIT - 64];
  const char *path = getenv("PYTEST_TRITON_GPUS_FILE");
  *settings = (struct settings){.memory_bytes = (size_t)16384 << 20};
  for (int gpu = 0; gpu < MAX_GPUS; gpu++) settings->major[gpu] = 8;

  if (!path || !*path) {
    snprintf(settings->problem, PROBLEM_LIMIT, "PYTEST_TRITON_GPUS_FILE is not set");
    return;
  }
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  ssize_t length = file < 0 ? -1 : read(file, text, sizeof text);
  int cause = errno;
  if (file >= 0) close(file);
  if (length < 0) {
    snprintf(settings->problem, sizeof why, "cannot read control file %s: %s", path,
             strerror(cause));
  } else if (length > CONTROL_FILE_LIMIT || memchr(text, '\0', (size_t)length)) {
    snprintf(settings->problem, sizeof why, "control file %s is not a small text file", path);
  } else {
    text[length] = '\0';
    parse_control_text(text, settings);
    if (settings->problem[0] != '\0') {
      memcpy(why, settings->problem, sizeof why - 1);
      why[sizeof why - 1] = '\0';
      snprintf(settings->problem, PROBLEM_LIMIT, "control file %.200s: %.200s", path, why);
    }
  }
  if (settings->problem[0] == '\0') apply_visible_devices(settings);
}

/* The settings now in force; `refresh` reads the control file again. */
static struct settings get_settings(bool refresh) {
  pthread_mutex_lock(&settings_lock);
  if (refresh || !settings_read) {
    read_control_file(&current);
    settings_read = true;
    if (strcmp(current.problem, reported_problem) != 0) {
      memcpy(reported_problem, current.problem, sizeof reported_problem);
      if (current.problem[0] != '\0')
        fprintf(stderr, "pytest-triton: simulated GPUs: %s\n", current.problem);
    }
  }
  struct settings copy = current;
  pthread_mutex_unlock(&settings_lock);
  return copy;
}

/* Why no GPU can be used now, or cudaSuccess. */
static cudaError_t hardware_error(const struct settings *settings) {
  if (settings->problem[0] != '\0') return cudaErrorInitializationError;
  if (settings->fault != cudaSuccess) return settings->fault;
  return settings->visible == 0 ? cudaErrorNoDevice : cudaSuccess;
}

static cudaError_t check_device(const struct settings *settings, int device) {
  cudaError_t error = hardware_error(settings);
  if (error != cudaSuccess) return error;
  return device < 0 || device >= settings->visible ? cudaErrorInvalidDevice : cudaSuccess;
}

/* ---- devices ------------------------------------------------------------------------------ */

EXPORT cudaError_t cudaGetDeviceCount(int *count) {
  if (!count) return result(cudaErrorInvalidValue);
  struct settings settings = get_settings(true);
  cudaError_t error = hardware_error(&settings);
  *count = error == cudaSuccess ? settings.visible : 0;
  return result(error);
}

EXPORT cudaError_t cudaSetDevice(int device) {
  struct settings settings = get_settings(false);
  cudaError_t error = check_device(&settings, device);
  if (error == cudaSuccess) thread_device = device;
  return result(error);
}

EXPORT cudaError_t cudaGetDevice(int *device) {
  if (!device) return result(cudaErrorInvalidValue);
  struct settings settings = get_settings(false);
  *device = thread_device;
  return result(hardware_error(&settings));
}

static void put(unsigned char *prop, int offset, const void *value, size_t size) {
  if (offset != ABSENT) memcpy(prop + offset, value, size);
}

#define CUDA12_OFFSET(field, type, cuda12, cuda13) cuda12,
#define CUDA13_OFFSET(field, type, cuda12, cuda13) cuda13,
#define FIELD_INDEX(field, type, cuda12, cuda13) FIELD_##field,
enum { DEVICE_PROP_FIELDS(FIELD_INDEX) FIELD_COUNT };
static const int cuda12_offsets[FIELD_COUNT] = {DEVICE_PROP_FIELDS(CUDA12_OFFSET)};
static const int cuda13_offsets[FIELD_COUNT] = {DEVICE_PROP_FIELDS(CUDA13_OFFSET)};

#define PUT_TEXT(field, text) put(prop, offsets[FIELD_##field], text, strlen(text) + 1)
#define PUT(field, type, ...) put(prop, offsets[FIELD_##field], (type[]){__VA_ARGS__}, \
                                  sizeof((type[]){__VA_ARGS__}))

static cudaError_t fill_properties(unsigned char *prop, size_t size, const int *offsets,
                                   int device) {
  struct settings settings = get_settings(false);
  cudaError_t error = prop ? check_device(&settings, device) : cudaErrorInvalidValue;
  if (error != cudaSuccess) return result(error);
  int gpu = settings.machine_id[device];
  memset(prop, 0, size);
  PUT_TEXT(name, "Simulated GPU");
  PUT(uuid, unsigned char, 0x51, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (unsigned char)gpu);
  PUT(totalGlobalMem, size_t, settings.memory_bytes);
  PUT(sharedMemPerBlock, size_t, 48 << 10);
  PUT(regsPerBlock, int, 65536);
  PUT(warpSize, int, 32);
  PUT(memPitch, size_t, INT_MAX);
  PUT(maxThreadsPerBlock, int, 1024);
  PUT(maxThreadsDim, int, 1024, 1024, 64);
  PUT(maxGridSize, int, INT_MAX, 65535, 65535);
  PUT(clockRate, int, 1410000);
  PUT(totalConstMem, size_t, 64 << 10);
  PUT(major, int, settings.major[gpu]);
  PUT(minor, int, settings.minor[gpu]);
  PUT(textureAlignment, size_t, 512);
  PUT(multiProcessorCount, int, 108);
  PUT(canMapHostMemory, int, 1);
  PUT(concurrentKernels, int, 1);
  PUT(pciBusID, int, gpu + 1);
  PUT(asyncEngineCount, int, 3);
  PUT(unifiedAddressing, int, 1);
  PUT(memoryClockRate, int, 1215000);
  PUT(memoryBusWidth, int, 5120);
  PUT(l2CacheSize, int, 40 << 20);
  PUT(maxThreadsPerMultiProcessor, int, 2048);
  PUT(streamPrioritiesSupported, int, 1);
  PUT(sharedMemPerMultiprocessor, size_t, 164 << 10);
  PUT(regsPerMultiprocessor, int, 65536);
  PUT(managedMemory, int, 1);
  return cudaSuccess;
}

EXPORT cudaError_t cudaGetDeviceProperties_v2(void *prop, int device) { /* CUDA 12 */
  return fill_properties(prop, DEVICE_PROP_SIZE_CUDA12, cuda12_offsets, device);
}

EXPORT cudaError_t cudaGetDeviceProperties(void *prop, int device) { /* CUDA 13 */
  return fill_properties(prop, DEVICE_PROP_SIZE_CUDA13, cuda13_offsets, device);
}

EXPORT cudaError_t cudaDeviceGetAttribute(int *value, int attribute, int device) {
  struct settings settings = get_settings(false);
  cudaError_t error = value ? check_device(&settings, device) : cudaErrorInvalidValue;
  if (error != cudaSuccess) return result(error);
  int gpu = settings.machine_id[device];
  if (attribute == cudaDevAttrComputeCapabilityMajor) *value = settings.major[gpu];
  else if (attribute == cudaDevAttrComputeCapabilityMinor) *value = settings.minor[gpu];
  else return result(cudaErrorNotSupported);
  return cudaSuccess;
}

EXPORT cudaError_t cudaDeviceGetPCIBusId(char *text, int size, int device) {
  struct settings settings = get_settings(false);
  cudaError_t error = text && size >= 13 ? check_device(&settings, device) : cudaErrorInvalidValue;
  if (error != cudaSuccess) return result(error);
  snprintf(text, (size_t)size, "0000:%02X:00.0", (unsigned)settings.machine_id[device] + 1);
  return cudaSuccess;
}

void simulated_gpu_uuid(int device, char *text, size_t size) {
  char uuid[64] = "";
  struct settings settings = get_settings(false);
  if (check_device(&settings, device) == cudaSuccess)
    uuid_text(settings.machine_id[device], uuid);
  snprintf(text, size, "%s", uuid);
}

EXPORT cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer) {
  struct settings settings = get_settings(false);
  cudaError_t error = can ? check_device(&settings, device) : cudaErrorInvalidValue;
  if (error == cudaSuccess) error = check_device(&settings, peer);
  if (error == cudaSuccess) *can = device != peer;
  return result(error);
}

EXPORT cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned int flags) {
  static bool enabled[MAX_GPUS][MAX_GPUS];
  struct settings settings = get_settings(false);
  cudaError_t error = flags == 0 ? check_device(&settings, peer) : cudaErrorInvalidValue;
  if (error == cudaSuccess && peer == thread_device) error = cudaErrorInvalidDevice;
  if (error != cudaSuccess) return result(error);
  pthread_mutex_lock(&settings_lock);
  if (enabled[thread_device][peer]) error = cudaErrorPeerAccessAlreadyEnabled;
  enabled[thread_device][peer] = true;
  pthread_mutex_unlock(&settings_lock);
  return result(error);
}

EXPORT cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
  if (least) *least = 0;
  if (greatest) *greatest = -5;
  return cudaSuccess;
}

EXPORT cudaError_t cudaDeviceSynchronize(void) { return cudaSuccess; }

EXPORT cudaError_t cudaDriverGetVersion(int *version) {
  if (!version) return result(cudaErrorInvalidValue);
  *version = 13000;
  return cudaSuccess;
}

/* There is no simulated driver behind the runtime: callers learn that the symbol isn't there. */
EXPORT cudaError_t cudaGetDriverEntryPoint(const char *symbol, void **function,
                                           unsigned long long flags, int *status) {
  (void)symbol, (void)flags;
  if (!function) return result(cudaErrorInvalidValue);
  *function = NULL;
  if (status) *status = cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

EXPORT cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function,
                                                    unsigned int version,
                                                    unsigned long long flags, int *status) {
  (void)version;
  return cudaGetDriverEntryPoint(symbol, function, flags, status);
}

/* ---- errors ------------------------------------------------------------------------------- */

EXPORT cudaError_t cudaGetLastError(void) {
  cudaError_t error = thread_error;
  thread_error = cudaSuccess;
  return error;
}

EXPORT cudaError_t cudaPeekAtLastError(void) { return thread_error; }

EXPORT const char *cudaGetErrorName(cudaError_t error) {
#define CUDA_ERROR_NAME(name, number, text) case name: return #name;
  switch (error) { CUDA_ERRORS(CUDA_ERROR_NAME) }
  return "unrecognized error code";
}

EXPORT const char *cudaGetErrorString(cudaError_t error) {
#define CUDA_ERROR_TEXT(name, number, text) case name: words = text; break;
  const char *words = "unrecognized error code";
  switch (error) { CUDA_ERRORS(CUDA_ERROR_TEXT) }
  if (error == cudaErrorInitializationError) {
    struct settings settings = get_settings(false);
    if (settings.problem[0] != '\0') {
      snprintf(thread_error_text, sizeof thread_error_text, "%s (simulated GPUs: %s)", words,
               settings.problem);
      return thread_error_text;
    }
  }
  return words;
}

/* ---- memory ------------------------------------------------------------------------------- */

/* Device memory is a memory file, so that another process can map it through its IPC handle. */
struct allocation {
  struct allocation *next;
  char *start;
  size_t size;
  int file;
  int device;
};

struct ipc_handle { /* what we put into a cudaIpcMemHandle_t */
  char magic[8];
  int64_t process;
  int64_t file;
  uint64_t size;
  int64_t device;
};
_Static_assert(sizeof(struct ipc_handle) <= sizeof(cudaIpcMemHandle_t), "IPC handle too large");
static const char ipc_magic[8] = "simgpu1";

static pthread_mutex_t memory_lock = PTHREAD_MUTEX_INITIALIZER;
static struct allocation *allocations;

static bool find_allocation(const void *address, struct allocation *found) {
  pthread_mutex_lock(&memory_lock);
  struct allocation *a = allocations;
  while (a && !((const char *)address >= a->start && (const char *)address < a->start + a->size))
    a = a->next;
  if (a) *found = *a;
  pthread_mutex_unlock(&memory_lock);
  return a != NULL;
}

static size_t used_memory(int device) {
  size_t used = 0;
  pthread_mutex_lock(&memory_lock);
  for (struct allocation *a = allocations; a; a = a->next)
    if (a->device == device) used += a->size;
  pthread_mutex_unlock(&memory_lock);
  return used;
}

/* Maps `file` (which it then owns) and remembers it. */
static cudaError_t map_memory(int file, size_t size, int device, void **address) {
  struct allocation *a = malloc(sizeof *a);
  void *start = a ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
  if (start == MAP_FAILED) {
    free(a);
    close(file);
    return cudaErrorMemoryAllocation;
  }
  pthread_mutex_lock(&memory_lock);
  *a = (struct allocation){allocations, start, size, file, device};
  allocations = a;
  pthread_mutex_unlock(&memory_lock);
  *address = start;
  return cudaSuccess;
}

static cudaError_t unmap_memory(void *address) {
  pthread_mutex_lock(&memory_lock);
  struct allocation **link = &allocations;
  while (*link && (*link)->start != address) link = &(*link)->next;
  struct allocation *a = *link;
  if (a) *link = a->next;
  pthread_mutex_unlock(&memory_lock);
  if (!a) return cudaErrorInvalidValue;
  munmap(a->start, a->size);
  close(a->file);
  free(a);
  return cudaSuccess;
}

EXPORT cudaError_t cudaMalloc(void **address, size_t size) {
  if (!address) return result(cudaErrorInvalidValue);
  *address = NULL;
  struct settings settings = get_settings(false);
  cudaError_t error = check_device(&settings, thread_device);
  if (error != cudaSuccess) return result(error);
  if (size == 0) return cudaSuccess;
  size_t used = used_memory(thread_device);
  if (used > settings.memory_bytes || size > settings.memory_bytes - used)
    return result(cudaErrorMemoryAllocation);
  int file = memfd_create("simulated-gpu", MFD_CLOEXEC);
  if (file < 0) return result(cudaErrorMemoryAllocation);
  if (ftruncate(file, (off_t)size) != 0) {
    close(file);
    return result(cudaErrorMemoryAllocation);
  }
  return result(map_memory(file, size, thread_device, address));
}

EXPORT cudaError_t cudaMallocManaged(void **address, size_t size, unsigned int flags) {
  (void)flags;
  return cudaMalloc(address, size);
}

EXPORT cudaError_t cudaFree(void *address) {
  return address ? result(unmap_memory(address)) : cudaSuccess;
}

EXPORT cudaError_t cudaHostAlloc(void **address, size_t size, unsigned int flags) {
  (void)flags;
  if (!address) return result(cudaErrorInvalidValue);
  struct settings settings = get_settings(false);
  cudaError_t error = hardware_error(&settings);
  if (error == cudaSuccess && posix_memalign(address, 4096, size) != 0)
    error = cudaErrorMemoryAllocation;
  return result(error);
}

EXPORT cudaError_t cudaMallocHost(void **address, size_t size) {
  return cudaHostAlloc(address, size, 0);
}

EXPORT cudaError_t cudaFreeHost(void *address) {
  free(address);
  return cudaSuccess;
}

EXPORT cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes) {
  struct settings settings = get_settings(false);
  cudaError_t error = check_device(&settings, thread_device);
  if (!free_bytes || !total_bytes) error = cudaErrorInvalidValue;
  if (error != cudaSuccess) return result(error);
  size_t used = used_memory(thread_device);
  *total_bytes = settings.memory_bytes;
  *free_bytes = used < settings.memory_bytes ? settings.memory_bytes - used : 0;
  return cudaSuccess;
}

cudaError_t simulated_gpu_memory(int device, size_t *used, size_t *total) {
  struct settings settings = get_settings(false);
  cudaError_t error = check_device(&settings, device);
  *used = error == cudaSuccess ? used_memory(device) : 0;
  *total = settings.memory_bytes;
  return error;
}

EXPORT cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes,
                                            const void *address) {
  struct allocation a;
  if (!attributes) return result(cudaErrorInvalidValue);
  bool known = find_allocation(address, &a);
  attributes->type = known ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
  attributes->device = known ? a.device : -2; /* cudaInvalidDeviceId */
  attributes->devicePointer = known ? (void *)address : NULL;
  attributes->hostPointer = known ? NULL : (void *)address;
  return cudaSuccess;
}

EXPORT cudaError_t cudaMemcpy(void *to, const void *from, size_t size, int kind) {
  (void)kind;
  if (size == 0) return cudaSuccess;
  if (!to || !from) return result(cudaErrorInvalidValue);
  memmove(to, from, size);
  return cudaSuccess;
}

EXPORT cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, int kind,
                                   cudaStream_t stream) {
  (void)stream;
  return cudaMemcpy(to, from, size, kind);
}

EXPORT cudaError_t cudaMemcpyPeer(void *to, int to_device, const void *from, int from_device,
                                  size_t size) {
  struct settings settings = get_settings(false);
  cudaError_t error = check_device(&settings, to_device);
  if (error == cudaSuccess) error = check_device(&settings, from_device);
  return error == cudaSuccess ? cudaMemcpy(to, from, size, 0) : result(error);
}

EXPORT cudaError_t cudaMemcpyPeerAsync(void *to, int to_device, const void *from,
                                       int from_device, size_t size, cudaStream_t stream) {
  (void)stream;
  return cudaMemcpyPeer(to, to_device, from, from_device, size);
}

EXPORT cudaError_t cudaMemset(void *address, int value, size_t size) {
  if (size == 0) return cudaSuccess;
  if (!address) return result(cudaErrorInvalidValue);
  memset(address, value, size);
  return cudaSuccess;
}

EXPORT cudaError_t cudaMemsetAsync(void *address, int value, size_t size, cudaStream_t stream) {
  (void)stream;
  return cudaMemset(address, value, size);
}

/* CUDA 13 gave this other parameters; as nothing has to be done, none is looked at. */
EXPORT cudaError_t cudaMemPrefetchAsync(void) { return cudaSuccess; }

EXPORT cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t *handle, void *address) {
  struct allocation a;
  if (!handle || !find_allocation(address, &a)) return result(cudaErrorInvalidValue);
  struct ipc_handle ours = {.process = getpid(), .file = a.file, .size = a.size,
                            .device = a.device};
  memcpy(ours.magic, ipc_magic, sizeof ours.magic);
  memset(handle, 0, sizeof *handle);
  memcpy(handle, &ours, sizeof ours);
  return cudaSuccess;
}

EXPORT cudaError_t cudaIpcOpenMemHandle(void **address, cudaIpcMemHandle_t handle,
                                        unsigned int flags) {
  struct ipc_handle ours;
  char path[64];
  (void)flags;
  memcpy(&ours, &handle, sizeof ours);
  if (!address || memcmp(ours.magic, ipc_magic, sizeof ours.magic) != 0)
    return result(cudaErrorInvalidValue);
  snprintf(path, sizeof path, "/proc/%lld/fd/%lld", (long long)ours.process,
           (long long)ours.file);
  int file = open(path, O_RDWR | O_CLOEXEC);
  if (file < 0) return result(cudaErrorMapBufferObjectFailed);
  return result(map_memory(file, (size_t)ours.size, (int)ours.device, address));
}

EXPORT cudaError_t cudaIpcCloseMemHandle(void *address) { return result(unmap_memory(address)); }

/* ---- streams and events: all work is done at once, in the order of the calls ---------------- */

struct stream {
  unsigned int flags;
};

struct event {
  struct timespec recorded;
};

EXPORT cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned int flags,
                                                int priority) {
  (void)priority;
  struct settings settings = get_settings(false);
  cudaError_t error = stream ? hardware_error(&settings) : cudaErrorInvalidValue;
  if (error != cudaSuccess) return result(error);
  *stream = malloc(sizeof **stream);
  if (!*stream) return result(cudaErrorMemoryAllocation);
  (*stream)->flags = flags;
  return cudaSuccess;
}

EXPORT cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags) {
  return cudaStreamCreateWithPriority(stream, flags, 0);
}

EXPORT cudaError_t cudaStreamCreate(cudaStream_t *stream) {
  return cudaStreamCreateWithPriority(stream, 0, 0);
}

EXPORT cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  free(stream);
  return cudaSuccess;
}

EXPORT cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned int *flags) {
  if (!flags) return result(cudaErrorInvalidValue);
  *flags = stream ? stream->flags : 0;
  return cudaSuccess;
}

EXPORT cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  (void)stream;
  return cudaSuccess;
}

EXPORT cudaError_t cudaStreamQuery(cudaStream_t stream) {
  (void)stream;
  return cudaSuccess;
}

EXPORT cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event,
                                       unsigned int flags) {
  (void)stream, (void)event, (void)flags;
  return cudaSuccess;
}

EXPORT cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function,
                                      void *user_data) {
  (void)stream;
  if (!function) return result(cudaErrorInvalidValue);
  function(user_data);
  return cudaSuccess;
}

EXPORT cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags) {
  (void)flags;
  struct settings settings = get_settings(false);
  cudaError_t error = event ? hardware_error(&settings) : cudaErrorInvalidValue;
  if (error != cudaSuccess) return result(error);
  *event = calloc(1, sizeof **event);
  return *event ? cudaSuccess : result(cudaErrorMemoryAllocation);
}

EXPORT cudaError_t cudaEventCreate(cudaEvent_t *event) {
  return cudaEventCreateWithFlags(event, 0);
}

EXPORT cudaError_t cudaEventDestroy(cudaEvent_t event) {
  free(event);
  return cudaSuccess;
}

EXPORT cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  (void)stream;
  if (!event) return result(cudaErrorInvalidValue);
  clock_gettime(CLOCK_MONOTONIC, &event->recorded);
  return cudaSuccess;
}

EXPORT cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  (void)event;
  return cudaSuccess;
}

EXPORT cudaError_t cudaEventQuery(cudaEvent_t event) {
  (void)event;
  return cudaSuccess;
}

EXPORT cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (!milliseconds || !start || !end) return result(cudaErrorInvalidValue);
  *milliseconds = (float)(end->recorded.tv_sec - start->recorded.tv_sec) * 1e3f +
                  (float)(end->recorded.tv_nsec - start->recorded.tv_nsec) * 1e-6f;
  return cudaSuccess;
}

/* ---- kernels: registered by compiled-in code at start, never run ---------------------------- */

static cudaError_t refuse_launch(void) {
  static int warned;
  if (!__atomic_exchange_n(&warned, 1, __ATOMIC_RELAXED))
    fprintf(stderr, "pytest-triton: simulated GPUs run no kernels; the launch is refused\n");
  return result(cudaErrorNotSupported);
}

EXPORT cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **arguments,
                                    size_t shared_memory, cudaStream_t stream) {
  (void)function, (void)grid, (void)block, (void)arguments, (void)shared_memory, (void)stream;
  return refuse_launch();
}

/* Code that is compiled for CUDA 13 looks up its kernel and launches that. */
EXPORT cudaError_t __cudaGetKernel(void **kernel, const void *function) {
  (void)function;
  if (kernel) *kernel = NULL;
  return refuse_launch();
}

EXPORT cudaError_t __cudaLaunchKernel(void *kernel, dim3 grid, dim3 block, void **arguments,
                                      size_t shared_memory, cudaStream_t stream) {
  return cudaLaunchKernel(kernel, grid, block, arguments, shared_memory, stream);
}

EXPORT char __cudaInitModule(void **handle) {
  (void)handle;
  return 1;
}

EXPORT void **__cudaRegisterFatBinary(void *binary) {
  static void *handle;
  (void)binary;
  return &handle;
}

EXPORT void __cudaRegisterFatBinaryEnd(void **handle) { (void)handle; }
EXPORT void __cudaUnregisterFatBinary(void **handle) { (void)handle; }
EXPORT void __cudaRegisterFunction(void) {}
EXPORT void __cudaRegisterVar(void) {}
EXPORT void __cudaRegisterHostVar(void) {}
EXPORT void __cudaRegisterManagedVar(void) {}
EXPORT void __cudaRegisterUnifiedTable(void) {}

EXPORT unsigned int __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared_memory,
                                                void *stream) {
  (void)grid, (void)block, (void)shared_memory, (void)stream;
  return 0;
}

EXPORT cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared_memory,
                                              void *stream) {
  if (grid) *grid = (dim3){1, 1, 1};
  if (block) *block = (dim3){1, 1, 1};
  if (shared_memory) *shared_memory = 0;
  if (stream) *(void **)stream = NULL;
  return cudaSuccess;
}

/* ---- all other calls ------------------------------------------------------------------------ */

static cudaError_t refuse(const char *name, int *warned) {
  if (!__atomic_exchange_n(warned, 1, __ATOMIC_RELAXED))
    fprintf(stderr, "pytest-triton: simulated GPUs don't know %s; the call is refused\n", name);
  return result(cudaErrorNotSupported);
}

/* What they are given is never looked at. */
#define REFUSE(name)                 \
  EXPORT cudaError_t name(void) {    \
    static int warned;               \
    return refuse(#name, &warned);   \
  }
REFUSED_CALLS(REFUSE)

#define SAME_AS(name, other) EXPORT __typeof__(other) name __attribute__((alias(#other)));
SAME_CALLS(SAME_AS)
