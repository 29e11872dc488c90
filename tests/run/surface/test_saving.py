from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch


@pytest.mark.parametrize("width", [16, 1100])
def test_a_checkpoint_comes_back_where_it_is_wanted(on, width: int) -> None:  # type: ignore[no-untyped-def]
    """16: values are zeros in the file; 1100: the weights are too large to be written and travel as shapes."""
    model = torch.nn.Linear(width, width).to(on.name)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, width, device=on.name)).sum().backward()
    optimizer.step()
    file = io.BytesIO()
    torch.save({"m": model.state_dict(), "o": optimizer.state_dict(), "i": torch.arange(5, device=on.name)}, file)
    assert len(file.getvalue()) < 100_000
    there, host = torch.device(on.name, 0), torch.device("cpu")
    places = [(None, there), ("cpu", host), (on.name, there), (there, there), (lambda s, _: s, host), ({str(there): "cpu"}, host)]
    for weights_only in (True, False):
        for place, expected in places:
            file.seek(0)
            found = torch.load(file, map_location=place, weights_only=weights_only)
            assert found["m"]["weight"].device == expected
            assert found["m"]["weight"].shape == (width, width)
            assert found["i"].device == expected
            assert found["i"].tolist() == [0, 1, 2, 3, 4]
            model.load_state_dict(found["m"])
            optimizer.load_state_dict(found["o"])
    assert model.weight.device == there


def test_whole_modules_and_tensors_are_saved_copied_and_pickled(on) -> None:  # type: ignore[no-untyped-def]
    for width in (16, 1100):
        model = torch.nn.Sequential(torch.nn.Linear(width, width)).to(on.name)
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        for found in (torch.load(file, weights_only=False), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert found[0].weight.device.type == on.name
            assert found[0].weight is not model[0].weight
            found(torch.randn(2, width, device=on.name))
        host = torch.nn.Linear(width, width)
        for found in (copy.deepcopy(host), pickle.loads(pickle.dumps(host))):
            assert found.weight.device.type == "cpu"
            assert found.to(on.name).weight.device.type == on.name
    counted = torch.arange(6, device=on.name)[2:5]
    assert copy.deepcopy(counted).tolist() == pickle.loads(pickle.dumps(counted)).tolist() == [2, 3, 4]


def test_tensors_over_one_storage_stay_over_one(on) -> None:  # type: ignore[no-untyped-def]
    for size in (64, 1 << 21):
        whole = torch.empty(size, device=on.name)
        file = io.BytesIO()
        torch.save({"whole": whole, "half": whole[size // 2 :]}, file)
        file.seek(0)
        found = torch.load(file)
        assert found["whole"].untyped_storage()._cdata == found["half"].untyped_storage()._cdata
        assert found["half"].storage_offset() == size // 2


def test_a_file_for_a_device_that_is_not_there_is_refused(npu) -> None:  # type: ignore[no-untyped-def]
    file = io.BytesIO()
    torch.save(torch.arange(3), file)
    file.seek(0)
    with pytest.raises(RuntimeError, match=r"torch.cuda.is_available\(\) is False"):
        torch.load(file, map_location="cuda")


def test_safetensors_of_shapes_alone_are_files_of_zeros(on, tmp_path) -> None:  # type: ignore[no-untyped-def]
    library = pytest.importorskip("safetensors.torch")
    model = torch.nn.Linear(1100, 1100).to(on.name)
    file = tmp_path / "model.safetensors"
    library.save_file({**model.state_dict(), "steps": torch.arange(3, device=on.name)}, file, metadata={"format": "pt"})
    found = library.load_file(file, device=on.name)
    assert found["weight"].device.type == on.name
    assert found["weight"].shape == (1100, 1100)
    assert found["steps"].tolist() == [0, 1, 2]
    assert file.stat().st_blocks * 512 < 100_000 < file.stat().st_size
