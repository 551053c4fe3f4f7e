# The project's commands. Each target first installs the locked packages into .venv, once.
SHELL  := /bin/bash
VENV   ?= .venv
BIN    := $(CURDIR)/$(VENV)/bin
READY  := $(VENV)/.ready
PIP    := "$(BIN)/python" -m pip install --quiet --disable-pip-version-check
# the scripts of an environment contain the path of its folder; it is corrected if the project was moved or copied
MADE_IN := $(shell sed -n '1,2s|^[^/]*\(/.*\)/bin/python.*|\1|p' $(VENV)/bin/pip 2>/dev/null | tail -1)
MOVED  := $(if $(MADE_IN),$(shell [ "$(MADE_IN)" -ef $(VENV) ] || echo moved))
# the index of another build of torch, such as https://download.pytorch.org/whl/cpu; nothing else is taken from it
TORCH_INDEX ?=
# the environment is made with the first of these on PATH that is new enough, or with another one: make PYTHON=/path/to/python test
PYTHONS := python3.11 python3.12 python3.13 python3.14 python3 python

# dvc starts its stages with the first `python` on PATH, so the environment need not be activated
export PATH := $(BIN):$(PATH)
# use the code of this folder, even if the environment is shared with another checkout
export PYTHONPATH := $(CURDIR)/src$(if $(PYTHONPATH),:$(PYTHONPATH))
# MLflow treats an empty value as unset
ifeq ($(strip $(MLFLOW_TRACKING_URI)),)
export MLFLOW_TRACKING_URI := sqlite:///$(CURDIR)/mlflow.db
endif
# switch off all telemetry (Prefect's setting is in prefect.toml)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := 1
# tiktoken caches local vocabularies by path, and would use an old one
export TIKTOKEN_CACHE_DIR :=

.DEFAULT_GOAL := help
.PHONY: help repro study transfer status repro-book repro-gpu repro-node repro-laptop back mend test bench bench-peers lint ui schedule serve serve-spam serve-chat serve-instructions docs clean lock plots-template

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

repro: $(READY) .git/HEAD  ## run the stages of the main pipeline that are not up to date
	@python -m pipelines.mend
	$(call repro-and-costs,main,dvc repro)
	@echo; echo "Results: reports/report.html (a page) and reports/metrics/ (JSON; headline metrics: dvc metrics show)"
	@echo "Models: data/models/   Charts: dvc plots show   Runs: make ui"
	@python -m pipelines.way_back to-commit

study: $(READY) .git/HEAD  ## run the study and the stages of the main pipeline that it depends on
	@python -m pipelines.mend
	$(call repro-and-costs,study,dvc repro pipelines/study/dvc.yaml)
	@echo; echo "Results: reports/study/ (pages, plots/, metrics/; headline metrics: dvc metrics show)"
	@echo "Models: data/study/   Values: pipelines/study/params.yaml   Runs: make ui"
	@python -m pipelines.way_back to-commit

transfer: $(READY) .git/HEAD  ## finetune a downloaded model on the same tasks, and compare it with our models
	@python -m pipelines.mend
	$(call repro-and-costs,transfer,dvc repro pipelines/transfer/dvc.yaml)
	@echo; echo "Results: reports/transfer/ (index.html, plots/, metrics/; headline metrics: dvc metrics show)"
	@echo "Models: data/transfer/   Values: pipelines/transfer/params.yaml   Runs: make ui"
	@python -m pipelines.way_back to-commit

status: $(READY) .git/HEAD  ## show what changed since the last run; study and transfer only if they ran here
	@python -m pipelines.status dvc.yaml $(foreach name,study transfer,$(if $(wildcard data/$(name)/*/*),pipelines/$(name)/dvc.yaml))

repro-book: $(READY) .git/HEAD identity  ## run with the book's settings, as the DVC experiment "book" (overwrites params.yaml and the outputs)
	$(run-profile)

repro-gpu: $(READY) .git/HEAD identity  ## pretrain a model of 135 million parameters on one GPU (needs a corpus: docs/scaling.md)
	$(run-profile)

repro-node: $(READY) .git/HEAD identity  ## pretrain a model of 477 million parameters on eight GPUs (needs a corpus: docs/scaling.md)
	$(run-profile)

repro-laptop: $(READY) .git/HEAD identity  ## run with the default values again, after another profile
	$(run-profile)

back: $(READY) .git/HEAD  ## restore values, metrics, data and models to their state before the last make repro-<profile>
	@python -m pipelines.way_back back

mend: $(READY) .git/HEAD  ## repair what a killed run left behind (make repro, study and transfer do this first)
	@python -m pipelines.mend

# run a pipeline, then show what it spent and what the cache saved, also if a stage has failed
repro-and-costs = @since=$$(date +%s); echo "$(2)"; $(2); code=$$?; \
	echo; python -m pipelines.spent $(1) --since $$since $$(test $$code = 0 || echo --stopped) || true; exit $$code

# the commands of repro-<profile>
define run-profile
@python -m pipelines.way_back keep $(@:repro-%=%)
@dvc exp remove --quiet $(@:repro-%=%) 2>/dev/null || true
@# each line "section.key=value" becomes -S 'section.key=value'; -f: [] is not a pattern; the values in ARGS come last and win
set -f; eval set -- $$(sed -e 's/[[:space:]]*#.*//' -e '/^[[:space:]]*$$/d' -e "s/.*/-S '&'/" pipelines/profiles/$(@:repro-%=%).txt); dvc exp run --name $(@:repro-%=%) "$$@" $(ARGS)
@echo; echo "Results: reports/report.html and reports/metrics/"
@echo "Back to what was here before, committed or not: make back"
endef

test: $(READY)  ## run all tests, including the end-to-end runs (without them: make test ARGS="-m 'not slow'")
	python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

bench: $(READY)  ## compare the speed with other programs (a part: make bench ARGS="training"; more: ARGS=--help)
	@python -m tests.benchmarks $(ARGS)

bench-peers: $(READY)  ## also install llama.cpp for make bench; it is compiled, which takes long
	uv pip install --quiet --python $(BIN)/python --constraint requirements.lock --no-build-isolation-package groundup --editable '.[bench]'

lint: $(READY)  ## check style, types and import contracts, and that the generated pages are current
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	@python -m pipelines.docs --check

docs: $(READY)  ## write what is generated: pages, blocks of pages, schemas, the code dependencies in dvc.yaml
	@python -m pipelines.docs

ui: $(READY)  ## browse the runs in MLflow (http://127.0.0.1:5000; another port: make ui PORT=5001)
	@python -m groundup.tracking.ui $(or $(PORT),5000)
	MLFLOW_BACKEND_STORE_URI="$$MLFLOW_TRACKING_URI" mlflow ui --workers 1 --port $(or $(PORT),5000)

schedule: $(READY) .git/HEAD  ## run the flows that have a schedule (retrain, monitor) until Ctrl-C
	python -m pipelines.operate serve

serve: $(READY)  ## serve the models in data/models with OpenAI's protocol (port 8000)
	groundup serve --port $(or $(PORT),8000)

serve-spam: $(READY)  ## serve the champion of the spam models, and follow promotions (port 5055)
	groundup serve models:/groundup-spam@champion --port $(or $(PORT),5055)

serve-chat: $(READY)  ## serve the champion of the instruction models, and follow promotions (port 5056)
	groundup serve models:/groundup-chat@champion --port $(or $(PORT),5056)

serve-instructions: serve-chat  ## the same as serve-chat

clean:  ## remove the environment and the tools' caches; keep data, models, reports and recorded runs
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dvc_plots build src/*.egg-info
	find src pipelines tests -name __pycache__ -type d -prune -exec rm -rf {} +

lock: $(READY)  ## update requirements.lock from pyproject.toml (newest versions: make lock ARGS=--upgrade)
	@# for all platforms and newer Pythons, with the hashes of all files; torch is apart, since its build depends on the machine
	uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --extra dev \
	  --no-emit-package torch --no-annotate --no-header $(ARGS) --output-file requirements.lock pyproject.toml

plots-template: $(READY)  ## rebuild .dvc/plots/offline.html, with which `dvc plots show` works offline
	python -m pip install --quiet vl-convert-python==1.9.0.post1
	@python -c 'import pathlib, vl_convert; \
	js = vl_convert.javascript_bundle(vl_version="5.21").replace("</script", "<\\/script"); \
	frame, page = (pathlib.Path(".dvc/plots", name) for name in ("frame.html", "offline.html")); \
	page.write_text(frame.read_text(encoding="utf-8").replace("{vega}", js), encoding="utf-8")'

define CORRECT_SCRIPTS
import pathlib, re, sys
old, new = sys.argv[1], str(pathlib.Path(sys.argv[2]).resolve())
for script in pathlib.Path(new, "bin").iterdir():
    data = script.read_bytes() if script.is_file() and not script.is_symlink() else b""
    if old.encode() not in data or b"\0" in data:
        continue
    text = data.decode()
    first, _, rest = text.partition("\n")
    if first.startswith(f"#!{old}/"):  # pip's form for long paths and for paths with spaces
        text = f"#!/bin/sh\n{chr(39) * 3}exec' \"{first[2:]}\" \"$$0\" \"$$@\"\n' {chr(39) * 3}\n{rest}"
    script.write_text(re.sub(re.escape(old) + r"""(?=[/"'\s])""", lambda _: new, text), encoding="utf-8")
endef
export CORRECT_SCRIPTS

$(READY): requirements.lock pyproject.toml $(MOVED)
	@python=; for candidate in $(or $(PYTHON),$(PYTHONS)); do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python="$$candidate"; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "found no Python 3.11 or newer among $(or $(PYTHON),$(PYTHONS)); install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
	"$(BIN)/python" -m pip --version >/dev/null 2>&1 || { echo "Making $(VENV) with $$("$$python" --version)"; "$$python" -m venv $(VENV); }
	@if [ -n "$(MOVED)" ]; then \
	  echo "$(VENV) was made in $(MADE_IN): correcting its scripts and its path to the source"; \
	  rm -f $@; "$(BIN)/python" -c "$$CORRECT_SCRIPTS" "$(MADE_IN)" $(VENV); fi
	@echo "Installing the locked packages into $(VENV) (a few minutes the first time)"
	@# uv installs them many times faster, but knows only pip's index of all its configuration: what it cannot install, pip does
	@sed -n '/^uv==/,/[^\]$$/p' requirements.lock >"$(VENV)/uv.txt"; \
	index=$${PIP_INDEX_URL:-$$("$(BIN)/python" -m pip config get global.index-url 2>/dev/null)}; \
	if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$index}"; fi; \
	if [ -z "$$PIP_NO_INDEX$$("$(BIN)/python" -m pip config get global.no-index 2>/dev/null)" ] && \
	  $(PIP) --no-deps --require-hashes --requirement "$(VENV)/uv.txt" && \
	  "$(BIN)/python" -m uv pip install --quiet --python "$(BIN)/python" --no-deps --require-hashes --requirement requirements.lock; \
	then :; else echo "Installing with pip instead of uv, which takes longer"; \
	  $(PIP) --no-deps --require-hashes --requirement requirements.lock; fi
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) \
	  $(shell sed -n 's/^ *"\(torch==[^"]*\)",.*/\1/p' pyproject.toml)
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: moved identity
moved:

# DVC commits experiments
identity:
	@for role in AUTHOR COMMITTER; do for part in name email; do \
	  variable=GIT_$${role}_$$(echo $$part | tr a-z A-Z); \
	  if [ -z "$${!variable:-$$(git config user.$$part)}" ]; then \
	    echo "DVC commits every experiment, but git does not know your name; set it and try again:" >&2; \
	    echo '  git config --global user.name "Your Name"' >&2; \
	    echo '  git config --global user.email you@example.com' >&2; exit 1; fi; done; done

# DVC needs a git repository, which a source archive does not have
.git/HEAD:
	@git rev-parse --git-dir >/dev/null 2>&1 || { \
	  echo "DVC needs a git repository, and this folder is not one; make it one and try again: git init && git add . && git commit -m start" >&2; exit 1; }
