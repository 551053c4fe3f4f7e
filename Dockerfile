# The library and its server, without the pipelines: docker build --tag groundup . && docker run --rm -it groundup chat
FROM python:3.13-slim AS build
WORKDIR /source
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m venv /opt/groundup \
 && /opt/groundup/bin/pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu torch==2.13.0 \
 && /opt/groundup/bin/pip install --no-cache-dir '.[serve,hub]'

FROM python:3.13-slim
RUN useradd --create-home groundup
COPY --from=build /opt/groundup /opt/groundup
ENV PATH=/opt/groundup/bin:$PATH DO_NOT_TRACK=true
USER groundup
WORKDIR /home/groundup
ENTRYPOINT ["groundup"]
CMD ["--help"]
