# make demo | make test: everything from a bare checkout, in the active virtual environment or else in .venv.
#
#   make demo     trains a spatial transformer on MNIST; DEMO="--data DIR" and the like go to examples/train_mnist.py
#   make experiment  the table of the paper's distorted MNIST, within 3 minutes: errors, curves, pictures in distorted_mnist/;
#                 EXPERIMENT="--data DIR --budget cpu" and the like go to examples/distorted_mnist.py
#   make test     the whole test-suite, then a part of it on the CPU kernels of this machine's other instruction sets (pytest
#                 --other-instruction-sets), and a part on the CUDA kernels executed on the host (pytest --device emulated runs
#                 all of it there); TESTS="tests/test_parity.py -k border" for a part, on the CPU only, in one process
#   make gpu      builds for the GPUs here and runs tests, checks, compute-sanitizer and the benchmark within 9 minutes, with the
#                 Python and torch that are there and no network; OUT=DIR for what it writes (build/gpu), GPU="--minutes 4"
#                 and the like go to tools/gpu.py
#   make resources  compiles every CUDA kernel and writes what it takes to benchmarks/results/resources.md; fails where that is
#                 more than is allowed. Needs nvcc, no torch and no GPU
#   make build    the libraries, in place (setup.py lists the environment variables)
#   make lint     style and types
#   make clean    what was built; make distclean: and .venv

PY ?= $(if $(VIRTUAL_ENV),$(VIRTUAL_ENV)/bin/python,python3)
TESTS ?=
EMULATED = affine_grid autocast autograd beyond broadcasting complex cuda_backend double_backward edges errors fill \
	gradients memory_format mixed_precision nonfinite nonfinite_beyond operators other_libraries padding_beyond sixteen_bits \
	transform_grids transform_identity transform_operators transform_sample valid_mask
# what every instruction set's CPU kernels pass; a spawned DataLoader worker would have the best one's
OTHER_SETS = parity gradients double_backward forward_ad_checks nonfinite threads
# pytest-xdist's, where it is: whole files go to as many processes as there are cores, which don't spin while they wait.
IN_PARALLEL = $$($(PYTHON) -c "import xdist" 2>/dev/null && \
	echo --numprocesses auto --maxprocesses $(JOBS) --dist loadfile --no-loadscope-reorder)
JOBS ?= 8
DEMO ?=
EXPERIMENT ?=
OUT ?= build/gpu
GPU ?=

.PHONY: build test demo experiment gpu resources lint clean distclean
build:
	$(eval PYTHON := $(shell $(PY) tools/bootstrap.py))
	@test -n "$(PYTHON)"
	$(PYTHON) setup.py -q build_ext --inplace

test: export OMP_WAIT_POLICY ?= passive
test: build
ifneq ($(TESTS),)
	$(PYTHON) -m pytest $(TESTS)
else
	$(PYTHON) -m pytest $(IN_PARALLEL)
	$(PYTHON) -m pytest $(IN_PARALLEL) --other-instruction-sets $(OTHER_SETS:%=tests/test_%.py) -k "not dataloader"
	$(PYTHON) -m pytest $(IN_PARALLEL) --device emulated $(EMULATED:%=tests/test_%.py)
endif

demo: build
	$(PYTHON) examples/train_mnist.py $(DEMO)

experiment: build
	$(PYTHON) examples/distorted_mnist.py --table $(EXPERIMENT)

gpu:
	$(eval PYTHON := $(shell $(PY) tools/bootstrap.py --offline))
	@test -n "$(PYTHON)"
	$(PYTHON) tools/gpu.py --out $(OUT) $(GPU)

resources:
	$(PY) tools/resources.py --write

lint:
	$(eval PYTHON := $(shell $(PY) tools/bootstrap.py --lint))
	@test -n "$(PYTHON)"
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

clean:
	rm -rf build dist *.egg-info stn_cuda/*.so stn_mnist.png lenet_tutorial

distclean: clean
	rm -rf .venv
