# One image for every service: `flow executor`, `flow worker`, `flow gateway`, or `flow up` for all in one container.

FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements-build.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md ./
COPY flow_engine flow_engine
COPY services services
RUN pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /dist .

FROM python:3.11-slim
ENV PATH=/opt/flow/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FLOW_DATA_DIR=/var/lib/flow
# What the lock names comes first, so that a change of our own code does not install it again.
COPY requirements.lock /tmp/
RUN python -m venv /opt/flow \
    && pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock \
    && rm /tmp/requirements.lock
COPY --from=build /dist /tmp/dist
RUN pip install --no-cache-dir --no-deps --no-index /tmp/dist/*.whl \
    && python -m compileall -q /opt/flow/lib \
    && rm -r /tmp/dist \
    && useradd --system --user-group --home-dir /var/lib/flow --create-home flow
USER flow
WORKDIR /var/lib/flow
EXPOSE 8080 50051
ENTRYPOINT ["flow"]
CMD ["--help"]
