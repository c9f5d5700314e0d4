FROM python:3.13-slim-trixie AS build
WORKDIR /app
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv==0.13.9
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --extra ml --extra remote --extra scaled

FROM python:3.13-slim-trixie
# `manage.py backup` and `restore` need the tools of the PostgreSQL of docker-compose.yml, or newer ones.
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql-client-17 && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 1000 --no-create-home store && install --directory --owner store --group store /data
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY . .
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 CL_SERVER_DIR=/data
USER store
VOLUME /data
EXPOSE 8001
# Alone, the image is the whole store in one process; docker-compose.yml takes it apart.
CMD ["python", "manage.py", "serve", "--host", "0.0.0.0"]
