# docker build -t slac_tf .
# docker run --rm -v "$PWD/logs:/slac_tf/logs" slac_tf --gin_file=gin_configs/quickstart.gin
FROM --platform=linux/amd64 python:3.10-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends git libegl1 libgl1 libosmesa6 make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /slac_tf

# Not `COPY . .`, which would bring .venv and logs along.
COPY Makefile README.md pyproject.toml requirements.lock setup.py ./
COPY benchmarks benchmarks
COPY bin bin
COPY gin_configs gin_configs
COPY slac_tf slac_tf
RUN make .venv

ENTRYPOINT ["bin/train_eval"]
