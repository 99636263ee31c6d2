/* What the CUDA part of the simulated GPUs offers to the DCGM part. */
#ifndef PYTEST_TRITON_SIMULATED_GPUS_H
#define PYTEST_TRITON_SIMULATED_GPUS_H

#include <stddef.h>

#include "cuda_interface.h"

cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaDeviceGetPCIBusId(char *text, int size, int device);

/* UUID of a visible device, "GPU-...", empty if there is none. */
void simulated_gpu_uuid(int device, char *text, size_t size);

/* Used and total memory of a visible device, in bytes. */
cudaError_t simulated_gpu_memory(int device, size_t *used, size_t *total);

#endif
