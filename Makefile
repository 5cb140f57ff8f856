# make demo: from a fresh clone to matched features. CI runs make lint and make test.
# make quick: all tests but the slow ones and those in a browser, for every few lines written.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test quick lint web-lint clean

demo: $(VENV)/.core
	$(BIN)/saematch demo

# the explorer's own tests need npm, those in a browser a Chromium: what is not run, is said
test: $(VENV)/.test
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    apt-get install -y -qq chromium >/dev/null 2>&1; } || \
	  echo "no Chromium: the explorer's tests in a browser are skipped"
	@if command -v npm >/dev/null; then cd web && npm ci --silent --no-fund --no-audit && npm test; \
	  else echo "no npm: the tests of web/ are not run"; fi
	$(BIN)/python -m pytest

quick: $(VENV)/.test
	$(BIN)/python -m pytest -m 'not slow and not browser'

lint: $(VENV)/.lint web-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright src

web-lint:
	@if command -v npm >/dev/null; then cd web && npm ci --silent --no-fund --no-audit && \
	  npm run --silent check && npm run --silent lint; \
	  else echo "no npm: web/ is not linted"; fi

$(VENV)/.venv:
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"saematch needs Python 3.11 or newer; this is {v[0]}.{v[1]}: say make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.core: $(VENV)/.venv pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

$(VENV)/.test: $(VENV)/.core
	$(PIP) --editable '.[test]'
	touch $@

$(VENV)/.lint: $(VENV)/.test
	$(PIP) --editable '.[lint,demo]'
	touch $@

clean:
	rm -rf $(VENV) runs web/node_modules
