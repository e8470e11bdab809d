"""Where the files of a named corpus lie, and how they get there: downloaded, verified, unpacked.

``OCTAVOICE_DATA``   a folder that already holds them, ``<folder>/<path>`` as in the catalogue; only read
``OCTAVOICE_CACHE``  where they are downloaded to otherwise (without it, the user's cache folder)

A file counts only if its size and SHA-256 are the catalogue's. What was verified is remembered by
path, size and time of change (in the cache folder), so that the next look costs one ``stat`` per file.
"""

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath

import pooch
import requests
from tqdm import tqdm

from octavoice import provenance
from octavoice.corpus import catalogue
from octavoice.corpus.catalogue import File
from octavoice.errors import UserError
from octavoice.paths import atomic

THREADS = 8
TRIES = 3
"""How often a file is asked for when the connection breaks or the server is busy."""
PAUSE = 1.0
"""Seconds before the second try; twice as many before the third."""
TIMEOUT = 30.0
"""Seconds without an answer after which a connection counts as dead."""
BUSY = (429, 500, 502, 503, 504)
MAX_MEMBERS = 20_000
MAX_UNPACKED = 2**30
"""Most files and bytes that an archive may unpack to."""


@dataclass(frozen=True)
class Located:
    """A verified file: where it lies, its name in the corpus, its SHA-256, and the file it comes from.

    ``name`` is ``file.path``, and for a member of an archive the archive's path without ``.zip``,
    a slash, and the member's name; ``file`` is then the archive.
    """

    path: Path
    name: str
    sha256: str
    file: File


def cache_dir() -> Path:
    """The folder that downloads go to: ``OCTAVOICE_CACHE`` if set, else the user's cache."""
    return Path(os.environ.get("OCTAVOICE_CACHE") or pooch.os_cache("octavoice")).expanduser().resolve()


def data_dir() -> Path:
    """The folder that files are read from: ``OCTAVOICE_DATA`` if set, else :func:`cache_dir`."""
    given = os.environ.get("OCTAVOICE_DATA")
    return Path(given).expanduser().resolve() if given else cache_dir()


def locate(name: str) -> list[Located]:
    """Every file of a corpus, verified, in the catalogue's order; archives as their members.

    Raises :class:`UserError` for an unknown corpus, or if files are missing or damaged.
    """
    faults = _corpus_faults(name)
    if faults:
        raise UserError(_incomplete(name, faults))
    return [located for file in catalogue.files(name) for located in _open(file)]


def fetch(name: str, progress: bool = True, base: str = catalogue.RAW) -> list[Located]:
    """Download what is not there yet of the corpus called ``name``, and return as :func:`locate`.

    Files that are complete are not asked for again; a file appears under its name only once it is
    whole and its SHA-256 is right. Where ``OCTAVOICE_DATA`` is set, nothing is downloaded.
    Raises :class:`UserError` for an unknown corpus, a failed download or a full or unwritable disk;
    what was complete stays, and the next call goes on from there.
    """
    wanted = [] if os.environ.get("OCTAVOICE_DATA") else list(_corpus_faults(name))
    if wanted:
        _download(name, wanted, progress, base)
    return locate(name)


def _place(file: File) -> Path:
    return data_dir() / _key(file)


def _corpus_faults(name: str) -> dict[File, str]:
    """Files of a corpus that are not whole, with what is wrong with them."""
    return {file: fault for part in catalogue.parts(name)
            for file, fault in _faults(data_dir() / part.folder, catalogue.files(part.name)).items()}


def _incomplete(name: str, faults: dict[File, str]) -> str:
    file, fault = next(iter(faults.items()))
    count = f"{len(faults)} of {len(catalogue.files(name))} files of corpus {name} are missing or damaged"
    if os.environ.get("OCTAVOICE_DATA"):
        remedy = f"complete the folder that OCTAVOICE_DATA names, or unset it and run 'octavoice corpus fetch {name}'"
    else:
        remedy = f"run 'octavoice corpus fetch {name}'"
    return f"{_place(file)}: {fault} ({count}); {remedy}."


# Verification, remembered

def _faults(folder: Path, files: list[File]) -> dict[File, str]:
    """What is wrong with files below ``folder``; those verified before and unchanged are not read again."""
    note = cache_dir() / "verified" / f"{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}.json"
    before = _remembered(note)
    seen = dict(before)
    faults = {file: fault for file in files if (fault := _fault(folder / file.path, file, seen))}
    if seen != before:
        with suppress(OSError), atomic(note) as temporary:  # without the note, only slower
            temporary.write_text(json.dumps(seen), encoding="utf-8")
    return faults


def _remembered(note: Path) -> dict:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _fault(path: Path, file: File, seen: dict) -> str:
    """What is wrong with one file, or nothing; a file found right is noted in ``seen``."""
    try:
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns, file.sha256]
        if status.st_size != file.bytes:
            return f"has {status.st_size} bytes instead of {file.bytes}"
        if seen.get(file.path) != stamp and provenance.sha256(path) != file.sha256:
            return "has other content than the pinned file"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    seen[file.path] = stamp
    return ""


# Downloading

def _download(name: str, files: list[File], progress: bool, base: str) -> None:
    """Download files in parallel; the first failure stops what has not begun."""
    keeper = _keeper(files, base)
    with (requests.Session() as session, ThreadPoolExecutor(THREADS) as pool,
          tqdm(total=sum(file.bytes for file in files), desc=f"fetching {name}", unit="B", unit_scale=True,
               disable=not progress, mininterval=0.5) as bar):
        session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=THREADS))
        jobs = {pool.submit(_download_one, keeper, session, file): file for file in files}
        try:
            for job in as_completed(jobs):
                job.result()
                bar.update(jobs[job].bytes)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _key(file: File) -> str:
    return f"{catalogue.entry(file.corpus).folder}/{file.path}"


def _keeper(files: list[File], base: str) -> pooch.Pooch:
    """pooch's registry of some files, and the folders they go to."""
    pooch.get_logger().setLevel("WARNING")  # the progress bar says enough
    with _disk(cache_dir()):
        for folder in {_place(file).parent for file in files}:
            folder.mkdir(parents=True, exist_ok=True)
    return pooch.create(cache_dir(), base, registry={_key(file): f"sha256:{file.sha256}" for file in files},
                        urls={_key(file): catalogue.url(file, base) for file in files})


def _download_one(keeper: pooch.Pooch, session: requests.Session, file: File) -> None:
    """Download one file with pooch, which verifies it before it gets its name."""
    url = keeper.get_url(_key(file))
    with _disk(_place(file)):
        try:
            keeper.fetch(_key(file), downloader=partial(_stream, session, file.bytes))
        except requests.RequestException as error:
            raise UserError(f"{file.path}: {_network_fault(url, error)}; what is complete is kept.") from error
        except ValueError as error:
            raise UserError(f"{file.path}: {url} does not hold the pinned file (its SHA-256 differs); "
                            "fetch again from another network, or update octavoice.") from error


def _stream(session: requests.Session, size: int, url: str, output: str, _pooch=None) -> None:
    """pooch's downloader: write what ``url`` holds, at most ``size`` bytes, with a few tries."""
    for left in reversed(range(TRIES)):
        try:
            return _stream_once(session, size, url, output)
        except requests.RequestException as error:
            status = error.response.status_code if error.response is not None else None
            if not left or (status is not None and status not in BUSY):
                raise
        time.sleep(PAUSE * (TRIES - left))


def _stream_once(session: requests.Session, size: int, url: str, output: str) -> None:
    with session.get(url, stream=True, timeout=TIMEOUT) as answer, open(output, "wb") as file:
        answer.raise_for_status()
        for chunk in answer.iter_content(2**16):
            file.write(chunk)
            if file.tell() > size:
                raise ValueError("longer than the pinned file")


def _network_fault(url: str, error: requests.RequestException) -> str:
    host = url.split("/")[2]
    if error.response is not None and error.response.status_code in (404, 410):
        return f"{url} is not there (HTTP {error.response.status_code}); update octavoice and fetch again"
    if error.response is not None:
        return f"{host} answered HTTP {error.response.status_code}; fetch again later"
    if isinstance(error, requests.Timeout):
        return f"{host} did not answer within {TIMEOUT:g} seconds; check the network and fetch again"
    return f"the connection to {host} failed or broke off; check the network and fetch again"


@contextmanager
def _disk(path: Path):
    """Turn a full or unwritable disk into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"{path}: the disk is full; free some space and fetch again, "
                            "or set OCTAVOICE_CACHE to a folder on another disk.") from error
        reason = error.strerror or "no permission"
        raise UserError(f"{path}: cannot be written ({reason}); make {cache_dir()} writable, "
                        "or set OCTAVOICE_CACHE to a folder that is.") from error


# Archives

def _open(file: File) -> list[Located]:
    """A verified file as it is, or a verified archive as its members."""
    place = _place(file)
    if place.suffix.lower() != ".zip":
        return [Located(place, file.path, file.sha256, file)]
    target = cache_dir() / "unpacked" / f"{place.stem}-{file.sha256[:16]}"
    members = _whole_members(target, file)
    if not members:
        with _disk(target):
            shutil.rmtree(target, ignore_errors=True)
            _unpack_whole(place, target)
        members = _whole_members(target, file)
    if not members:
        raise UserError(f"{target}: does not hold what {place.name} unpacks to; delete that folder and try again.")
    stem = file.path[:-len(".zip")]
    return [Located(target / "files" / member.path, f"{stem}/{member.path}", member.sha256, file) for member in members]


def _whole_members(target: Path, file: File) -> list[File]:
    """The verified members of an archive unpacked at ``target``; none if it is not there whole."""
    try:
        rows = json.loads((target / "members.json").read_text(encoding="utf-8"))
        members = [File(file.corpus, path, sha256, size, file.licence) for path, size, sha256 in rows]
    except (OSError, ValueError, TypeError):
        return []
    return [] if _faults(target / "files", members) else members


def _unpack_whole(archive: Path, target: Path) -> None:
    """Unpack into a temporary folder beside ``target`` and rename it, so that it is whole or not there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=target.parent) as temporary:
        new = Path(temporary) / "new"
        found = unpack(archive, new / "files")
        rows = [(path, place.stat().st_size, provenance.sha256(place))
                for path, place in ((path, new / "files" / path) for path in found)]
        (new / "members.json").write_text(json.dumps(rows), encoding="utf-8")
        try:
            new.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise


def unpack(archive: Path, target: Path) -> list[str]:
    """Unpack a zip archive below the folder ``target``; returns its members' names, sorted.

    Raises :class:`UserError`, before anything is written, if a member is a link, is encrypted, would
    leave ``target`` or comes twice, or if there are more than ``MAX_MEMBERS`` or ``MAX_UNPACKED``
    bytes; and for a damaged archive, whose first members may then have been written.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            members = _safe_members(archive, source)
            for member in members:
                place = target / member.filename
                place.parent.mkdir(parents=True, exist_ok=True)
                with source.open(member) as packed, open(place, "xb") as file:
                    shutil.copyfileobj(packed, file)
    except (OSError, UserError):
        raise
    except Exception as error:
        raise UserError(f"{archive}: is a damaged archive; fetch it again.") from error
    return sorted(member.filename for member in members)


def _safe_members(archive: Path, source: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    members = [member for member in source.infolist() if not member.is_dir()]
    if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > MAX_UNPACKED:
        raise UserError(f"{archive}: unpacks to more than {MAX_MEMBERS} files or {MAX_UNPACKED} bytes; "
                        "choose a smaller archive.")
    taken = set()
    for member in members:
        name = str(PurePosixPath(member.filename)).casefold()
        unsafe = _unsafe(member) or ("comes twice" if name in taken else "")
        if unsafe:
            raise UserError(f"{archive}: its member {member.filename!r} {unsafe}; choose another archive.")
        taken.add(name)
    return members


def _unsafe(member: zipfile.ZipInfo) -> str:
    """Why a member must not be unpacked, or nothing."""
    path = PurePosixPath(member.filename)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in member.filename \
            or PureWindowsPath(member.filename).drive:
        return "would leave the folder it is unpacked to"
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        return "is a link or a device"
    return "is encrypted" if member.flag_bits & 1 else ""
