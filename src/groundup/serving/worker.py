"""Serve one version of a registered model, in a process of its own, on a socket that server.py has opened.

Every version has its own copy of groundup, and a process imports a package only once: two versions in one process would
share the code of the first. server.py starts this file by its path, and it imports nothing from groundup, so that the
model finds its own copy. The process ends when its standard input is closed, also if the server is killed.
"""

import os
import socket
import sys
import threading

import mlflow.pyfunc
import uvicorn
from mlflow.pyfunc import scoring_server


def main(uri: str, descriptor: int) -> None:
    """Load the model `uri` and answer requests on the listening socket `descriptor` with MLflow's protocol."""
    threading.Thread(target=_end_with_server, daemon=True).start()
    app = scoring_server.init(mlflow.pyfunc.load_model(uri))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    server.run(sockets=[socket.socket(fileno=descriptor)])


def _end_with_server() -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when the other end is closed
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
