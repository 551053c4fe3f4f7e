# The library and its server, without the pipelines: docker build --tag groundup . && docker run --rm -it groundup chat
FROM python:3.13-slim AS build
WORKDIR /source
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m venv /opt/groundup \
 && /opt/groundup/bin/pip install --no-cache-dir --no-deps --index-url https://download.pytorch.org/whl/cpu torch==2.13.0
# uv takes the versions and checks the hashes of the constraints, which pip cannot for a part of a lock
RUN pip install --no-cache-dir uv==0.13.9 \
 && uv pip install --no-cache --python /opt/groundup/bin/python --constraint requirements.lock '.[serve,hub]'

FROM python:3.13-slim
RUN useradd --create-home --uid 1000 groundup
COPY --from=build /opt/groundup /opt/groundup
ENV PATH=/opt/groundup/bin:$PATH DO_NOT_TRACK=true
USER 1000
WORKDIR /home/groundup
ENTRYPOINT ["groundup"]
CMD ["--help"]
