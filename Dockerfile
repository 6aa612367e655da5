# syntax=docker/dockerfile:1
# One image for nodes, coordinators and chaos: what runs is its first argument.
#   docker build -t broadcast-cluster:0.1.0 .
#   docker run broadcast-cluster:0.1.0 node --help
# For a build that is the same in a year, give the base by its digest:
#   --build-arg PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# Without pip in it: what is installed from outside, once, is not changed by who gets in.
RUN python -m venv --without-pip /opt/venv
# For what builds the project, so that pip does not fetch the newest of it.
RUN python -m venv /opt/build
# Before the project's own files, so that a change of those does not install everything again.
COPY deploy/docker/requirements.txt deploy/docker/build-requirements.txt deploy/docker/
RUN python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-deps -r deploy/docker/requirements.txt
RUN /opt/build/bin/pip install --no-cache-dir --no-deps -r deploy/docker/build-requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY node node
COPY coordinator coordinator
COPY protos protos
COPY chaos chaos
COPY deploy deploy
RUN /opt/build/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /opt/build/wheels .
RUN python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-deps /opt/build/wheels/*.whl
RUN python -m pip --python /opt/venv/bin/python check

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="broadcast-cluster" \
      org.opencontainers.image.description="Nodes, coordinator and chaos of a broadcast cluster" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# tini is process 1: a SIGTERM in the half second before the program handles signals would be lost otherwise, since
# a process 1 gets only those it handles; and what chaos starts and leaves behind is reaped. The base's pip is of no use
# to it, and would be to others.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends 'tini=0.19.0*' \
    && rm -rf /var/lib/apt/lists/* \
    && python -m pip uninstall --yes --root-user-action=ignore setuptools wheel pip \
    && groupadd --gid 10001 broadcast \
    && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin broadcast
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# By number: Kubernetes cannot tell whether a name is root's.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000 10000 7000 7001
# The node drains on it; `docker stop` needs --time above shutdown.timeout.
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "broadcast"]
CMD ["node"]
