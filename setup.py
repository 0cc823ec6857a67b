"""Builds stn_cuda: the operators (a library without Python in it) and stn_cuda._C, in one ninja graph for g++ and nvcc.

    FORCE_CUDA            1: compile the CUDA kernels, beside a CPU-only torch too; 0: leave them out; unset: compile them if
                          torch has CUDA and there is an nvcc
    TORCH_CUDA_ARCH_LIST  e.g. "8.0;9.0+PTX"; unset: the visible GPUs', else every common one that nvcc knows
    CUDA_HOME, CUDA_PATH  the toolkit; unset: nvcc on PATH, in /usr/local/cuda, or of the cuda-toolkit wheels
    CXX, CXXFLAGS         the C++ compiler (g++) and flags for it
    MAX_JOBS, DEBUG=1     compilers at once; -O0 -g
    VIRTUAL_ENV           where torch is looked for when the building Python doesn't have it

Not torch.utils.cpp_extension: that can't compile CUDA beside a CPU-only torch, and needs a GPU or an architecture list.
"""
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
MIN_TORCH = (2, 11)
OPERATORS = "libstn_cuda_ops"
COMMON_ARCHS = ["7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0"]
TOOLKIT = 'pip install "cuda-toolkit[nvcc,cccl,cudart]==13.0.*"'


def fail(message, cause=None):
    raise SystemExit(f"stn_cuda: {message}" + (f"\n  ({type(cause).__name__}: {cause})" if cause else "")) from cause


# ---- what there is to build with ----------------------------------------------------------------------------------------

def import_torch():
    """torch, which under pip's build isolation is not importable: then from the environment that pip installs into."""
    try:
        import torch
        return torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            fail("torch is installed but doesn't import; mend or reinstall it first", error)
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    venv = os.environ.get("VIRTUAL_ENV")
    for python in [sys.executable] + ([f"{venv}/bin/python"] if venv else []):
        code = "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
        found = subprocess.run([python, "-c", code], env=env, capture_output=True, text=True)
        if found.returncode == 0:
            sys.path.append(str(Path(found.stdout.strip()).parent))
            try:
                import torch
                return torch
            except ImportError as error:
                fail(f"the torch of {python} doesn't import here", error)
    fail("PyTorch is not installed here; it is needed to build: pip install torch")


def check_torch(torch):
    if tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2]) < MIN_TORCH:
        fail(f"torch {torch.__version__} is too old, {MIN_TORCH[0]}.{MIN_TORCH[1]} or later is needed: pip install -U torch")


def find_compiler():
    compiler = shlex.split(os.environ.get("CXX", "g++"))
    if not shutil.which(compiler[0]):
        fail(f"there is no C++ compiler {compiler[0]!r}; install one (Debian: apt-get install g++) or set CXX")
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.exists():
        fail(f"Python's headers are missing ({header}); install them (Debian: apt-get install python3-dev)")
    version = subprocess.run([*compiler, "-dumpfullversion", "-dumpversion"], capture_output=True, text=True).stdout.split()
    return compiler, f"{Path(compiler[0]).name} {version[0] if version else 'of unknown version'}"


def find_nvcc(torch):
    """Path of nvcc, or None for a build without CUDA kernels."""
    force = os.environ.get("FORCE_CUDA")
    if force not in (None, "", "0", "1"):
        fail(f"FORCE_CUDA must be 0 or 1, got {force!r}")
    if force == "0" or (force != "1" and not torch.version.cuda):
        return None
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    wheels = Path(torch.__file__).parent.parent.glob("nvidia/*/bin/nvcc")
    places = [f"{home}/bin/nvcc"] if home else [shutil.which("nvcc"), "/usr/local/cuda/bin/nvcc", *map(str, wheels)]
    for place in places:
        if place and os.path.exists(place):
            return place
    if home or force == "1":
        where = f"in CUDA_HOME={home}" if home else "on PATH, in /usr/local/cuda or in site-packages"
        fail(f"there is no nvcc {where}; {TOOLKIT} gets one, FORCE_CUDA=0 builds without CUDA kernels")
    print(f"stn_cuda: WARNING: torch {torch.__version__} has CUDA, but there is no nvcc: the result will be CPU-only.\n"
          f"stn_cuda: WARNING: {TOOLKIT} gets one; then build again.", file=sys.stderr)
    return None


def cuda_archs(torch, nvcc):
    """Names such as "8.0" or "9.0+PTX"."""
    given = os.environ.get("TORCH_CUDA_ARCH_LIST")
    if given:
        archs = given.replace(";", " ").split()
        for arch in archs:
            if not re.fullmatch(r"\d+\.\d[af]?(\+PTX)?", arch):
                fail(f'TORCH_CUDA_ARCH_LIST must have numbers such as "8.0;9.0+PTX", got {arch!r}')
        return archs
    if torch.cuda.is_available():
        return sorted({"%d.%d" % torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())}, key=float)
    known = subprocess.run([nvcc, "--list-gpu-arch"], check=True, capture_output=True, text=True).stdout.split()
    archs = [arch for arch in COMMON_ARCHS if f"compute_{arch.replace('.', '')}" in known]
    return archs[:-1] + [archs[-1] + "+PTX"]


def ptx_family(number):
    """Architectures of one family get the same PTX, but for the target's name, and so the same machine code from the oldest's.

    That is what nvcc 13.0 makes of these kernels, which ask for no architecture (a mark of the design in test_native.py)."""
    if not number.isdigit() or int(number) < 75:
        return number  # sm_90a and the like have instructions that others lack
    return "from 10.0 on" if int(number) >= 100 else "before 10.0"


def gencodes(archs):
    """nvcc's flags for names such as "9.0+PTX". A family's PTX is made once: that takes twice as long as to assemble it."""
    families = {}
    for arch in sorted(archs, key=lambda arch: float(re.match(r"[0-9.]+", arch)[0])):
        number = arch.removesuffix("+PTX").replace(".", "")
        oldest, codes = families.setdefault(ptx_family(number), (f"compute_{number}", []))
        codes.append(f"sm_{number}")
        if arch.endswith("+PTX"):
            codes.append(oldest)
    return [f"-gencode=arch={oldest},code=[{','.join(dict.fromkeys(codes))}]" for oldest, codes in families.values()]


def git_commit():
    if not (ROOT / ".git").exists():
        return "unknown"
    found = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


# ---- the ninja graph ----------------------------------------------------------------------------------------------------

@dataclass
class Toolchain:
    torch: object
    compiler: list
    compiler_name: str
    nvcc: str | None
    archs: list
    debug: bool

    @classmethod
    def find(cls):
        torch = import_torch()
        check_torch(torch)
        nvcc = find_nvcc(torch)
        return cls(torch, *find_compiler(), nvcc, cuda_archs(torch, nvcc) if nvcc else [], os.environ.get("DEBUG") == "1")

    @property
    def cuda_version(self):
        if not self.nvcc:
            return ""
        text = subprocess.run([self.nvcc, "--version"], check=True, capture_output=True, text=True).stdout
        return text.split("release ")[1].split(",")[0]

    def summary(self, version):
        cuda = f"CUDA {self.cuda_version} kernels for {' '.join(self.archs)}" if self.nvcc else "no CUDA kernels"
        return (f"stn_cuda {version}: CPU kernels by {self.compiler_name}, {cuda}, against torch {self.torch.__version__}"
                + (", DEBUG" if self.debug else ""))


def flag(text):
    """A flag as a ninja variable's value: quoted for the shell that ninja runs, and `$` for ninja itself."""
    return shlex.quote(str(text)).replace("$", "$$")


def place(path):
    """A path in a build statement, where ninja splits at spaces."""
    return str(path).replace("$", "$$").replace(" ", "$ ").replace(":", "$:")


def define(name, text):
    """A macro that is a string."""
    return f'-D{name}="{text}"'


def ninja_graph(tools, version, operators, module, build_dir):
    import pybind11

    torch_dir = Path(tools.torch.__file__).parent
    emulation = ROOT / "tests" / "native" / "emulation"  # not in an sdist
    optimise = ["-O0", "-g"] if tools.debug else ["-O3", "-g0"]  # distutils' own -g doubles the compile time
    common = ["-std=c++20", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", *optimise]
    target = f"0x{MIN_TORCH[0]:02x}{MIN_TORCH[1]:02x}000000000000"
    host = [*common, f"-DTORCH_TARGET_VERSION={target}ULL", f"-isystem{torch_dir / 'include'}"]
    # Or g++ makes `rep movs` of loops over a few elements, which costs more than all of a kernel's arithmetic.
    cxx = [*host, "-fno-tree-loop-distribute-patterns", *(["-DSTN_WITH_CUDA"] if tools.nvcc else [])]
    # Not -O3: nobody times these kernels, and it takes longer to compile.
    emulated = [*host, "-O1", "-DSTN_EMULATED", f"-I{emulation}", "-xc++"]
    cuda = ["-std=c++17", "-Xcompiler=-fPIC,-fvisibility=hidden,-Wall,-Wno-unknown-pragmas"]
    # Machine code is compressed only where that is asked for. When this was measured, by nvcc 13.0, float32's cubins for seven
    # architectures were 15.0 MB, and 2.4 so. --compress-mode=size made 1.9, but is nvcc 12.8's, and may want a newer driver.
    cuda += [f"-ccbin={tools.compiler[0]}", optimise[0], "-Xfatbin=-compress-all"]
    cuda += gencodes(tools.archs)
    cuda += ["-Xptxas=-v"]  # the report is kept beside the object, for tools/resources.py --reports
    facts = {"STN_VERSION": version, "STN_COMMIT": git_commit(), "STN_TORCH": tools.torch.__version__,
             "STN_TORCH_MINIMUM": "%d.%d" % MIN_TORCH, "STN_COMPILER": tools.compiler_name,
             "STN_CUDA": tools.cuda_version, "STN_CUDA_ARCHS": " ".join(tools.archs)}
    python = [*common, f"-isystem{pybind11.get_include()}", f"-isystem{sysconfig.get_path('include')}"]
    python += [define(*fact) for fact in facts.items()]
    extra = shlex.split(os.environ.get("CXXFLAGS", ""))
    rules = {"cxx": (tools.compiler, [*cxx, *extra]), "python": (tools.compiler, [*python, *extra]),
             "emulated": (tools.compiler, [*emulated, *extra])}
    link = tools.compiler
    if tools.nvcc:  # links with the static CUDA runtime, and knows where that is
        rules["cuda"] = [tools.nvcc], cuda
        link = [tools.nvcc, f"-ccbin={tools.compiler[0]}", "-cudart=static", "-Xlinker=--exclude-libs=ALL"]
    text = ""
    for name, (command, flags) in rules.items():
        line = f"{' '.join(map(flag, [*command, *flags]))} -MD -MF $out.d -c $in -o $out"
        if name == "cuda":  # whatever else is said is shown
            line += " > $out.ptxas 2>&1; s=$$?; grep -v -e 'ptxas info' -e 'bytes stack frame' $out.ptxas; exit $$s"
        text += f"rule {name}\n  command = {line}\n"
        text += f"  depfile = $out.d\n  deps = gcc\n  description = {name} $in\n"
    text += f"rule link\n  command = {' '.join(map(flag, link))} -shared $in -o $out $libs\n  description = link $out\n"
    objects, emulated_objects = [], []
    sources = sorted((ROOT / "csrc").rglob("*.c*"))
    for source in sorted(sources, key=lambda source: "kernels_" not in source.name):  # what takes longest comes first
        rule = {".cpp": "python" if source.name == "bindings.cpp" else "cxx", ".cu": "cuda"}.get(source.suffix)
        compiled = place(build_dir / f"{source.relative_to(ROOT / 'csrc').as_posix().replace('/', '.')}.o")
        if source.parent.name == "cpu":
            emulated_objects.append(compiled)
        if rule not in rules:
            continue
        text += f"build {compiled}: {rule} {place(source)}\n"
        if rule == "python":
            text += f"build {place(module)}: link {compiled}\n  libs =\n"
        else:
            objects.append(compiled)
    libraries = f"  libs = {flag('-L' + str(torch_dir / 'lib'))} -ltorch_cpu\n"
    text += f"build {place(operators)}: link {' '.join(objects)}\n{libraries}"
    text += f"default {place(operators)} {place(module)}\n"
    # The CUDA kernels for the host, in the place of the CPU's: `ninja emulated`, which only tests ask for (tests/emulated.py).
    for folder in ("csrc/ops", "csrc/cuda", "tests/native/emulation") if emulation.exists() else ():
        for source in sorted((ROOT / folder).glob("*.c*")):
            if source.suffix in (".cpp", ".cu"):
                emulated_objects.append(place(build_dir / f"emulated.{source.parent.name}.{source.name}.o"))
                text += f"build {emulated_objects[-1]}: emulated {place(source)}\n"
    library = place(build_dir / "emulated" / operators.name)
    return text + f"build {library}: link {' '.join(emulated_objects)}\n{libraries}build emulated: phony {library}\n"


class NinjaBuild(build_ext):
    """Both libraries at once, each at the place that setuptools wants it."""

    def get_ext_filename(self, name):
        if name.endswith(OPERATORS):  # no Python module: the same file serves every Python
            return os.path.join(*name.split(".")) + ".so"
        return super().get_ext_filename(name)

    def build_extensions(self):
        try:
            import ninja  # noqa: F401
            import pybind11  # noqa: F401
        except ModuleNotFoundError as error:
            fail("the build needs ninja and pybind11: pip install ninja pybind11", error)
        module, operators = (Path(self.get_ext_fullpath(ext.name)).resolve() for ext in self.extensions)
        build_dir = Path(self.build_temp).resolve()
        tools, version = Toolchain.find(), self.distribution.get_version()
        print(tools.summary(version), flush=True)
        for folder in module.parent, operators.parent, build_dir:
            folder.mkdir(parents=True, exist_ok=True)
        (build_dir / "build.ninja").write_text(ninja_graph(tools, version, operators, module, build_dir))
        jobs = ["-j", os.environ["MAX_JOBS"]] if os.environ.get("MAX_JOBS") else []
        try:
            subprocess.run([sys.executable, "-m", "ninja", "-C", str(build_dir), *jobs], check=True)
        except subprocess.CalledProcessError as error:
            fail(f"a command of the build failed, its message is above; `{sys.executable} -m ninja -C {build_dir} -v` runs "
                 "the rest of it again, with its command lines", error)


setup(ext_modules=[Extension("stn_cuda._C", sources=[]), Extension(f"stn_cuda.{OPERATORS}", sources=[])],
      cmdclass={"build_ext": NinjaBuild})
