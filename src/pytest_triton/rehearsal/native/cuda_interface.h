/* The part of CUDA's runtime interface that the simulated GPUs implement.
 *
 * Only what tritonserver and its backends call is declared. Numbers are those of CUDA 12 and
 * CUDA 13; tests/rehearsal/test_headers.py holds every one of them against both real headers.
 */
#ifndef PYTEST_TRITON_CUDA_INTERFACE_H
#define PYTEST_TRITON_CUDA_INTERFACE_H

#include <stddef.h>

/* Error codes: X(name, number, text). CUDA 12 and 13 agree on them. */
#define CUDA_ERRORS(X)                                                                       \
  X(cudaSuccess, 0, "no error")                                                              \
  X(cudaErrorInvalidValue, 1, "invalid argument")                                            \
  X(cudaErrorMemoryAllocation, 2, "out of memory")                                           \
  X(cudaErrorInitializationError, 3, "initialization error")                                 \
  X(cudaErrorInsufficientDriver, 35,                                                         \
    "CUDA driver version is insufficient for CUDA runtime version")                          \
  X(cudaErrorNoDevice, 100, "no CUDA-capable device is detected")                            \
  X(cudaErrorInvalidDevice, 101, "invalid device ordinal")                                   \
  X(cudaErrorMapBufferObjectFailed, 205, "mapping of buffer object failed")                  \
  X(cudaErrorPeerAccessAlreadyEnabled, 704, "peer access is already enabled")                \
  X(cudaErrorNotSupported, 801, "operation not supported")                                   \
  X(cudaErrorUnknown, 999, "unknown error")

#define CUDA_ERROR_ENUM(name, number, text) name = number,
typedef enum { CUDA_ERRORS(CUDA_ERROR_ENUM) } cudaError_t;

enum { cudaMemoryTypeUnregistered = 0, cudaMemoryTypeDevice = 2 };
enum { cudaDriverEntryPointSymbolNotFound = 1 };
enum { cudaDevAttrComputeCapabilityMajor = 75, cudaDevAttrComputeCapabilityMinor = 76 };

typedef struct {
  char reserved[64];
} cudaIpcMemHandle_t;

/* The leading members that CUDA 12 and CUDA 13 share; CUDA 13 has reserved space behind. */
struct cudaPointerAttributes {
  int type;
  int device;
  void *devicePointer;
  void *hostPointer;
};

typedef struct {
  unsigned int x, y, z;
} dim3;

typedef struct stream *cudaStream_t;
typedef struct event *cudaEvent_t;
typedef void (*cudaHostFn_t)(void *user_data);

/* struct cudaDeviceProp, as bytes: X(field, C type, offset in CUDA 12, offset in CUDA 13).
 * ABSENT: that CUDA has no such field. Fields that aren't listed stay zero. */
#define ABSENT (-1)
#define DEVICE_PROP_SIZE_CUDA12 1032
#define DEVICE_PROP_SIZE_CUDA13 1008

#define DEVICE_PROP_FIELDS(X)                                                                \
  X(name, char[256], 0, 0)                                                                   \
  X(uuid, char[16], 256, 256)                                                                \
  X(totalGlobalMem, size_t, 288, 288)                                                        \
  X(sharedMemPerBlock, size_t, 296, 296)                                                     \
  X(regsPerBlock, int, 304, 304)                                                             \
  X(warpSize, int, 308, 308)                                                                 \
  X(memPitch, size_t, 312, 312)                                                              \
  X(maxThreadsPerBlock, int, 320, 320)                                                       \
  X(maxThreadsDim, int[3], 324, 324)                                                         \
  X(maxGridSize, int[3], 336, 336)                                                           \
  X(clockRate, int, 348, ABSENT)                                                             \
  X(totalConstMem, size_t, 352, 352)                                                         \
  X(major, int, 360, 360)                                                                    \
  X(minor, int, 364, 364)                                                                    \
  X(textureAlignment, size_t, 368, 368)                                                      \
  X(multiProcessorCount, int, 388, 384)                                                      \
  X(canMapHostMemory, int, 400, 392)                                                         \
  X(concurrentKernels, int, 576, 560)                                                        \
  X(pciBusID, int, 584, 568)                                                                 \
  X(pciDeviceID, int, 588, 572)                                                              \
  X(pciDomainID, int, 592, 576)                                                              \
  X(asyncEngineCount, int, 600, 584)                                                         \
  X(unifiedAddressing, int, 604, 588)                                                        \
  X(memoryClockRate, int, 608, ABSENT)                                                       \
  X(memoryBusWidth, int, 612, 592)                                                           \
  X(l2CacheSize, int, 616, 596)                                                              \
  X(maxThreadsPerMultiProcessor, int, 624, 604)                                              \
  X(streamPrioritiesSupported, int, 628, 608)                                                \
  X(sharedMemPerMultiprocessor, size_t, 640, 624)                                            \
  X(regsPerMultiprocessor, int, 648, 632)                                                    \
  X(managedMemory, int, 652, 636)

#endif
