# `make` lists the targets. The environment lies in .venv and follows pyproject.toml and constraints.txt.

PYTHON ?= python3
# A notice on the future of mkdocs-material, no warning about these pages.
export NO_MKDOCS_2_WARNING := 1

BIN := .venv/bin
RUNTIME := .venv/.runtime
RAY := .venv/.ray
SERVER := .venv/.server
DEVELOPMENT := .venv/.development
BENCHMARKS := .venv/.benchmarks
LABEL_STUDIO := .venv-label-studio/bin/label-studio
TOOLS := cleanlab cvat cvat_reader datumaro fiftyone
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-page test test-label-studio test-integrations test-ray soak check docs bench clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(DEVELOPMENT) ## create .venv with everything for work on segcode

demo: $(RUNTIME) ## refine a few drawn streets; pictures go to demo/
	@$(BIN)/segcode demo -o demo

demo-page: $(SERVER) ## paint on drawn streets in the browser; Ctrl-C ends it
	@$(BIN)/segcode data draw -o demo/page -n 12 --split test --height 360 --width 480
	@$(BIN)/segcode annotate demo/page/images/test --model streets -o demo/page/annotations

test: $(DEVELOPMENT) ## run the tests in random order; under 90 % line coverage they fail
	@$(BIN)/pytest --cov

test-label-studio: $(DEVELOPMENT) $(LABEL_STUDIO) ## test beside a real Label Studio; installing it takes minutes
	@LABEL_STUDIO=$(abspath $(LABEL_STUDIO)) $(BIN)/python -m pytest tests/integrations/real_label_studio.py

test-integrations: test-label-studio $(TOOLS:%=.venv-%/.installed) ## the same in real CVAT, datumaro, FiftyOne and cleanlab
	@for tool in $(TOOLS); do echo "$$tool" && .venv-$$tool/bin/python -m pytest tests/integrations/real_$$tool.py || exit; done

test-ray: $(RAY) ## the tests of `segcode batch`; installs Ray, 500 MB
	@$(BIN)/pytest tests/cli/test_batch_command.py

soak: $(DEVELOPMENT) ## kill and compare for 20 minutes; MINUTES=1 is a try
	@$(BIN)/python tests/soak/soak.py --minutes $(or $(MINUTES),20)

check: $(DEVELOPMENT) ## style, types, import rules and documentation
	@echo "ruff: style" && $(BIN)/ruff check --quiet .
	@echo "ruff: layout" && $(BIN)/ruff format --check --quiet .
	@echo "mypy: types" && $(BIN)/mypy --no-error-summary
	@echo "import-linter: who imports whom" && $(BIN)/lint-imports --no-logo
	@echo "mkdocs: documentation" && $(BIN)/mkdocs build --strict

docs: $(DEVELOPMENT) ## build the documentation into site/
	@$(BIN)/mkdocs build --strict
	@echo "open site/index.html"

bench: $(BENCHMARKS) ## time what a user waits for beside its limits, and the page
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/bench.py
	@$(BIN)/pytest benchmarks/test_browser.py -p no:randomly -q -s

clean: ## remove what the other targets made, except .venv
	rm -rf demo soak site build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache

# A stamp for each set of packages: refining needs neither a server nor the tools.
$(RUNTIME): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing segcode into .venv; torch alone is some 200 MB"
	@$(PIP) --editable .
	@touch $@

$(SERVER): $(RUNTIME)
	@echo "installing the server of the page"
	@$(PIP) --editable '.[serve]'
	@touch $@

$(DEVELOPMENT): $(RUNTIME)
	@echo "installing the tools of tests, checks and documentation"
	@$(PIP) --editable '.[dev,docs]'
	@touch $@

$(RAY): $(DEVELOPMENT)
	@echo "installing Ray"
	@$(PIP) --editable '.[ray]'
	@touch $@

$(BENCHMARKS): $(RUNTIME)
	@echo "installing the tools of benchmarks"
	@$(PIP) --editable '.[bench]'
	@touch $@

# In an environment of its own: it pins NumPy and some hundred others.
$(LABEL_STUDIO):
	@echo "installing Label Studio into .venv-label-studio"
	@$(PYTHON) -m venv .venv-label-studio
	@.venv-label-studio/bin/pip install --quiet --quiet --disable-pip-version-check 'label-studio==1.23.*'

# Likewise, but segcode runs in these: what a tool does not ask for otherwise is taken from .venv, such as torch.
.venv-cleanlab/.installed: PACKAGE := cleanlab==2.9.*
.venv-cvat/.installed: PACKAGE := cvat-cli==2.80.*
.venv-cvat_reader/.installed: PACKAGE := datumaro==0.3.*
.venv-datumaro/.installed: PACKAGE := datumaro==1.13.*
.venv-fiftyone/.installed: PACKAGE := fiftyone==1.22.*
$(TOOLS:%=.venv-%/.installed): .venv-%/.installed: $(DEVELOPMENT)
	@echo "installing $(PACKAGE) into .venv-$*"
	@$(BIN)/python -m venv --clear .venv-$*
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		> $$(.venv-$*/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/over.pth
	@.venv-$*/bin/pip install --quiet --quiet --disable-pip-version-check '$(PACKAGE)'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; sys.exit(None if sys.version_info >= (3, 11) else \
		"segcode needs Python 3.11 or newer and $(PYTHON) is " + v + ": name another, as in make PYTHON=python3.12")'
	@echo "creating .venv"
	@$(PYTHON) -m venv .venv
