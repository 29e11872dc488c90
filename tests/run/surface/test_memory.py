from __future__ import annotations

import pytest
import torch

MIB = 1 << 20


def test_memory_is_the_allocators(on) -> None:  # type: ignore[no-untyped-def]
    before = on.module.memory_allocated()
    x = torch.empty(64 * MIB, dtype=torch.uint8, device=on.name)
    held = on.module.memory_allocated() - before
    assert held in (64 * MIB, 64 * MIB + 512)  # torch_npu asks for 32 bytes more
    assert torch.accelerator.memory_allocated() == on.module.memory_allocated()
    free, total = on.module.mem_get_info()
    assert total == on.chip.machine.capacity
    assert free <= total - held
    del x
    assert on.module.memory_allocated() == before
    assert on.module.max_memory_allocated() >= before + held
    on.module.empty_cache()
    assert on.module.memory_reserved() <= 2 * MIB
    on.module.reset_peak_memory_stats()
    assert on.module.max_memory_allocated() == before
    assert on.module.memory_stats()["allocated_bytes.all.current"] == before
    assert on.name.upper() in on.module.memory_summary()
    assert isinstance(on.module.memory_snapshot(), list)


def test_memory_runs_out_as_it_does_there(on) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(on.module.OutOfMemoryError, match="out of memory"):
        torch.empty(1 << 40, dtype=torch.uint8, device=on.name)
    on.module.set_per_process_memory_fraction(0.01)
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(on.chip.machine.capacity // 50, dtype=torch.uint8, device=on.name)


def test_a_storage_gives_its_memory_back_and_takes_it_again(on) -> None:  # type: ignore[no-untyped-def]
    x = torch.zeros(MIB, device=on.name)
    storage, before = x.untyped_storage(), on.module.memory_allocated()
    assert storage.device == torch.device(on.name, 0)
    assert storage.nbytes() == storage.size() == 4 * MIB
    storage.resize_(0)
    assert on.module.memory_allocated() <= before - 4 * MIB
    assert x.untyped_storage().size() == 0
    storage.resize_(4 * MIB)
    assert on.module.memory_allocated() == before
    assert storage.data_ptr()
    x.add_(1)
    seen = torch.empty(0, device=on.name).set_(storage)
    assert seen.shape == (MIB,)


def test_seeds_and_generators(on) -> None:  # type: ignore[no-untyped-def]
    def draw(**options: object) -> list[int]:
        return torch.randint(0, 1000, (8,), device=on.name, **options).tolist()  # type: ignore[call-overload, no-any-return]

    torch.manual_seed(3)
    first = draw()
    torch.manual_seed(3)
    assert draw() == first
    state = on.module.get_rng_state()
    second = draw()
    on.module.set_rng_state(state)
    assert draw() == second
    generator = torch.Generator(device=on.name).manual_seed(5)
    assert generator.device.type == on.name
    assert isinstance(generator, torch.Generator)
    third = draw(generator=generator)
    assert draw(generator=generator.manual_seed(5)) == third
    assert isinstance(torch.default_generator, torch.Generator)
    with torch.random.fork_rng(devices=[0], device_type=on.name):
        torch.randn(3, device=on.name)
