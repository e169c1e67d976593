# One image for workers, API, UI and the paper exchange: the command says which. PostgreSQL and Temporal are images of
# their own (docker-compose.yml); the embedded ones of `make up` are not used here.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONFAULTHANDLER=1 PATH=/ats/.venv/bin:$PATH
WORKDIR /ats

# dependencies first: they change seldom, so that a change of the code builds in seconds
COPY requirements-bootstrap.lock requirements.lock ./
RUN python -m venv .venv \
    && .venv/bin/pip install --no-cache-dir --require-hashes -r requirements-bootstrap.lock \
    && .venv/bin/uv pip install --python .venv/bin/python --no-cache --compile-bytecode --require-hashes -r requirements.lock

COPY . .
RUN .venv/bin/uv pip install --python .venv/bin/python --no-cache --no-deps --no-build-isolation -e . \
    && useradd --system --create-home --uid 10001 ats \
    && mkdir -p /data /logs && chown ats /data /logs

USER ats
ENV ATS_DATA_DIR=/data ATS_LOG_DIR=/logs
CMD ["python", "-m", "workers.trading"]
