# slopewatch as images: `slim` (the last target, so the default), `inference` with torch, `airflow`.
# docs/image.md says how they are built and run. Versions come from constraints.txt alone.

ARG PYTHON_VERSION=3.11
ARG AIRFLOW_VERSION=3.3.2

# What is installed: one virtual environment at /opt/slopewatch, and its bill of materials.
FROM python:${PYTHON_VERSION}-slim-bookworm AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
RUN python -m pip install --no-cache-dir "uv==0.13.9" && uv venv /opt/slopewatch
WORKDIR /src
COPY pyproject.toml constraints.txt ./
RUN uv pip install --python /opt/slopewatch/bin/python --constraints constraints.txt \
        --requirements pyproject.toml --extra apprise
COPY README.md LICENSE ./
COPY core core
COPY services services
RUN uv pip install --python /opt/slopewatch/bin/python --no-deps . \
    && uv tool run --constraints constraints.txt --from cyclonedx-bom \
        cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON \
        -o /opt/slopewatch/sbom.cdx.json /opt/slopewatch/bin/python

# The same with torch, which brings CUDA's libraries for Linux.
FROM build AS build-inference
RUN uv pip install --python /opt/slopewatch/bin/python --constraints constraints.txt \
        --requirements pyproject.toml --extra apprise --extra torch \
    && uv tool run --constraints constraints.txt --from cyclonedx-bom \
        cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON \
        -o /opt/slopewatch/sbom.cdx.json /opt/slopewatch/bin/python

# What every image of ours has: a user without rights, and two folders it may write to.
FROM python:${PYTHON_VERSION}-slim-bookworm AS runtime
# rasterio's own libraries need it. Debian keeps one version a release, so none can be pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 slopewatch \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin slopewatch \
    && install --directory --owner=10001 --group=0 --mode=0770 /data
ENV PATH=/opt/slopewatch/bin:$PATH \
    HOME=/tmp \
    MPLBACKEND=Agg \
    MPLCONFIGDIR=/tmp/matplotlib \
    XDG_CACHE_HOME=/tmp/cache \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SLOPEWATCH_DATA=/data
WORKDIR /data
USER 10001:10001
VOLUME ["/data"]
EXPOSE 9464
# Of one that serves. A command that ends by itself is over before it is asked.
HEALTHCHECK --interval=30s --timeout=10s --start-period=300s --retries=5 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ.get('SLOPEWATCH_METRICS_PORT', '9464')}/healthz\", timeout=8)"]
ENTRYPOINT ["slopewatch"]
CMD ["--help"]

FROM runtime AS inference
COPY --from=build-inference /opt/slopewatch /opt/slopewatch
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="slopewatch-inference" \
    org.opencontainers.image.description="Slope-deformation early warning, with the forecast network" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"

# Airflow with the DAGs, and slopewatch in an environment of its own beside Airflow's.
FROM apache/airflow:${AIRFLOW_VERSION}-python${PYTHON_VERSION} AS airflow
USER 0
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1 \
    && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml constraints.txt README.md LICENSE /src/
COPY core /src/core
COPY services /src/services
RUN python -m venv /opt/slopewatch \
    && /opt/slopewatch/bin/pip install --no-cache-dir --constraint /src/constraints.txt "/src[apprise]" \
    && rm -rf /src
USER 50000
COPY --chown=50000:0 dags/*.py /opt/airflow/dags/
ENV AIRFLOW__SLOPEWATCH__COMMAND=/opt/slopewatch/bin/slopewatch \
    MPLBACKEND=Agg \
    MPLCONFIGDIR=/tmp/matplotlib
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="slopewatch-airflow" \
    org.opencontainers.image.description="Apache Airflow with the DAGs of slopewatch" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"

FROM runtime AS slim
COPY --from=build /opt/slopewatch /opt/slopewatch
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="slopewatch" \
    org.opencontainers.image.description="Slope-deformation early warning from Sentinel-1, rain and reservoir level" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}"
