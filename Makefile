# Needs Python, pip and make. Every target does its own set-up; a second call costs nothing.
#
#   make demo    JupyterLab on the quickstart with the embedded demo model (ARGS=--check: headless, prints the answer)
#   make test    everything: style, types, JavaScript, tests, notebooks
#   make soak    the kill, fault and size tests at their full numbers
#   make sdks    the SDKs of OpenAI, Anthropic, Google, Mistral, Ollama and LangChain against a server of ours
#   make docs    the documentation as pages in build/docs; a link that leads nowhere fails
#   make binder  builds what Binder builds from binder/ alone, and runs walkthroughs there in a browser (ARGS="01 05")
#   make bench   the figures of the README
#   make format  puts Python files into shape
#   make clean   removes what these targets made

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
STATIC := src/nbstream/view/static
# Stop while a cell blocks travels differently in each of these, so each is tested.
OTHER_KERNELS := .venv-ipykernel-7.3 .venv-ipykernel-6.31

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test soak sdks docs binder bench format clean venv kernels examples browser nginx redis lint js
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   \(make .*\)/\1/p' Makefile

demo: .venv/lab.stamp
	$(BIN)/nbstream demo $(ARGS)

# One pytest run, last, so that its closing lines tell the whole result. It runs the notebooks too, each as one test:
# nbval's own items are cells, and two processes would share the cells of one notebook.
test: venv kernels examples browser nginx redis lint js docs
	$(BIN)/pytest --numprocesses 2 --dist worksteal tests

soak: venv kernels browser nginx redis js
	NBSTREAM_SOAK=1 $(BIN)/pytest --numprocesses 2 -m "soak or browser" --timeout=7200 tests

sdks: .venv-sdks/sdks.stamp
	.venv-sdks/bin/pytest --numprocesses 2 tests/sdks

# Strict: warnings are errors. The same file is read by Zensical, should Material end (announced for May 2027).
docs: .venv-docs/docs.stamp
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet --strict

binder: venv browser
	$(BIN)/python binder/check.py $(ARGS)

bench: venv browser redis
	@set -e; for script in bench/[!_]*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

format: venv
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf .venv .venv-docs .venv-examples .venv-sdks $(OTHER_KERNELS) js/node_modules build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache

# --- set-up -----------------------------------------------------------------------------------------------------------

venv: .venv/test.stamp
kernels: $(OTHER_KERNELS:%=%/kernel.stamp)
examples: .venv-examples/examples.stamp

# Debian's Python has no ensurepip unless python3-venv is installed; the pip that is there can fill the environment too.
define make_venv
if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv $(@D); \
else $(PYTHON) -m venv --without-pip $(@D) && $(PYTHON) -m pip --python $(@D)/bin/python install --quiet pip; fi
endef

.venv/lab.stamp: pyproject.toml constraints.txt
	$(make_venv)
	$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt --editable '.[lab]'
	@touch $@

.venv/test.stamp: .venv/lab.stamp
	$(BIN)/python $(PIP_INSTALL) --constraint constraints.txt --editable '.[lab,test]'
	@touch $@

# A kernel to talk to, no more: the same versions, but ipykernel the one in the folder's name.
.venv-ipykernel-%/kernel.stamp: pyproject.toml constraints.txt
	$(make_venv)
	sed 's/^ipykernel==[^ ;]*/ipykernel==$*.0/' constraints.txt >$(@D)/constraints.txt
	$(@D)/bin/python $(PIP_INSTALL) --constraint $(@D)/constraints.txt --editable .
	@touch $@

.venv-docs/docs.stamp: docs/requirements.txt
	$(make_venv)
	$(@D)/bin/python $(PIP_INSTALL) --no-deps --requirement docs/requirements.txt
	@touch $@

# Agent frameworks, for the programs under examples/: in an environment of their own, since each pins a world.
.venv-examples/examples.stamp: pyproject.toml examples/constraints.txt
	$(make_venv)
	$(@D)/bin/python $(PIP_INSTALL) --constraint examples/constraints.txt --editable '.[examples]'
	@touch $@

# The SDKs in their newest versions, unpinned: what they yield today is the question.
.venv-sdks/sdks.stamp: pyproject.toml
	$(make_venv)
	$(@D)/bin/python $(PIP_INSTALL) --upgrade --editable '.[test,test-sdks]'
	@touch $@

browser:
	@if command -v chromium || command -v chromium-browser || command -v google-chrome; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update && \
		DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends chromium fonts-dejavu-core; \
	else \
		echo "No Chromium found, and the browser tests need one: install the package chromium (or google-chrome)." >&2; \
		test -z "$$CI"; \
	fi

# A proxy that holds answers back, for the tests of the relay's client.
nginx:
	@if command -v nginx; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends nginx-light; \
	else \
		echo "No nginx found, and the tests of the relay behind a proxy need one: install nginx-light." >&2; \
		test -z "$$CI"; \
	fi

# For the tests of the store in Redis, which start servers of their own: the one that Debian's package starts as a service
# has another port and is left alone.
redis:
	@if command -v redis-server; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends redis-server; \
	else \
		echo "No redis-server found, and the tests of the store in Redis need one: install redis-server." >&2; \
		test -z "$$CI"; \
	fi

# --- checks before the tests ------------------------------------------------------------------------------------------

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# The bundle is committed so that Python users never need node; here it must equal what the sources give.
js:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory js-check; \
	else \
		echo "No npm found: the JavaScript checks are left out. Install nodejs (18 or newer) and npm to run them." >&2; \
		test -z "$$CI"; \
	fi

.PHONY: js-check
js-check: js/node_modules/npm.stamp
	cd js && npm run --silent check && npm test --silent
	@before=$$(mktemp -d) && trap 'rm -rf "$$before"' EXIT && cp -R $(STATIC) "$$before" && \
	(cd js && npm run --silent build) && \
	{ diff -r --brief "$$before/static" $(STATIC) || \
	{ echo "$(STATIC) was not what js/src gives. It has been rebuilt: commit it." >&2; exit 1; }; }

js/node_modules/npm.stamp: js/package.json
	cd js && npm install --no-package-lock --no-audit --no-fund
	@touch $@
