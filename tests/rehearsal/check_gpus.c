/* Drives the simulated GPUs: for each control text on stdin (4 bytes of length, then the text)
 * writes it to argv[1], asks for the devices and uses memory, streams and events on each.
 * Prints error and count. Everything is freed: a leak sanitizer must find nothing. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_interface.h"

cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties_v2(void *prop, int device);
cudaError_t cudaGetDeviceProperties(void *prop, int device);
cudaError_t cudaDeviceGetPCIBusId(char *text, int size, int device);
cudaError_t cudaMalloc(void **address, size_t size);
cudaError_t cudaFree(void *address);
cudaError_t cudaHostAlloc(void **address, size_t size, unsigned int flags);
cudaError_t cudaFreeHost(void *address);
cudaError_t cudaMemset(void *address, int value, size_t size);
cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t *handle, void *address);
cudaError_t cudaIpcOpenMemHandle(void **address, cudaIpcMemHandle_t handle, unsigned int flags);
cudaError_t cudaIpcCloseMemHandle(void *address);
cudaError_t cudaStreamCreate(cudaStream_t *stream);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaEventCreate(cudaEvent_t *event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventDestroy(cudaEvent_t event);
const char *cudaGetErrorString(cudaError_t error);

static void use(int device) {
  char *prop12 = malloc(DEVICE_PROP_SIZE_CUDA12), *prop13 = malloc(DEVICE_PROP_SIZE_CUDA13);
  char *bus = malloc(13);
  void *memory = NULL, *host = NULL, *shared = NULL;
  cudaIpcMemHandle_t handle;
  cudaStream_t stream;
  cudaEvent_t event;
  if (cudaSetDevice(device) || cudaGetDeviceProperties_v2(prop12, device) ||
      cudaGetDeviceProperties(prop13, device) || cudaDeviceGetPCIBusId(bus, 13, device) ||
      cudaMalloc(&memory, 4097) || cudaMemset(memory, 1, 4097) || cudaHostAlloc(&host, 10, 0) ||
      cudaIpcGetMemHandle(&handle, memory) || cudaIpcOpenMemHandle(&shared, handle, 1) ||
      memcmp(shared, memory, 4097) || cudaIpcCloseMemHandle(shared) || cudaFree(memory) ||
      cudaFreeHost(host) || cudaStreamCreate(&stream) || cudaEventCreate(&event) ||
      cudaEventRecord(event, stream) || cudaEventDestroy(event) || cudaStreamDestroy(stream))
    puts("a call failed");
  free(prop12);
  free(prop13);
  free(bus);
}

int main(int argc, char **argv) {
  uint32_t size;
  if (argc != 2) return 1;
  while (fread(&size, sizeof size, 1, stdin) == 1) {
    char *text = malloc(size ? size : 1);
    int count = -1;
    FILE *control = fopen(argv[1], "wb");
    if (!control || fread(text, 1, size, stdin) != size) return 1;
    fwrite(text, 1, size, control);
    fclose(control);
    free(text);
    cudaError_t error = cudaGetDeviceCount(&count);
    printf("%d %d %zu\n", (int)error, count, strlen(cudaGetErrorString(error)));
    for (int device = 0; device < count; device++) use(device);
  }
  return 0;
}
