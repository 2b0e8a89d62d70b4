# Every target makes its own environment from nothing and does nothing twice.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
DEMO_STAMP := $(VENV)/.demo
DEV_STAMP := $(VENV)/.dev
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint format docs studies bench bench-full audit lock clean

demo: $(DEMO_STAMP)  ## train LeNet in Tucker form on real digits
	$(BIN)/rankfold train

test: $(DEV_STAMP)  ## everything that must pass
	$(BIN)/python -m pytest -n 2

lint: $(DEV_STAMP)  ## format, lint, types, floors of the house
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(DEV_STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(DEV_STAMP)  ## the documentation as a site, every warning an error; then open site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

studies: $(DEV_STAMP)  ## claims of the literature, quick sizes; pages go to docs/studies; needs RANKFOLD_DATA or a download
	$(BIN)/rankfold study --all --threads 1 --out docs/studies --overwrite

TIMED := conv linear tt_linear folded step
DECOMPOSED := decompose_success decompose_overfactored decompose_rank decompose_missing decompose_nonnegative \
	cp_sweep cp_collinear
# These are for the cards of docs/methods.
CARDS := card_cp card_formats card_integrators card_orthogonal card_policies
# Kills, full disks and NaN on purpose; the soak takes half an hour and is for bench-full.
FAULTS := kills elastic full_disk not_finite threshold
# These two read real data: set RANKFOLD_DATA.
DECOMPOSED_DATA := tucker decompose_real
# So do these, with the trained networks.
COMPRESSED_DATA := resnet20 stories260k silero_vad_16k

bench: $(DEV_STAMP)  ## the short benchmarks, in minutes; results go to benchmarks/results and docs/performance.md
	for name in digits_lenet import_time basis_precision $(TIMED) memory compile exactness sharded_plan $(DECOMPOSED) \
		$(CARDS); do \
		$(BIN)/python -m benchmarks.$$name || exit 1; done
	for name in $(FAULTS); do $(BIN)/python -m benchmarks.faults.$$name || exit 1; done
	if command -v chromium >/dev/null; then $(BIN)/python -m benchmarks.page_paint || exit 1; fi
	if test -n "$$RANKFOLD_DATA"; then for name in $(DECOMPOSED_DATA); do \
		$(BIN)/python -m benchmarks.$$name || exit 1; done; \
	for name in $(COMPRESSED_DATA); do \
		$(BIN)/python -m benchmarks.compress_networks --network $$name || exit 1; done; fi
	$(BIN)/python -m benchmarks.performance_page
	$(BIN)/python -m tools.faults_page
	$(BIN)/python -m tools.method_cards

bench-full: $(DEV_STAMP)  ## the same with more rounds and cases, then with two threads; for a quiet machine
	for name in digits_lenet import_time basis_precision memory compile exactness sharded_plan $(CARDS); do \
		$(BIN)/python -m benchmarks.$$name || exit 1; done
	for name in $(FAULTS) soak; do $(BIN)/python -m benchmarks.faults.$$name || exit 1; done
	for name in $(DECOMPOSED); do $(BIN)/python -m benchmarks.$$name --full || exit 1; done
	if command -v chromium >/dev/null; then $(BIN)/python -m benchmarks.page_paint || exit 1; fi
	if test -n "$$RANKFOLD_DATA"; then for name in $(DECOMPOSED_DATA); do \
		$(BIN)/python -m benchmarks.$$name --full || exit 1; done; \
	for name in $(COMPRESSED_DATA); do \
		$(BIN)/python -m benchmarks.compress_networks --network $$name || exit 1; done; \
	for share in 0.5 0.3; do $(BIN)/python -m benchmarks.compress_finetune --share $$share || exit 1; done; fi
	for name in $(TIMED); do \
		$(BIN)/python -m benchmarks.$$name --full || exit 1; \
		$(BIN)/python -m benchmarks.$$name --threads 2 || exit 1; done
	$(BIN)/python -m benchmarks.performance_page
	$(BIN)/python -m tools.faults_page
	$(BIN)/python -m tools.method_cards

audit: $(DEV_STAMP)  ## known vulnerabilities of the versions in constraints.txt; needs the network
	$(BIN)/python -m pip_audit -r constraints.txt --no-deps --disable-pip

lock: $(DEV_STAMP)  ## requirements.lock anew, after a change to constraints.txt; nothing is installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --dry-run --ignore-installed \
		--report $(VENV)/report.json -c constraints.txt -e '.[dev]'
	$(BIN)/python -m tools.lock $(VENV)/report.json

clean:
	rm -rf $(VENV) site .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(DEMO_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[cli]'
	touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[dev]'
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
