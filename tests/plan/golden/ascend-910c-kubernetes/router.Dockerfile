# The router's image. In the folder of windtunnel's sources:
# docker build --file router.Dockerfile --tag windtunnel:0.1.0 .
FROM python:3.12-slim
COPY . /windtunnel
RUN pip install --no-cache-dir '/windtunnel[serve]'
USER 65534:65534
