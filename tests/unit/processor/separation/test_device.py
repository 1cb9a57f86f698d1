"""The choice of CPU or GPU, and where a loaded model says that it runs."""

import pytest

from processor.models import model_files
from processor.separation import device, loaded_model
from tests.support.processor.models import centre_directory

GPU = [device.CUDA_PROVIDER, device.CPU_PROVIDER]
NO_GPU = [device.CPU_PROVIDER]


@pytest.mark.parametrize(
    ("requested", "visible", "available", "expected"),
    [
        ("cuda", True, None, device.CUDA),
        ("auto", False, None, device.CPU),
        ("auto", True, None, device.CUDA),
        ("auto", True, GPU, device.CUDA),
        ("auto", False, GPU, device.CPU),
        ("auto", True, NO_GPU, device.CPU),
        ("cpu", True, GPU, device.CPU),
        ("cuda", True, GPU, device.CUDA),
    ],
)
def test_the_choice_of_device(requested, visible, available, expected):
    assert device.choose(requested, visible, available) == expected


@pytest.mark.parametrize(("visible", "available"), [(False, GPU), (True, NO_GPU)])
def test_a_demanded_gpu_that_is_missing_is_refused(visible, available):
    with pytest.raises(device.DeviceUnavailable, match="DEVICE=cuda"):
        device.choose("cuda", visible, available)


@pytest.mark.parametrize("placement", [NO_GPU, ["cpu"], ["cpu", "cuda:0"]])
def test_a_model_that_fell_back_is_found_out(placement):
    with pytest.raises(
        device.DeviceUnavailable, match=r"the loaded model is on .*(cpu|CPUExecutionProvider)"
    ):
        device.confirm("cuda", placement)


def test_the_device_is_the_one_that_the_loaded_model_tells():
    assert device.confirm("auto", ["cuda:0"]) == "cuda"
    assert device.confirm("auto", ["cpu"]) == "cpu"
    assert device.confirm("auto", NO_GPU) == "cpu"
    assert device.confirm("auto", GPU) == "cuda"


def test_a_loaded_session_tells_its_real_providers():
    loaded = loaded_model.load(model_files.ensure("centre", centre_directory(), fetch=False), device.CPU)
    assert loaded.placement == (device.CPU_PROVIDER,)
    with pytest.raises(device.DeviceUnavailable, match="CPUExecutionProvider"):
        device.confirm("cuda", loaded.placement)
