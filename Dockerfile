FROM python:3.13.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
# Where no public index is reached: --build-arg PIP_INDEX_URL=…, or PIP_FIND_LINKS=… with PIP_NO_INDEX=1. What was
# found there is held against the hashes all the same, and nothing of this is in the finished image.
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
WORKDIR /src
# The finished image needs no pip.
RUN python -m venv /opt/build \
    && python -m venv --without-pip /opt/b24pay
# The requirements alone first: a change of code does not install them again. Nothing without a known hash gets in.
COPY requirements.txt requirements-build.txt ./
RUN PIP_PYTHON=/opt/b24pay/bin/python /opt/build/bin/pip install --require-hashes --no-deps -r requirements.txt \
    && /opt/build/bin/pip install --require-hashes --no-deps -r requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY config/ config/
COPY ledger/ ledger/
COPY limiter/ limiter/
COPY bitrix24/ bitrix24/
COPY tasks/ tasks/
COPY worker/ worker/
COPY web/ web/
COPY access/ access/
COPY metrics/ metrics/
COPY callbacks/ callbacks/
COPY reconciling/ reconciling/
COPY emulator/ emulator/
COPY chaos/ chaos/
COPY cli/ cli/
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && PIP_PYTHON=/opt/b24pay/bin/python /opt/build/bin/pip install --no-deps --no-index --find-links /wheels b24pay

FROM python:3.13.11-slim-bookworm
LABEL org.opencontainers.image.title="b24pay" \
      org.opencontainers.image.licenses="MIT"
# Unbuffered: a line that was written is in the log even when the process is killed the next moment.
ENV PATH=/opt/b24pay/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
RUN groupadd --gid 10001 b24pay \
    && useradd --uid 10001 --gid b24pay --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin b24pay
COPY --from=build /opt/b24pay /opt/b24pay
WORKDIR /tmp
USER 10001:10001
# SIGTERM finishes what is in flight and hands the lanes back; give it longer than one REST call (60 s in compose).
STOPSIGNAL SIGTERM
# "Healthy" means that it really consumes, by the signs of life that both of its loops feed. Its node name is its own:
# containers that share a network share the host's name, too.
ENV WORKER_NODE_FILE=/tmp/worker.node
HEALTHCHECK --interval=10s --timeout=20s --start-period=120s --retries=3 \
    CMD ["sh", "-c", "b24pay health --worker \"$(cat /tmp/worker.node)\""]
CMD ["python", "-m", "worker"]
