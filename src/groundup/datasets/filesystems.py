"""Download files from fsspec's filesystems: s3://bucket/key, gs://bucket/key, az://container/blob, hf://datasets/….

Credentials are those that the filesystem's package finds in the environment. The packages are not part of groundup.
"""

from pathlib import Path

from groundup.errors import BadInput

# scheme -> what pip has to install
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "hf": "groundup[hub]"}
CHUNK_BYTES = 1 << 20


class TryAgain(Exception):
    """A temporary failure: another attempt may succeed."""


class NotModified(Exception):
    """The kept file is the current version."""


def stream(url: str, part: Path, max_bytes: int, progress: bool, unless: dict[str, str]) -> dict[str, str]:
    """Append the rest of the file at `url` to `part`; `part` may have its beginning.

    Args:
        url: the address of the file.
        part: the file to write.
        max_bytes: largest file accepted.
        progress: show the progress.
        unless: the known version, under "If-None-Match"; nothing is read if the file still has it.

    Returns:
        The file's version, as "etag": a hash of what the filesystem knows of the file.

    Raises:
        TryAgain: the failure may be temporary.
        NotModified: the file has not changed.
        BadInput: the package of the filesystem is not installed, or the file is missing, not readable or too large.
    """
    import fsspec
    from tqdm import tqdm

    scheme = url.partition("://")[0]
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise BadInput(
            f"{scheme}:// needs a package that is not installed; pip install '{PACKAGES[scheme]}'"
        ) from error
    except (ValueError, LookupError) as error:
        raise BadInput(f"it is not an address of {scheme}:// ({error}); correct it") from error
    try:
        filesystem.invalidate_cache()
        size, version = filesystem.info(path).get("size"), filesystem.ukey(path)
        if size is None:
            raise BadInput("it is not a file")
        if size > max_bytes:
            raise BadInput(f"the file has {size:,} bytes; the limit is {max_bytes:,}")
        have = part.stat().st_size if part.exists() else 0
        if have > size:
            part.unlink()
            raise TryAgain("the unfinished download is longer than the file")
        if not have and unless.get("If-None-Match") == version:
            raise NotModified
        with (
            filesystem.open(path, "rb") as source,
            open(part, "ab") as file,
            tqdm(total=size, initial=have, unit="B", unit_scale=True, disable=not progress) as bar,
        ):
            source.seek(have)
            while chunk := source.read(min(CHUNK_BYTES, size - have)):
                have += file.write(chunk)
                bar.update(len(chunk))
        if have != size:
            raise TryAgain(f"truncated: received {have:,} of {size:,} bytes")
        return {"etag": version}
    except (BadInput, TryAgain, NotModified):
        raise
    except (FileNotFoundError, IsADirectoryError) as error:
        raise BadInput("there is no such file") from error
    except PermissionError as error:
        raise BadInput(f"access was denied ({error}); set the credentials that {scheme}:// needs") from error
    except Exception as error:
        # HTTP libraries quote a token that they cannot send
        told = "" if "Bearer " in str(error) else f": {error}"
        raise TryAgain(f"{type(error).__name__}{told}") from error
