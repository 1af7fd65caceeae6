# Feira on this machine. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
# The first of these that runs and is 3.11 to 3.13; `make install PYTHON=/path/to/python` names another.
PYTHONS := python3.11 python3.12 python3.13 python3 python
# Changes whenever what must be installed does.
STAMP := $(VENV)/.installed-$(shell cat requirements.lock pyproject.toml shared/pyproject.toml airflow/provider/pyproject.toml airflow/wiring/pyproject.toml infra/redshift-local/pyproject.toml | cksum | tr ' ' '-')

# Where the home folder cannot be written, the caches of pip, uv and others are in the clone.
ifneq ($(shell [ -d "$${HOME:-}" ] && [ -w "$$HOME" ] && echo yes),yes)
export XDG_CACHE_HOME ?= $(CURDIR)/.cache
endif

.PHONY: help
help:  ## List the targets
	@grep -hE '^[a-z][a-z0-9-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: install
install: path-check java-check libgomp-check $(STAMP)  ## Make .venv from the lock, install the project, fetch the jars
	@$(VENV)/bin/feira jars fetch

.PHONY: path-check
path-check:
	@case "$$PWD" in *:*|*'$$'*|*%*|*' ;'*|*' #'*) \
	  echo "The clone is in $$PWD; the stack's programs cannot read a path with a colon, a dollar" >&2; \
	  echo "or percent sign, or a space before ; or #. Move it to one without." >&2; \
	  exit 1;; \
	esac; \
	if ! id -un >/dev/null 2>&1; then \
	  echo "The user $$(id -u) has no name here (no line in /etc/passwd), and PostgreSQL and Spark ask for it." >&2; \
	  echo "Run make as a user that has one." >&2; \
	  exit 1; \
	fi; \
	if [ ! -w . ]; then \
	  echo "$$PWD is not this user's to write ($$(id -un 2>/dev/null || id -u)), and .venv, .cache and .feira are made in it." >&2; \
	  echo "Clone into a folder that this user can write, or have the owner run: chown -R $$(id -u) '$$PWD'" >&2; \
	  exit 1; \
	fi

.PHONY: java-check
java-check:
	@java="$${JAVA_HOME:+$$JAVA_HOME/bin/}java"; \
	version=$$("$$java" -version 2>&1 | sed -nE 's/.*version "([0-9]+).*/\1/p' | head -1 || true); \
	if [ -z "$$version" ] || [ "$$version" -lt 17 ] || [ "$$version" -gt 23 ]; then \
	  echo "Java 17 to 23 is needed (Spark 4.1 does not run on a later one), found $${version:-none} ($$java)." >&2; \
	  echo "Install it: sudo apt-get install openjdk-17-jre-headless   (Debian, Ubuntu)" >&2; \
	  echo "            sudo dnf install java-17-openjdk-headless      (Fedora)" >&2; \
	  echo "            brew install openjdk@17                        (macOS)" >&2; \
	  echo "and set JAVA_HOME to it where another is the first on PATH." >&2; \
	  exit 1; \
	fi

# It warns alone: `feira up --without valkey` needs none. Python, since the loader asks more folders than one.
.PHONY: libgomp-check
libgomp-check:
	@for python in $(or $(PYTHON),$(PYTHONS)); do \
	  "$$python" -c "" 2>/dev/null || continue; \
	  "$$python" -c 'import ctypes, sys; sys.platform == "linux" and ctypes.CDLL("libgomp.so.1")' 2>/dev/null || { \
	    echo "The system's library libgomp.so.1 is missing; the packages implicit and lightgbm need it, which make" >&2; \
	    echo "the lists of recommendations, and make up will not start the stack without it." >&2; \
	    echo "Install it: sudo apt-get install libgomp1   (Debian, Ubuntu)" >&2; \
	    echo "            sudo dnf install libgomp        (Fedora)" >&2; \
	    echo "or start the stack without recommendations: feira up --without valkey" >&2; }; \
	  break; \
	done

$(STAMP):
	@python=""; \
	for candidate in $(or $(PYTHON),$(PYTHONS)); do \
	  if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
	    python=$$candidate; break; \
	  fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Python 3.11, 3.12 or 3.13 is needed; none of '$(or $(PYTHON),$(PYTHONS))' is one." >&2; \
	  echo "Install it: sudo apt-get install python3 python3-venv   (Debian 12, Ubuntu 24.04)" >&2; \
	  echo "            sudo dnf install python3.12                 (Fedora)" >&2; \
	  echo "            brew install python@3.12                    (macOS)" >&2; \
	  echo "or name one: make install PYTHON=/path/to/python3.12" >&2; \
	  exit 1; \
	fi; \
	if ! $(VENV)/bin/python -m pip --version >/dev/null 2>&1; then \
	  echo "Making $(VENV) with $$("$$python" --version)"; \
	  "$$python" -m venv $(VENV) || { \
	    echo "The module venv is missing: sudo apt-get install python3-venv" >&2; exit 1; }; \
	fi
	@# uv's own block of the lock, so that it comes with its hashes too.
	@awk '/^uv==/{take=1; print; next} take && /^[^ ]/{exit} take && /--hash/' requirements.lock > $(VENV)/uv.lock
	@$(VENV)/bin/python -m pip install --quiet --require-hashes -r $(VENV)/uv.lock
	@$(VENV)/bin/uv pip install --python $(VENV)/bin/python --no-deps --require-hashes --compile-bytecode -r requirements.lock
	@$(VENV)/bin/uv pip install --python $(VENV)/bin/python --quiet --no-deps --no-build-isolation -e . -e ./shared -e ./airflow/provider -e ./airflow/wiring -e ./infra/redshift-local
	@rm -f $(VENV)/.installed-*
	@touch $@

.PHONY: lock
lock: $(STAMP)  ## Resolve the dependencies anew into requirements.lock
	$(VENV)/bin/uv pip compile --universal --python-version 3.11 --extra dev --generate-hashes --no-header \
	  $(addprefix --no-emit-package ,feira-core airflow-provider-feira airflow-asset-wiring) -o requirements.lock pyproject.toml

.PHONY: up
up: install  ## Start the local stack and wait until it is healthy
	@$(VENV)/bin/feira up

.PHONY: down
down: $(STAMP)  ## Stop every stack of this checkout; the data stays
	@for home in .feira*; do [ ! -f "$$home/secrets.env" ] || FEIRA_HOME="$$PWD/$$home" $(VENV)/bin/feira down; done

.PHONY: clean
clean:  ## Stop the stack; remove its data, the jars and .venv
	@if [ -x $(VENV)/bin/feira ]; then \
	  for home in .feira*; do \
	    [ ! -f "$$home/secrets.env" ] || FEIRA_HOME="$$PWD/$$home" $(VENV)/bin/feira clean --yes; \
	  done; \
	fi
	@# Relative names, matched by the shell: make splits the clone's own path at its spaces.
	rm -rf -- $(VENV) .cache .feira*

# DATA is a folder of Online Retail days to replay; its lake is kept apart from the generated one's.
export DATA ?=
DAYS ?= 2010-12-01
# $(shell) does not see what make exports, so DATA is quoted here: inside '…' only a ' ends the word.
export FEIRA_HOME ?= $(CURDIR)/.feira$(if $(DATA),-$(shell basename -- '$(subst ','\'',$(DATA))'))

.PHONY: demo
demo: install  ## Start the stack and run days to the marts: DAYS=2010-12-01..2010-12-07 DATA=folder
	@$(VENV)/bin/feira demo --days "$(DAYS)" $(if $(DATA),--data "$$DATA")

PROGRAMS := tests/e2e/verify.py tests/e2e/faults.py tests/e2e/soak.py $(wildcard tests/bench/*.py)
.PHONY: lint
lint: style types  ## Formatting, lint, import rules, types

.PHONY: style
style: install
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/lint-imports --verbose > /dev/null || $(VENV)/bin/lint-imports

.PHONY: types
types: install
	@# The programs are those that no test runs.
	@MYPYPATH=tests:tests/e2e:tests/bench $(VENV)/bin/mypy shared/src spark/src airflow/src airflow/provider/src \
	  airflow/wiring/src infra/redshift-local/src tilt/src $(PROGRAMS)

# On two cores three: a test of servers waits, and one of Spark is a thread of Python or of Java at a time.
WORKERS ?= 3
.PHONY: test
test: style  ## Lint, then the tests, three files side by side (WORKERS=3): loopback only, no stack
	@# On a clean checkout mypy takes most of a minute, of one core.
	@$(MAKE) --no-print-directory --jobs=2 types unmarked

.PHONY: unmarked
unmarked: install
	@# In the order of tests/conftest.py: sorted by number, what takes longest would begin last.
	@# Where the shell forbids it, each of the workers would rewrite the asserts of all files in every run.
	@PYTHONDONTWRITEBYTECODE= $(VENV)/bin/pytest -m "not slow and not terraform" --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder

.PHONY: test-slow
test-slow: install  ## What takes long and rarely changes: DAGs whole, a cluster, Redshift's side, the pages of docs that are run
	@$(VENV)/bin/pytest -m slow --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder

TERRAFORM_TOOLS := $(CURDIR)/.cache/terraform-tools
.PHONY: test-terraform
test-terraform: install  ## infra/terraform: mocked, on moto and ministack, by checkov; needs terraform and its AWS provider
	@# Each pins a boto3 of its own, and neither Feira's.
	@for tool in checkov==3.3.30 ministack==1.5.33; do \
	  [ -x "$(TERRAFORM_TOOLS)/bin/$${tool%%=*}" ] || UV_TOOL_DIR="$(TERRAFORM_TOOLS)" UV_TOOL_BIN_DIR="$(TERRAFORM_TOOLS)/bin" \
	    $(VENV)/bin/uv tool install --quiet --python $(VENV)/bin/python "$$tool"; \
	done
	@PATH="$(TERRAFORM_TOOLS)/bin:$$PATH" $(VENV)/bin/pytest -m terraform --no-skips tests/infra/terraform

# What the warehouse is: postgres, or redshift, for which redshift-local stands.
WAREHOUSE ?= $(FEIRA_WAREHOUSE_ON)
# on: Spark's work is done by DataFusion Comet where it can.
COMET ?= $(FEIRA_COMET)

.PHONY: verify
verify: install  ## A stack of its own through the matrix of states, against an independent computation (WAREHOUSE=redshift COMET=on)
	@FEIRA_HOME= FEIRA_WAREHOUSE_ON="$(WAREHOUSE)" FEIRA_COMET="$(COMET)" $(VENV)/bin/python tests/e2e/verify.py $(if $(DATA),--data "$$DATA")

.PHONY: chain
chain: install  ## Of these states those that every change must pass: in about half the time
	@FEIRA_HOME= $(VENV)/bin/python tests/e2e/verify.py --every-change

ONLY ?=
.PHONY: faults
faults: install  ## A stack of its own broken in every way that the failure table names (ONLY=regex)
	@FEIRA_HOME= $(VENV)/bin/python tests/e2e/faults.py --only "$(ONLY)"

N ?= 100
SEED ?= 1
.PHONY: soak
soak: install  ## N random kills (SEED=1) while days run, on a stack of its own; then all must be equal
	@FEIRA_HOME= $(VENV)/bin/python tests/e2e/soak.py --kills $(N) --seed $(SEED)

.PHONY: dashboards
dashboards: install  ## Write infra/monitoring/dashboards anew from feira_local.monitoring.dashboards
	@$(VENV)/bin/python -m feira_local.monitoring.dashboards

.PHONY: compose
compose: install  ## Write infra/images/compose.yaml anew from the services of the stack
	@$(VENV)/bin/python -m feira_local.stack.compose

.PHONY: argocd-definitions
argocd-definitions: install  ## Write infra/argocd/crds anew from ArgoCD's Go module (needs Go and its proxy)
	@$(VENV)/bin/python infra/argocd/crds/derive.py

CHART ?=
.PHONY: airflow-chart
airflow-chart: install  ## Fetch Airflow's official chart, render it with our values, check what it makes (CHART=folder or .tgz)
	@PYTHONPATH=tests:tests/infra/charts $(VENV)/bin/python tests/infra/charts/airflow_chart.py $(CHART)

TARGETS ?= airflow stack spark serving
.PHONY: test-images
test-images: install  ## Build the images with buildah and run each (BASE=image TARGETS="spark serving")
	@bash tests/infra/images/build_images.sh $(TARGETS)

# Built once for each go.sum; Go's own cache has the rest.
KUBERNETES = .cache/kubernetes-$(shell cat tests/infra/kubernetes/go.sum 2>/dev/null | cksum | cut -d' ' -f1)
.PHONY: test-k8s
test-k8s: install $(KUBERNETES)  ## A real API server, built from Go modules, takes every object and refuses faults (half an hour once, then minutes)
	@FEIRA_KUBERNETES=$(KUBERNETES) PYTHONPATH=tests:tests/infra/charts:tests/infra/kubernetes \
	  $(VENV)/bin/pytest --no-skips tests/infra/kubernetes/real_api_server.py

$(KUBERNETES):
	@command -v go > /dev/null || { \
	  echo "Go 1.24 or newer is needed and none is on PATH; nothing was tested. Install it: https://go.dev/doc/install" >&2; \
	  exit 1; }
	@cd tests/infra/kubernetes && \
	  go build -trimpath -ldflags '-s -w' -o "$(CURDIR)/$@.new/etcd" go.etcd.io/etcd/server/v3 && \
	  go build -trimpath -ldflags '-s -w' -o "$(CURDIR)/$@.new/kube-apiserver" k8s.io/kubernetes/cmd/kube-apiserver
	@mv $@.new $@

MINUTES ?= 55
.PHONY: mutants
mutants: install  ## Faults planted in the core, one at a time: which no test notices (MINUTES=55 ONLY=regex AGAIN=1)
	@PYTHONPATH=tests $(VENV)/bin/python tests/mutants/mutants.py --minutes $(MINUTES) --only "$(ONLY)" $(if $(AGAIN),--again)

.PHONY: bench
bench: install  ## All figures: days of 1 M and 5 M lines beside DuckDB and Polars, then the stack
	@PYTHONPATH=tests $(VENV)/bin/python tests/bench/bench_day.py --lines 1000000 --rounds 3
	@PYTHONPATH=tests $(VENV)/bin/python tests/bench/bench_day.py --lines 5000000 --rounds 1
	@$(MAKE) --no-print-directory bench-stack

.PHONY: bench-comet
bench-comet: install  ## The same days by Spark alone, with DataFusion Comet, and by DuckDB: CPU of each step, and whether all agree
	@FEIRA_COMET=on $(VENV)/bin/feira jars fetch
	@PYTHONPATH=tests $(VENV)/bin/python tests/bench/bench_day.py --engines spark,comet,duckdb --lines 1000000 --rounds 3
	@PYTHONPATH=tests $(VENV)/bin/python tests/bench/bench_day.py --engines spark,comet,duckdb --lines 5000000 --rounds 1
	@$(VENV)/bin/python tests/bench/figures_page.py

.PHONY: bench-small
bench-small: install  ## Small days: what Spark needs, planned for few rows and for many, and the whole chain on a warm stack
	@FEIRA_HOME= PYTHONPATH=tests $(VENV)/bin/python tests/bench/bench_small.py
	@FEIRA_HOME= $(VENV)/bin/python tests/bench/bench_stack.py --small
	@$(VENV)/bin/python tests/bench/figures_page.py

GROWN ?= 200
.PHONY: bench-growth
bench-growth: install  ## What a day costs lake and warehouse as history grows to 200 days (GROWN=40: a look, whose aims are not judged)
	@FEIRA_HOME= PYTHONPATH=tests $(VENV)/bin/python tests/bench/bench_growth.py --days $(GROWN)
	@$(VENV)/bin/python tests/bench/figures_page.py

SCALE ?= 1
.PHONY: bench-recommendations
bench-recommendations: install  ## What recommendations cost, from 10 M events to an answer of the API (SCALE=0.01: a look)
	@FEIRA_HOME= PYTHONPATH=tests $(VENV)/bin/python tests/bench/bench_recommendations.py --scale $(SCALE)
	@$(VENV)/bin/python tests/bench/figures_page.py

.PHONY: bench-monitoring
bench-monitoring: install  ## What it costs a stack to be watched, against one that is not
	@FEIRA_HOME= $(VENV)/bin/python tests/bench/bench_monitoring.py
	@$(VENV)/bin/python tests/bench/figures_page.py

.PHONY: bench-stack
bench-stack: install  ## Of these, the stack alone: overhead of a chain, event to task, start
	@FEIRA_HOME= $(VENV)/bin/python tests/bench/bench_stack.py
	@$(VENV)/bin/python tests/bench/figures_page.py
