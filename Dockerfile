# The workbench for ordinary hosting. `docker compose up` starts it with PostgreSQL; alone: docker build -t workbench .
FROM python:3.11-slim
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1 GRADIO_ANALYTICS_ENABLED=False WORKBENCH_HOME=/records
RUN useradd --create-home --uid 1000 workbench && install -d -o workbench -g workbench /records
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY engines engines
COPY storage storage
COPY ui ui
COPY workbench workbench
RUN pip install -c constraints.txt ".[postgres,mcp]"
USER workbench
VOLUME /records
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD python -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/wb/runs.json?limit=1', timeout=4)"
ENTRYPOINT ["workbench"]
CMD ["serve", "--host", "0.0.0.0", "--port", "7860"]
