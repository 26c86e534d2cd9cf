"""What was built is used again where it is of the same sources, and made anew elsewhere."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from torchcrate.errors import ContractError, FolderError, RunnerError
from torchcrate.verify.build import PROGRAM, build_cpp

TRIVIAL = f"""
cmake_minimum_required(VERSION 3.22)
project(trivial LANGUAGES NONE)
file(TOUCH ${{CMAKE_BINARY_DIR}}/{PROGRAM})
"""


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    path = tmp_path / "CMakeLists.txt"
    path.write_text("message(FATAL_ERROR tried)\n")
    return {path.name: path}


def test_a_program_of_other_sources_that_a_cache_kept_is_built_anew(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    kept = tmp_path / "cpp"
    kept.mkdir()
    (kept / PROGRAM).write_text("old")
    (kept / "built-from").write_text("other sources")

    with pytest.raises(RunnerError):  # CMake was asked, and these sources say no
        build_cpp(sources, kept)

    assert not (kept / PROGRAM).exists()


def test_a_folder_of_other_files_is_left_alone(sources: dict[str, Path], tmp_path: Path) -> None:
    theirs = tmp_path / "thesis"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("mine")

    with pytest.raises(FolderError, match="holds other files than a build"):
        build_cpp(sources, theirs)

    assert (theirs / "thesis.txt").read_text() == "mine"


def test_what_is_asked_before_building_is_asked_if_there_is_anything_to_build(
    sources: dict[str, Path], tmp_path: Path
) -> None:
    def refuse() -> None:
        raise ContractError("the weights do not fit")

    with pytest.raises(ContractError, match="do not fit"):
        build_cpp(sources, tmp_path / "cpp", before=refuse)

    assert not (tmp_path / "cpp").exists()
    sources["CMakeLists.txt"].write_text(TRIVIAL)
    program = build_cpp(sources, tmp_path / "cpp")
    assert build_cpp(sources, tmp_path / "cpp", before=refuse) == program


def test_a_libtorch_with_cuda_needs_no_toolkit_and_a_new_warning_stops_nobody(
    sealed: Path, tmp_path: Path
) -> None:
    config = tmp_path / "torch/share/cmake/Torch/TorchConfig.cmake"
    config.parent.mkdir(parents=True)
    config.write_text("message(FATAL_ERROR [[uses CUDA but I cannot find the CUDA libraries]])\n")
    (tmp_path / "torch/lib").mkdir()
    (tmp_path / "torch/lib/libtorch_cuda.so").touch()

    done = subprocess.run(
        [
            *("cmake", "-S", sealed, "-B", tmp_path / "build", "-G", "Ninja"),
            f"-DCMAKE_PREFIX_PATH={tmp_path / 'torch/share/cmake'}",
            "-DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON",  # as where there is none
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    rules = (tmp_path / "build/build.ninja").read_text()
    assert "lib/libtorch_cuda.so" in rules
    assert "-Wconversion" in rules
    assert "-Werror" not in rules


PARENT = """
cmake_minimum_required(VERSION 3.22)
project(parent LANGUAGES C CXX)
add_library(warnings INTERFACE)
add_subdirectory(source source/build)
add_subdirectory("{crate}" again)
add_library(plugin SHARED plugin.cpp)
target_link_libraries(plugin PRIVATE torchcrate::script_model)
"""
PLUGIN = """
#include <script_model.h>

#include <algorithm>

struct Contract {  // this project has its own, and they are nothing like the crate's
  ~Contract() { *broken = true; }
  bool* broken;
};
struct Tensor {
  Contract contract;
  double stress[9];
};

extern "C" int answer(const char* model, std::size_t count, float* answers) {
  bool broken = false;
  const Tensor own{{&broken}, {}};
  const torchcrate::Tensor black{"uint8", {2, 1, 1, 1}, torchcrate::Bytes(2)};
  const torchcrate::Tensor said = torchcrate::ScriptModel(model).run({black}).at(0);
  const auto* first = reinterpret_cast<const float*>(said.data.data());
  std::copy_n(first, std::min(count, said.data.size() / sizeof *first), answers);
  return broken ? 1 : 0;
}
"""


def test_a_project_of_somebody_else_takes_a_crate_in(sealed: Path, tmp_path: Path) -> None:
    """A plugin; the project finds no LibTorch itself and has a Tensor and warnings of its own.

    Folders and options are verify's: what it has compiled ccache need not compile again.
    """
    shutil.copytree(sealed, tmp_path / "source")
    (tmp_path / "CMakeLists.txt").write_text(PARENT.format(crate=sealed))
    (tmp_path / "plugin.cpp").write_text(PLUGIN)
    options = ["-DCMAKE_BUILD_TYPE=Release"]
    options += [f"-DCMAKE_PREFIX_PATH={torch.utils.cmake_prefix_path}"]
    for command in (
        ["cmake", "-S", tmp_path, "-B", tmp_path, "-G", "Unix Makefiles", *options],
        ["cmake", "--build", tmp_path, "--target", "plugin"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    want = safetensors.numpy.load_file(sealed / "golden.safetensors")["black-2x1x1.log_probs"]
    got = np.zeros_like(want)
    plugin = ctypes.CDLL(tmp_path / "libplugin.so")
    model = os.fsencode(sealed / "model.pt")
    assert plugin.answer(model, ctypes.c_size_t(got.size), ctypes.c_void_p(got.ctypes.data)) == 0
    assert np.allclose(got, want, rtol=0, atol=1e-5)
    assert "libtorch_cpu.so" in (tmp_path / "CMakeFiles/plugin.dir/link.txt").read_text()
    made = tmp_path / "source/build/CMakeFiles/torchcrate_script_model.dir"
    assert "-fPIC" in (made / "flags.make").read_text()
