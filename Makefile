# Every recipe that people and CI run; `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
PORT ?= 8080
VIDEO ?=
SECONDS_MAX ?= 0

BENCH ?= virtual

.PHONY: cards hil hil-smoke hil-mutations help demo test bench lint generate lock packages clean

help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# The lock pins versions and hashes; which index they come from is the machine's own choice.
$(VENV)/.demo: uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(RUN)/python || $(PYTHON) -m venv $(VENV) || { echo "On Debian: apt install python3-venv" >&2; exit 1; }
	@$(RUN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'
	@$(RUN)/uv export --quiet --frozen --no-dev --extra demo --no-emit-project --format requirements-txt > $(VENV)/demo.txt
	$(RUN)/uv pip install --quiet --python $(RUN)/python --require-hashes -r $(VENV)/demo.txt
	$(RUN)/uv pip install --quiet --python $(RUN)/python --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	@$(RUN)/uv export --quiet --frozen --extra demo --extra board --group dev --no-emit-project --format requirements-txt > $(VENV)/dev.txt
	$(RUN)/uv pip install --quiet --python $(RUN)/python --require-hashes -r $(VENV)/dev.txt
	@touch $@

demo: $(VENV)/.demo ## Three nodes, a broker, a hub and the page on http://127.0.0.1:8080/ (VIDEO=clip PORT=n)
	@$(RUN)/simpul demo --port $(PORT) --seconds $(SECONDS_MAX) $(if $(VIDEO),--video "$(VIDEO)")

packages: ## Install the Debian packages that the tests start for real (needs root or sudo)
	@tools/packages

test: packages $(VENV)/.dev lint ## Everything: packages, linters, every test, cards that boot
	tools/test $(RUN)

cards: packages $(VENV)/.dev ## Build both card images and boot them: to the birth, and the bench's short part
	tools/cards $(RUN)

lint: $(VENV)/.dev ## Style, types, generated reference
	$(RUN)/ruff format --check .
	$(RUN)/ruff check .
	$(RUN)/mypy
	$(RUN)/python -m provisioning.reference --check docs/reference
	@if command -v shellcheck > /dev/null; then shellcheck .ci/run tools/packages tools/test tools/cards; else echo "shellcheck is not installed; skipped"; fi

bench: $(VENV)/.dev ## Speed, memory and the long failure tests; prints figures and ratios
	$(RUN)/pytest -m 'bench or long' --timeout 3600 -s tests

hil: $(VENV)/.dev ## The whole suite on a bench (BENCH=virtual, or a board's name)
	$(RUN)/pytest hil_tests --bench $(BENCH) --timeout 3600

hil-smoke: $(VENV)/.dev ## The short part of the suite on a bench
	$(RUN)/pytest hil_tests --bench $(BENCH) --timeout 3600 -m smoke

hil-mutations: $(VENV)/.dev ## Break the node on purpose: what the suite is for must be caught
	$(RUN)/pytest hil_tests --bench $(BENCH) --timeout 3600 -m mutation

generate: $(VENV)/.dev ## Write docs/reference anew from the models
	$(RUN)/python -m provisioning.reference docs/reference

lock: ## Resolve the dependencies anew; the lock names no index
	$(RUN)/uv lock --upgrade
	@sed -i -E 's#registry = "[^"]*"#registry = "https://index.invalid/simple"#; s#url = "https?://[^/"]*/#url = "https://index.invalid/#' uv.lock

clean: ## Remove what was installed and cached
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .cache
