"""A store in a database server, such as PostgreSQL, which several clones share, with artifacts in an object store.

MLflow would ask a server that does not answer ten times, and keep the artifacts in the working folder. Nothing here is
used for the default store, or for a server of MLflow itself (http://), which knows its own database.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from groundup.errors import BadInput, first_line, masked

ROOT_VARIABLE = "MLFLOW_DEFAULT_ARTIFACT_ROOT"  # the name that `mlflow server` uses
DATABASES = ("postgresql", "mysql", "mssql")
DRIVERS = {"psycopg", "psycopg2", "boto3"}  # modules that MLflow imports when it needs them
LOCK = 0x67726F756E647570  # "groundup", as the number of an advisory lock
LOCK_SECONDS = 300.0  # another clone may be creating the tables
# PostgreSQL: a server that vanishes is noticed in half a minute, instead of hours
PATIENCE = {
    "tcp_user_timeout": "30000",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
# part of a driver's or an object store's message -> what to do
_REMEDIES = {
    "password authentication failed": "correct name and password in MLFLOW_TRACKING_URI",
    "no password supplied": "add the password to MLFLOW_TRACKING_URI, or set PGPASSWORD",
    'FATAL:  database "': "create the database, or correct its name in MLFLOW_TRACKING_URI",
    "bucket does not exist": f"create the bucket, or correct {ROOT_VARIABLE} and use another MLFLOW_EXPERIMENT_NAME",
    "Unable to locate credentials": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "Access Key Id you provided does not exist": "correct AWS_ACCESS_KEY_ID",
    "signature we calculated does not match": "correct AWS_SECRET_ACCESS_KEY",
    "Access Denied": "give this key the rights to list, read and write in the bucket",
    "endpoint URL": "start the S3 server, or correct MLFLOW_S3_ENDPOINT_URL",
}


def is_database(uri: str) -> bool:
    """Return whether an address is that of a database server."""
    return uri.partition("://")[0].partition("+")[0] in DATABASES


def patient(uri: str) -> str:
    """Return the address with limits on the time to wait for a database server that has vanished."""
    if not uri.startswith("postgresql"):
        return uri
    missing = [f"{name}={value}" for name, value in PATIENCE.items() if f"{name}=" not in uri]
    return uri + ("&" if "?" in uri else "?") * bool(missing) + "&".join(missing)


def shown(uri: str) -> str:
    """Return an address as messages show it: without password and parameters."""
    return masked(uri).partition("?")[0]


def check(uri: str) -> None:
    """Connect once, to see whether the server answers and accepts the password.

    Raises:
        BadInput: the address is malformed.
        SQLAlchemyError or ModuleNotFoundError: the server cannot be used, or its driver is not installed.
    """
    with _connected(uri):
        pass


@contextmanager
def locked(uri: str) -> Iterator[None]:
    """Hold a lock that all clones share for one database. Only PostgreSQL has such locks.

    Raises:
        BadInput: another process has held the lock for too long.
    """
    with _connected(uri) as connection:
        if connection.dialect.name == "postgresql":
            _wait_for(connection, uri)
        yield  # the lock ends with the connection


@contextmanager
def _connected(uri: str) -> Iterator[Any]:
    import sqlalchemy

    try:
        engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool)
    except (ValueError, sqlalchemy.exc.ArgumentError) as error:
        raise BadInput(
            f"MLFLOW_TRACKING_URI is {shown(uri)!r} ({first_line(error)}); expected an address such as "
            "postgresql+psycopg://user@host:5432/mlflow, with the password after a colon behind the user"
        ) from error
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _wait_for(connection: Any, uri: str) -> None:
    import sqlalchemy

    deadline = time.monotonic() + LOCK_SECONDS
    while not connection.execute(sqlalchemy.text(f"SELECT pg_try_advisory_lock({LOCK})")).scalar():
        if time.monotonic() > deadline:
            raise BadInput(
                f"MLflow's store {shown(uri)} has been opened by another process for {LOCK_SECONDS:.0f} s; expected "
                "that to take a minute at most: end that process (see pg_stat_activity), and try again"
            )
        time.sleep(0.2)
    connection.commit()  # not idle in a transaction


def artifacts(uri: str, experiment: str) -> str:
    """Return where the artifacts of a new experiment go, in the place that the variable ROOT_VARIABLE names.

    Raises:
        BadInput: the variable is not set, or not an address or an absolute path.
    """
    root = os.environ.get(ROOT_VARIABLE, "").rstrip("/")
    if "://" not in root and not root.startswith("/"):
        raise BadInput(
            f"{ROOT_VARIABLE} is {root!r}, but MLflow's store {shown(uri)} is a database, which keeps no artifacts; "
            "expected a place that all clones reach: set it to one such as s3://bucket/mlflow"
        )
    return f"{root}/{quote(experiment, safe='')}"


def check_place(location: str, uri: str) -> None:
    """Raise BadInput if an experiment's artifacts are in a folder that this machine lacks: that of another clone."""
    folder = unquote(urlsplit(location).path) if location.startswith("file:") else location
    if folder.startswith("/") and not (os.environ.get(ROOT_VARIABLE) or Path(folder).exists()):
        raise BadInput(
            f"MLflow's store {shown(uri)} keeps the artifacts of this experiment in {folder}, which this machine does "
            f"not have; expected a place that all clones reach: set another MLFLOW_EXPERIMENT_NAME, and {ROOT_VARIABLE}"
            " to a place such as s3://bucket/mlflow"
        )


def remedy(error: BaseException) -> str:
    """Return what to do about an error of a database server or an object store; empty if that is not known."""
    if isinstance(error, ModuleNotFoundError):
        return "pip install 'groundup[team]'" + (
            " and write postgresql+psycopg:// in MLFLOW_TRACKING_URI" if "psycopg2" in str(error) else ""
        )
    text = str(error)
    return next((do for sign, do in _REMEDIES.items() if sign in text), "")


def errors() -> list[type[Exception]]:
    """Return the errors of the drivers and object stores that this process has imported, and of missing packages.

    A ModuleNotFoundError has to be raised again if `is_other_module` is True for it.
    """
    found: list[type[Exception]] = [ModuleNotFoundError]
    if "sqlalchemy" in sys.modules:
        from sqlalchemy.exc import SQLAlchemyError  # also raised for a file that is not a database

        found.append(SQLAlchemyError)
    if "botocore" in sys.modules:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        found += [BotoCoreError, ClientError, Boto3Error]
    return found


def is_other_module(error: BaseException) -> bool:
    """Return whether an error means that another package than one of DRIVERS is missing."""
    return isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] not in DRIVERS
