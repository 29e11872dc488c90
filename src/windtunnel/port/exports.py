"""What a star import of PyTorch's modules brings: the names of its public functions that bind to CUDA.

Known without importing PyTorch. **Source:** the ``__all__`` of each module in PyTorch 2.13.
"""

from __future__ import annotations

STAR_EXPORTS: dict[str, tuple[str, ...]] = {
    "torch": (
        "Event", "Generator", "Stream", "accelerator", "amp", "arange", "as_tensor", "autocast", "backends", "compile",
        "cuda", "device", "distributed", "empty", "empty_like", "eye", "from_numpy", "full", "get_autocast_gpu_dtype",
        "get_device_module", "is_autocast_enabled", "jit", "linspace", "load", "manual_seed", "nn", "ones", "ones_like",
        "optim", "rand", "randint", "randn", "randperm", "set_default_device", "set_default_tensor_type", "tensor",
        "utils", "zeros", "zeros_like",
    ),
    "torch.cuda": (
        "BFloat16Storage", "BFloat16Tensor", "BoolStorage", "BoolTensor", "ByteStorage", "ByteTensor", "CUDAGraph",
        "CUDAPluggableAllocator", "CharStorage", "CharTensor", "ComplexDoubleStorage", "ComplexFloatStorage",
        "CudaError", "DeferredCudaCallError", "DoubleStorage", "DoubleTensor", "Event", "ExternalStream",
        "FloatStorage", "FloatTensor", "GreenContext", "HalfStorage", "HalfTensor", "IntStorage", "IntTensor",
        "LongStorage", "LongTensor", "MemPool", "ShortStorage", "ShortTensor", "Stream", "StreamContext", "amp",
        "caching_allocator_alloc", "caching_allocator_delete", "caching_allocator_disabled", "caching_allocator_enable",
        "can_device_access_peer", "change_current_allocator", "check_error", "clock_rate", "cudaStatus", "cudart",
        "current_blas_handle", "current_device", "current_solver_handle", "current_stream", "default_generators",
        "default_stream", "device", "device_count", "device_memory_used", "device_of", "empty_cache",
        "get_allocator_backend", "get_arch_list", "get_device_capability", "get_device_name", "get_device_properties",
        "get_gencode_flags", "get_per_process_memory_fraction", "get_rng_state", "get_rng_state_all",
        "get_stream_from_external", "get_sync_debug_mode", "graph", "graph_pool_handle", "graphs", "has_half",
        "has_magma", "host_memory_stats", "host_memory_stats_as_nested_dict", "init", "initial_seed", "ipc_collect",
        "is_available", "is_bf16_supported", "is_current_stream_capturing", "is_initialized", "is_tf32_supported",
        "jiterator", "list_gpu_processes", "make_graphed_callables", "manual_seed", "manual_seed_all",
        "max_memory_allocated", "max_memory_cached", "max_memory_reserved", "mem_get_info", "memory",
        "memory_allocated", "memory_cached", "memory_reserved", "memory_snapshot", "memory_stats",
        "memory_stats_as_nested_dict", "memory_summary", "memory_usage", "nccl", "nvtx", "power_draw", "profiler",
        "random", "reset_accumulated_host_memory_stats", "reset_accumulated_memory_stats", "reset_max_memory_allocated",
        "reset_max_memory_cached", "reset_peak_host_memory_stats", "reset_peak_memory_stats", "seed", "seed_all",
        "set_device", "set_per_process_memory_fraction", "set_rng_state", "set_rng_state_all", "set_stream",
        "set_sync_debug_mode", "sparse", "stream", "streams", "synchronize", "temperature", "tunable", "use_mem_pool",
        "utilization",
    ),
    "torch.cuda.amp": (
        "GradScaler", "amp_definitely_not_available", "autocast", "custom_bwd", "custom_fwd",
    ),
    "torch.amp": (
        "GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available",
    ),
    "torch.cuda.nvtx": (
        "mark", "range", "range_end", "range_pop", "range_push", "range_start",
    ),
    "torch.cuda.memory": (
        "CUDAPluggableAllocator", "MemPool", "caching_allocator_alloc", "caching_allocator_delete",
        "caching_allocator_disabled", "caching_allocator_enable", "change_current_allocator", "empty_cache",
        "get_allocator_backend", "get_per_process_memory_fraction", "host_memory_stats",
        "host_memory_stats_as_nested_dict", "list_gpu_processes", "max_memory_allocated", "max_memory_cached",
        "max_memory_reserved", "mem_get_info", "memory_allocated", "memory_cached", "memory_reserved",
        "memory_snapshot", "memory_stats", "memory_stats_as_nested_dict", "memory_summary",
        "reset_accumulated_host_memory_stats", "reset_accumulated_memory_stats", "reset_max_memory_allocated",
        "reset_max_memory_cached", "reset_peak_host_memory_stats", "reset_peak_memory_stats",
        "set_per_process_memory_fraction", "use_mem_pool",
    ),
    "torch.cuda.random": (
        "get_rng_state", "get_rng_state_all", "initial_seed", "manual_seed", "manual_seed_all", "seed", "seed_all",
        "set_rng_state", "set_rng_state_all",
    ),
    "torch.cuda.graphs": (
        "CUDAGraph", "graph", "graph_pool_handle", "is_current_stream_capturing", "make_graphed_callables",
    ),
    "torch.cuda.streams": (
        "Event", "ExternalStream", "Stream", "annotations", "ctypes", "torch",
    ),
    "torch.distributed": (
        "ProcessGroupNCCL", "all_reduce", "barrier", "device_mesh", "get_rank", "get_world_size", "init_device_mesh",
        "init_process_group", "is_available", "is_nccl_available", "new_group",
    ),
    "torch.backends.cuda": (
        "SDPAParams", "allow_fp16_bf16_reduction_math_sdp", "blas_workspace_size", "can_use_cudnn_attention",
        "can_use_efficient_attention", "can_use_flash_attention", "cuBLASModule", "cuFFTPlanCache",
        "cuFFTPlanCacheAttrContextProp", "cuFFTPlanCacheManager", "cublas_workspace_size", "cublaslt_workspace_size",
        "cudnn_sdp_enabled", "cufft_plan_cache", "enable_cudnn_sdp", "enable_flash_sdp", "enable_math_sdp",
        "enable_mem_efficient_sdp", "flash_sdp_enabled", "fp16_bf16_reduction_math_sdp_allowed", "is_built",
        "is_ck_sdpa_available", "is_flash_attention_available", "math_sdp_enabled", "matmul",
        "mem_efficient_sdp_enabled", "preferred_blas_library", "preferred_linalg_library", "preferred_rocm_fa_library",
        "sdp_kernel",
    ),
    "torch.backends.cudnn": (
        "m",
    ),
    "torch.utils.cpp_extension": (
        "BuildExtension", "CUDAExtension", "CUDA_HOME", "CppExtension", "SyclExtension", "include_paths", "load",
        "load_inline",
    ),
}  # fmt: skip
