# Everything a newcomer needs; each target first installs the locked packages into .venv (once).
SHELL  := /bin/bash
VENV   ?= .venv
BIN    := $(CURDIR)/$(VENV)/bin
READY  := $(VENV)/.ready
# an environment's scripts name the folder that it was made in; that of a moved or copied project is corrected
MADE_IN := $(shell sed -n '1,2s|^[^/]*\(/.*\)/bin/python.*|\1|p' $(VENV)/bin/pip 2>/dev/null | tail -1)
MOVED  := $(if $(MADE_IN),$(shell [ "$(MADE_IN)" -ef $(VENV) ] || echo moved))
# the first of these found on PATH and new enough makes the environment; or say which: make PYTHON=/path/to/python test
PYTHONS := python3.11 python3.12 python3.13 python3.14 python3 python

# dvc starts its stages with whatever `python` comes first, so no activation is needed
export PATH := $(BIN):$(PATH)
# the code of this folder, also where the environment is shared with another checkout
export PYTHONPATH := $(CURDIR)/src$(if $(PYTHONPATH),:$(PYTHONPATH))
# an empty value is as good as none for MLflow, hence the test for it
ifeq ($(strip $(MLFLOW_TRACKING_URI)),)
export MLFLOW_TRACKING_URI := sqlite:///$(CURDIR)/mlflow.db
endif
# nothing here reports to anybody (Prefect's settings: prefect.toml)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := 1
# tiktoken caches local vocabularies by path, and would answer with an old one
export TIKTOKEN_CACHE_DIR :=

.DEFAULT_GOAL := help
.PHONY: help repro study transfer status repro-book back mend test lint ui schedule serve-spam docs clean lock plots-template

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

repro: $(READY) .git/HEAD  ## run the whole main pipeline: whatever is not up to date, nothing else
	@python -m pipelines.mend
	dvc repro
	@echo; echo "Results: reports/report.html (a page) and reports/metrics/ (JSON; headline figures: dvc metrics show)"
	@echo "Models: data/models/   Charts: dvc plots show   Runs: make ui"
	@python -m pipelines.way_back to-commit

study: $(READY) .git/HEAD  ## run the study, and before it what it needs of the main pipeline
	@python -m pipelines.mend
	dvc repro pipelines/study/dvc.yaml
	@echo; echo "Results: reports/study/ (pages, plots/, metrics/; headline figures: dvc metrics show)"
	@echo "Models: data/study/   Values: pipelines/study/params.yaml   Runs: make ui"
	@python -m pipelines.way_back to-commit

transfer: $(READY) .git/HEAD  ## finetune a published model on the same tasks, and compare the starting points
	@python -m pipelines.mend
	dvc repro pipelines/transfer/dvc.yaml
	@echo; echo "Results: reports/transfer/ (index.html, plots/, metrics/; headline figures: dvc metrics show)"
	@echo "Models: data/transfer/   Values: pipelines/transfer/params.yaml   Runs: make ui"
	@python -m pipelines.way_back to-commit

status: $(READY) .git/HEAD  ## show what changed since the last run; the study and transfer only if they ran here
	@dvc status dvc.yaml $(foreach name,study transfer,$(if $(wildcard data/$(name)/*/*),pipelines/$(name)/dvc.yaml))

repro-book: $(READY) .git/HEAD identity  ## the book's recipe, as the DVC experiment "book" (overwrites params.yaml and the outputs)
	$(run-profile)

back: $(READY) .git/HEAD  ## bring back values, metrics, data and models as they were before the last make repro-<profile>
	@python -m pipelines.way_back back

mend: $(READY) .git/HEAD  ## put right what a killed run left behind (make repro, study and transfer begin with it)
	@python -m pipelines.mend

# of repro-<profile>
define run-profile
@python -m pipelines.way_back keep $(@:repro-%=%)
@dvc exp remove --quiet $(@:repro-%=%) 2>/dev/null || true
@# "section.key=value" a line, # comments -> -S 'section.key=value'; -f: [] in a value is no pattern; the user's come last
set -f; eval set -- $$(sed -e 's/[[:space:]]*#.*//' -e '/^[[:space:]]*$$/d' -e "s/.*/-S '&'/" pipelines/profiles/$(@:repro-%=%).txt); dvc exp run --name $(@:repro-%=%) "$$@" $(ARGS)
@echo; echo "Results: reports/report.html and reports/metrics/"
@echo "Back to what was here before, committed or not: make back"
endef

test: $(READY)  ## run all tests, the end-to-end run included (fewer: make test ARGS="-m 'not slow'")
	python -m pytest $(ARGS)

lint: $(READY)  ## check style, types, who may import whom, and that the generated pages are current
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	@python -m pipelines.docs --check

docs: $(READY)  ## write what is generated: pages, blocks of pages, schemas, the code dependencies in dvc.yaml
	@python -m pipelines.docs

ui: $(READY)  ## browse the runs in MLflow (http://127.0.0.1:5000; another port: make ui PORT=5001)
	@$(follow-move)
	mlflow ui --workers 1 --port $(or $(PORT),5000)

schedule: $(READY) .git/HEAD  ## serve the retraining flow on its schedule until Ctrl-C
	python -m pipelines.retrain serve

serve-spam: $(READY)  ## answer classification requests over HTTP with the registered spam model (port 5055)
	@$(follow-move)
	mlflow models serve -m models:/groundup-spam@champion --env-manager local --port $(or $(PORT),5055)

# MLflow records absolute paths
follow-move := python -c 'from groundup.tracking import relocation; relocation.main()'

clean:  ## remove the environment and the tools' caches; data, models, reports and recorded runs stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dvc_plots build src/*.egg-info
	find src pipelines tests -name __pycache__ -type d -prune -exec rm -rf {} +

lock: $(READY)  ## write requirements.lock anew from pyproject.toml (newest versions: make lock ARGS=--upgrade)
	pip-compile --quiet --extra dev --allow-unsafe --strip-extras --no-annotate --no-header --no-emit-options \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host $(ARGS) --output-file requirements.lock pyproject.toml
	@# builds such as torch's "+cpu" are a matter of the machine, not of the lock; pip-compile's remark is noise
	@sed -i.bak -e 's/+cpu$$//' -e '/^#/d' -e '/^$$/d' requirements.lock && rm requirements.lock.bak

plots-template: $(READY)  ## rebuild .dvc/plots/offline.html, which lets `dvc plots show` draw without network
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
    if first.startswith(f"#!{old}/"):  # the form that pip gives to long paths, and to those with blanks
        text = f"#!/bin/sh\n{chr(39) * 3}exec' \"{first[2:]}\" \"$$0\" \"$$@\"\n' {chr(39) * 3}\n{rest}"
    script.write_text(re.sub(re.escape(old) + r"""(?=[/"'\s])""", lambda _: new, text), encoding="utf-8")
endef
export CORRECT_SCRIPTS

$(READY): requirements.lock pyproject.toml $(MOVED)
	@python=; for candidate in $(or $(PYTHON),$(PYTHONS)); do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python="$$candidate"; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "No Python of 3.11 or newer among: $(or $(PYTHON),$(PYTHONS)); install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
	"$(BIN)/python" -m pip --version >/dev/null 2>&1 || { echo "Making $(VENV) with $$("$$python" --version)"; "$$python" -m venv $(VENV); }
	@if [ -n "$(MOVED)" ]; then \
	  echo "$(VENV) was made in $(MADE_IN): correcting its scripts and its path to the source"; \
	  rm -f $@; "$(BIN)/python" -c "$$CORRECT_SCRIPTS" "$(MADE_IN)" $(VENV); fi
	@echo "Installing the locked packages into $(VENV) (a few minutes the first time)"
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: moved identity
moved:

# DVC commits experiments
identity:
	@for role in AUTHOR COMMITTER; do for part in name email; do \
	  variable=GIT_$${role}_$$(echo $$part | tr a-z A-Z); \
	  if [ -z "$${!variable:-$$(git config user.$$part)}" ]; then \
	    echo "DVC commits every experiment, and git does not know in whose name; say it and try again:" >&2; \
	    echo '  git config --global user.name "Your Name"' >&2; \
	    echo '  git config --global user.email you@example.com' >&2; exit 1; fi; done; done

# DVC works beside git: a source archive needs a repository around it
.git/HEAD:
	@git rev-parse --git-dir >/dev/null 2>&1 || { \
	  echo "This folder is no git repository, which DVC needs; make it one and try again: git init && git add . && git commit -m start" >&2; exit 1; }
