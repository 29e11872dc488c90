"""The accelerator's caching allocator as PyTorch has it, over memory that is not there.

What is exact: which size a request gets, from which pool and segment, what is split, joined, kept and given back, and so
what is allocated and reserved, and when memory runs out. What is modelled: addresses (real ones depend on the driver),
the share of the context and the driver (given from outside), and when a stream has passed an event (the virtual clock's).

**Source:** the scheme of c10/cuda/CUDACachingAllocator and c10/core/AllocatorConfig.h, PyTorch 2.13; torch_npu's
NPUCachingAllocator follows it with 32 bytes more a request (its public source, not checked on a device).
"""

from windtunnel.run.allocator.blocks import Block
from windtunnel.run.allocator.caching import Allocator
from windtunnel.run.allocator.out_of_memory import OutOfMemory
from windtunnel.run.allocator.report import Fragmentation, FreeBytes
from windtunnel.run.allocator.settings import AllocatorSettings
from windtunnel.run.allocator.streams import StreamClock

__all__ = ["Allocator", "AllocatorSettings", "Block", "Fragmentation", "FreeBytes", "OutOfMemory", "StreamClock"]
