# make demo           sets up, then fills a gap in fixtures/documents/ with the embedded model
# make test           sets up, then formats, lints, types and tests are checked
# make test-editors   installs real editors in .editors/ (Debian and its registries only) and tests the clients in them
# make vsix           builds the VS Code extension, build/midfill.vsix
# make eval           measures quality; BENCH=, LIMIT=, SETS=, VARIANTS= choose what of; it RUNS CODE THAT A MODEL WROTE
# make builds         compiles the kernels for cards that are not here, and writes what they take into kernels/README.md
# make gpu            measures on a card, in parts, at most ten minutes; make gpu-report makes tables and plots of it
# make nano           trains the embedded model; nano-carry, nano-piece, nano-fit do it on a card that is lent for minutes
PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL_THERE := $(PYTHON) -m pip install --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
	--platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --target
NANO := engine/nano
DEMO := fixtures/documents/median.py --at 4:17
NANO_WORKERS ?= $(if $(shell command -v nvidia-smi),1,$(shell nproc))
MODEL := engine/midfill/engine/models/nano
CAPS := 1
RUN_S ?= 1250
PIECE_S ?= 500
OUT ?= .nano/out
# Node trusts the certificates that it brings; those of the machine too, where a proxy of its own stands before a registry.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export NODE_EXTRA_CA_CERTS ?= /etc/ssl/certs/ca-certificates.crt
endif

.PHONY: setup test test-editors check demo vsix bench bench-kernels bench-engine builds eval gpu gpu-report catalogue \
	nano nano-corpus nano-carry nano-piece nano-fit clean

setup: .venv/.engine

.venv/.python:
	$(PYTHON) -m venv .venv
	@touch $@

# torch first and alone: pip keeps the build it finds here when the rest asks for a range.
.venv/.torch: .venv/.python
	$(PIP) install '$(TORCH)'
	@touch $@

.venv/.engine: .venv/.torch pyproject.toml
	$(PIP) install -e '.[engine]'
	@touch $@

.venv/.dev: .venv/.torch pyproject.toml
	$(PIP) install -e '.[dev]'
	@touch $@ .venv/.engine

check: .venv/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright
	$(BIN)/pytest -q tests/test_layers.py

test: export OMP_NUM_THREADS = 1
test: check .venv/.node
	$(BIN)/pytest -m 'not gpu and not editors'

# The test client in another language that the server is tried with.
.venv/.node: .venv/.python tests/server/node/package-lock.json
	npm ci --no-fund --no-audit --prefix tests/server/node
	@touch $@

.venv/.editors: .venv/.torch pyproject.toml
	$(PIP) install -e '.[editors]'
	@touch $@ .venv/.engine .venv/.dev

test-editors: export OMP_NUM_THREADS = 1
test-editors: .venv/.editors vsix
	tests/editors/nvim/install.sh .editors
	tests/editors/vscode/install.sh .editors
	$(BIN)/pyright tests/editors/*/*.py
	npm --prefix editors/vscode run check
	npm --prefix editors/vscode test
	$(BIN)/pytest -m editors

vsix:
	npm ci --no-fund --no-audit --ignore-scripts --prefix editors/vscode
	npm --prefix editors/vscode run package

bench: .venv/.dev
	for bench in tests/benchmarks/bench_*.py; do $(BIN)/python $$bench || exit 1; done

demo: .venv/.engine
	$(BIN)/midfill fill $(DEMO)

bench-kernels bench-engine: bench-%: .venv/.dev
	$(BIN)/python tests/benchmarks/bench_$*.py

eval: export OMP_NUM_THREADS ?= 1
eval: .venv/.dev
	$(BIN)/python -m tests.benchmarks.eval.measure $(if $(BENCH),--bench $(BENCH)) $(if $(LIMIT),--limit $(LIMIT)) \
		$(if $(SETS),--sets $(SETS)) $(if $(VARIANTS),--variants $(VARIANTS))

# Uses the python at hand, which must have torch with CUDA, triton and pytest; installs nothing, misses plugins gladly.
# PART is tests, engine, kernels or nano; FORCE=1 measures again what these sources have been measured for.
gpu:
	$(PYTHON) -m tests.benchmarks.gpu.parts $(PART) $(if $(FORCE),--force)

builds: .venv/.dev
	$(BIN)/python -m tests.benchmarks.gpu.builds_report kernels/README.md

gpu-report:
	$(PYTHON) -m tests.benchmarks.gpu.report --write engine/README.md kernels/README.md --plots tests/benchmarks/results

# What the engine imports, for a machine with a card and Python 3.12 that reaches no registry; `make gpu` there finds it.
.gpu:
	$(INSTALL_THERE) $@ msgspec platformdirs jsonschema-rs jsonschema-specifications referencing rpds-py

# Each step skips what it finds done, so these resume after an interruption. nano does it all on one machine.
nano: nano-corpus
	$(BIN)/torchrun --standalone --nproc-per-node=$(NANO_WORKERS) $(NANO)/train.py
	$(BIN)/python $(NANO)/export.py
	$(MAKE) nano-fit

nano-corpus: .venv/.dev
	$(BIN)/python $(NANO)/corpus.py --caps $(CAPS)
	$(BIN)/python $(NANO)/contamination.py
	$(BIN)/python $(NANO)/train_tokenizer.py
	$(BIN)/python $(NANO)/pack.py

# A machine with a card that is lent for minutes, and reaches no registry, trains in pieces: nano-carry here packs .carry/,
# nano-piece there goes on for PIECE_S of the run's RUN_S and leaves the weights so far in OUT, which nano-fit here takes
# FROM a folder.
nano-carry: CAPS = 2.2
nano-carry: nano-corpus
	$(BIN)/python $(NANO)/carried.py pack
	$(INSTALL_THERE) .carry/site --upgrade msgspec platformdirs

nano-piece: export TORCHINDUCTOR_CACHE_DIR := $(CURDIR)/.nano/inductor
nano-piece: export PYTHONPATH := $(CURDIR)/server:$(CURDIR)/engine:$(CURDIR)/kernels:$(CURDIR)/.carry/site
nano-piece:
	$(PYTHON) $(NANO)/carried.py unpack
	$(PYTHON) $(NANO)/train.py --seconds $(RUN_S) --piece-s $(PIECE_S) --out $(OUT) $(TRAIN)

nano-fit: .venv/.dev
	$(if $(FROM),ls $(FROM)/model.safetensors.index.json && rm -f $(MODEL)/model-*.safetensors && cp $(FROM)/*.json $(FROM)/*.safetensors $(MODEL))
	OMP_NUM_THREADS=1 $(BIN)/python $(NANO)/fit_recall.py
	OMP_NUM_THREADS=1 $(BIN)/python $(NANO)/fit_gate.py
	OMP_WAIT_POLICY=passive $(BIN)/python $(NANO)/train_drafter.py

# CATALOG is SchemaStore's src/api/json/catalog.json at COMMIT.
catalogue:
	$(PYTHON) server/schemastore/write_catalogue.py $(CATALOG) $(COMMIT)

clean:
	rm -rf .venv .editors .gpu .carry build dist .pytest_cache .ruff_cache .hypothesis
