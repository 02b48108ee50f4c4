# Every target does its own set-up: a virtual environment in .venv, made by the first Python 3.11+ found.
#   make demo PYTHON=/path/to/python3.12                           another Python
#   make demo PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu   a smaller torch, without CUDA
#   make bench BENCH="scale --quick"                               one benchmark, or a group: speed, quality, all
#   make mutants MODULE="mpop/maps/fsc.py mpop/optics/ctf.py"      mutation testing of these alone

.DEFAULT_GOAL := help
.PHONY: help demo test mutants lint format bench docs clean

CANDIDATES := python3 python3.13 python3.12 python3.11 python
BENCH ?= peers
PYTHON ?= $(firstword $(foreach name,$(CANDIDATES),$(shell \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(name))))
BIN := .venv/bin
INSTALLED := .venv/installed

help:
	@echo "make demo    simulate, import, commit, refine, verify; ends with demo/report.html"
	@echo "make test    run the tests"
	@echo "make mutants change numerical code, one operator at a time: do its tests notice? (hours)"
	@echo "make lint    check style and types"
	@echo "make format  put the code in the project's style"
	@echo "make bench   measure speed, memory and quality beside other programs"
	@echo "make docs    write the generated pages of docs/ anew"
	@echo "make clean   remove .venv, demo/ and caches"

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { \
		echo "mpop needs Python 3.11 or newer, and none of '$(CANDIDATES)' is; install one, or name it:" \
			"make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear .venv || { \
		echo "$(PYTHON) cannot make a virtual environment (on Debian: apt install python3-venv)" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

demo: $(INSTALLED)
	rm -rf demo
	$(BIN)/mpop demo demo

test: $(INSTALLED)
	$(BIN)/pytest --numprocesses 2 --dist loadfile

mutants: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,mutation]'
	$(BIN)/python scripts/mutants.py $(MODULE)

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

format: $(INSTALLED)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks $(BENCH)

docs: $(INSTALLED)
	$(BIN)/python scripts/cli_reference.py

clean:
	rm -rf .venv demo dist .pytest_cache .ruff_cache .hypothesis
	find mpop store hooks tests benchmarks scripts -name __pycache__ -prune -exec rm -rf {} +
