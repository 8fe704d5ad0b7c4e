// The two handle types that TensorRT's headers take from CUDA, for machines that have TensorRT's
// headers but no CUDA toolkit. Used only when no cuda_runtime_api.h is found.
#pragma once
typedef struct CUevent_st* cudaEvent_t;
typedef struct CUstream_st* cudaStream_t;
