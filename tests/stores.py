"""The stores of a team on this machine: PostgreSQL from the system's packages, and a server of S3 (moto)."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

USER, PASSWORD = "groundup", "pg-Secret/7:of the team"  # the password must be encoded in an address
KEY, SECRET = "AKIDTEAM7EXAMPLE", "s3-Secret-of-the-team"
BUCKET = "team"
PATIENCE = 300.0  # seconds until a server has started on a busy machine


def free_port() -> int:
    """Return a port of the loopback interface at which nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs; None if it is not installed."""
    folders = [Path(found).resolve().parent] if (found := shutil.which("initdb")) else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # Debian's are not on PATH
    needed = ("initdb", "pg_ctl", "createdb")
    return next((folder for folder in folders if all((folder / name).exists() for name in needed)), None)


@contextmanager
def postgresql(*databases: str) -> Iterator[str]:
    """Run PostgreSQL on the loopback interface, in a temporary folder.

    Yields:
        host:port. The server asks for the password of USER.
    """
    programs, port = binaries(), free_port()
    assert programs is not None, "PostgreSQL is not installed: apt-get install postgresql"
    # it refuses to run as root, and another user cannot enter root's temporary folders
    owner = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="groundup-postgresql-"))
    try:
        shutil.chown(folder, owner)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        shutil.chown(secret, owner)

        def call(program: str, *arguments: str) -> None:
            subprocess.run(
                [programs / program, *arguments], cwd=folder, user=owner if os.getuid() == 0 else None,
                env={"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD, "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True,
            )  # fmt: skip

        data = str(folder / "data")
        call("initdb", "-D", data, "-U", USER, f"--pwfile={secret}", "-A", "scram-sha-256", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
        call(
            "pg_ctl", "-D", data, "-o", options, "-l", str(folder / "log"), "-t", str(int(PATIENCE)), "start"
        )
        try:
            for name in databases:
                call("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", USER, name)
            yield f"127.0.0.1:{port}"
        finally:
            call("pg_ctl", "-D", data, "-m", "fast", "stop")
    finally:
        shutil.rmtree(folder)


@contextmanager
def s3(bucket: str = BUCKET) -> Iterator[dict[str, str]]:
    """Run a server of S3 with an empty bucket on the loopback interface; it keeps the objects in memory.

    Yields:
        The environment variables with which clients use it.
    """
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    variables = {
        "AWS_ENDPOINT_URL": address,
        "MLFLOW_S3_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            give_up = time.monotonic() + PATIENCE
            while True:
                try:
                    urlopen(address, timeout=10).close()
                    break
                except OSError:
                    assert time.monotonic() < give_up and server.poll() is None, "the S3 server did not start"
                    time.sleep(0.1)
            client_of(variables).create_bucket(Bucket=bucket)
            yield variables
        finally:
            server.terminate()


def client_of(variables: dict[str, str]):  # type: ignore[no-untyped-def]
    """Return boto3's client of the server."""
    import boto3

    return boto3.client(
        "s3", endpoint_url=variables["AWS_ENDPOINT_URL"], region_name="us-east-1",
        aws_access_key_id=KEY, aws_secret_access_key=SECRET,
    )  # fmt: skip


def address(driver: str, host: str, database: str, password: str = PASSWORD) -> str:
    """Return the address of a database, such as postgresql+psycopg://user:password@host:port/database."""
    return f"postgresql+{driver}://{USER}:{quote(password, safe='')}@{host}/{database}"
