# `make demo` and `make test` do all their own set-up, in .venv, with any Python from 3.11 on.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo picture pictures test e2e lint clean lines upstream audit generated

demo: .venv/demo
	$(BIN)/otel-embed run --html build/report.html -- $(BIN)/python examples/rag_ingest/app.py

# What README.md shows.
picture: .venv/demo
	$(BIN)/otel-embed run --svg docs/report.svg -- $(BIN)/python examples/rag_ingest/app.py

# Those of docs/pictures, in a real browser: needs chromium and prometheus.
pictures: .venv/nox
	$(BIN)/nox -s pictures

# What alerts/ and dashboards/ hold, and the table of metrics in docs/telemetry.md.
generated: .venv/demo
	$(BIN)/otel-embed rules prometheus > alerts/prometheus.yaml
	$(BIN)/otel-embed rules alertmanager > alerts/alertmanager.yaml
	$(BIN)/otel-embed rules grafana > alerts/grafana.yaml
	$(BIN)/otel-embed rules datadog > alerts/datadog.json
	$(BIN)/otel-embed dashboards grafana dashboards/grafana
	$(BIN)/otel-embed dashboards datadog dashboards/datadog
	$(BIN)/python docs/telemetry.py

test: .venv/nox
	$(BIN)/nox

# The oldest OpenTelemetry and wrapt, the older lines of every provider and framework, local models, Ray and Spark, and
# costs against MLflow's: torch and some forty environments. Spark needs Java: apt-get install --no-install-recommends
# default-jre-headless.
lines: .venv/nox
	$(BIN)/nox -s core_line llama_index_line haystack_line provider_line bedrock_line local local_line engines mlflow

# The libraries' own published tests, without otel_embed and with it.
upstream: .venv/nox
	$(BIN)/nox -s upstream

# Known vulnerabilities of what is installed with otel-embed; it asks PyPI.
audit: .venv/nox
	$(BIN)/nox -s audit

e2e: .venv/nox
	$(BIN)/nox -s e2e redis redis_line

lint: .venv/nox
	$(BIN)/nox -s lint

.venv/pip:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	mkdir -p build
	touch $@

.venv/demo: .venv/pip pyproject.toml
	$(BIN)/python -m pip install --quiet --editable . --group demo
	touch $@

.venv/nox: .venv/pip
	$(BIN)/python -m pip install --quiet "nox>=2025.5"
	touch $@

clean:
	rm -rf .venv .nox build dist
