FROM python:3.13-slim-bookworm AS build
WORKDIR /app
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
RUN pip install --no-cache-dir uv==0.13.9
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --extra ml --extra remote --extra scaled

FROM python:3.13-slim-bookworm
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
