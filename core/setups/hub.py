"""The files of a setup: from a folder, or from the Hugging Face Hub.

1. The revision of a repository is resolved to a commit, once, together with the list of its files there: a branch that
   moves meanwhile cannot mix two versions, and whoever reports a result can name the commit it came from.
2. Patterns choose the files (see `Listing.choose` for how they are written), so that nothing else is downloaded: the
   repositories of one CLIP hold the same weights in up to five formats.
3. Each chosen file is downloaded at that commit into the cache of huggingface_hub, where other programs find it too,
   and compared with the size and the hash that the Hub states. What is damaged is deleted, never used.
4. Only then is the commit noted as the revision's. Where the Hub cannot be reached, the noted copy is used.

Files go over plain HTTP. The faster transfer by the package hf_xet reports its progress as well, but from a thread of
its own in which an exception is printed and dropped, so a download of gigabytes could not be cancelled; the Hub serves
every file both ways (https://huggingface.co/docs/hub/xet/legacy-git-lfs).
"""

import errno
import hashlib
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import Any, Self, cast

import httpx2
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils._validators import validate_repo_id

from ..errors import UserError
from ..files import replacing
from ..words import size_in_words
from .catalog import Location

# huggingface_hub reads both at each request, so it does not matter whether somebody imported it before.
constants.HF_HUB_DISABLE_TELEMETRY = True
constants.HF_HUB_DISABLE_XET = True

_COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"(?!.*\.\.)\w[\w.+@#/-]*")
_SHARD = re.compile(r"-\d+-of-(\d+)\.\w+$")
_SHOWN = 6
"""File names in an error."""

_ADVICE = "Try again when the Hub can be reached; the bundled setup works without."

_Hint = Callable[[Sequence[str]], str]
"""The sentence for a place by the names of its files; empty where they are unknown."""

_Find = Callable[[str], list[str]]
"""The paths that match a path with wildcards."""


class NotHere(UserError):
    """Files that are not on this machine and cannot be brought to it now: that says nothing of them."""


@dataclass(frozen=True)
class Download:
    """How far a download is, over all its files."""

    what: str
    """The repository."""
    done: int
    """Bytes on this machine, those of an earlier download included."""
    total: int
    """Bytes when it is complete."""

    def __str__(self) -> str:
        """For the reader: "owner/name: 1.2 GB of 1.7 GB"."""
        return f"{self.what}: {size_in_words(self.done)} of {size_in_words(self.total)}"


@dataclass(frozen=True)
class Fetched:
    """Files, ready to be read."""

    folder: Path
    """Where they lie, at the same paths as in the repository."""
    commit: str | None
    """The commit of the repository they are of; None for a folder."""


@dataclass(frozen=True, eq=False)
class Listing:
    """The files that a location holds, at one commit. Nothing is downloaded yet."""

    location: Location
    """Where they are."""
    folder: Path
    """Where they lie on this machine, or will, at the same paths as in the repository."""
    commit: str | None
    """The commit of the repository they are of; None for a folder."""
    find: _Find
    """The paths that match a path with wildcards."""
    files: Mapping[str, RepoSibling]
    """The Hub's list, by path; empty where all that is there is on this machine."""
    unreachable: str = ""
    """Why the Hub could not be asked, where this is what the cache holds."""

    def lacking(self, patterns: Sequence[str]) -> list[str]:
        """The patterns (see `choose`) that nothing satisfies."""
        return _choose(patterns, self.find)[1]

    def choose(self, patterns: Sequence[str], hint: _Hint = lambda _: "") -> list[str]:
        """The paths that patterns name, each once. Raises UserError with those that are not there.

        A pattern is a path from the root of the repository, in which `*`, `?` and `[...]` stand for parts of one name
        (a `*` does not cross a `/`). `a|b` is a, or b where there is no a; `a&b` is both; `a|` is a where there is one.
        Of weights in shards ("model-00001-of-00002.safetensors"), all must be there. `hint` has a sentence, or none,
        for a place that lacks some and has files of other names.
        """
        chosen, missing = _choose(patterns, self.find)
        if not missing:
            return chosen
        place = self.location
        if self.unreachable:
            raise NotHere(
                f"{self.unreachable}, and of {place.repo} only a part has been downloaded before, "
                f"without {_in_words(missing)}. {_ADVICE}"
            )
        where = f"The folder {place.folder}" if place.repo is None else f"{place.repo} at “{place.revision}”"
        names = list(self.files) or [path.name for path in self.folder.glob("*")]
        raise UserError(_lacks(where, missing, names, hint))


def fetch(
    place: Location,
    patterns: Sequence[str],
    tell: Callable[[Download], None],
    hint: _Hint = lambda _: "",
) -> Fetched:
    """The files of `place` that `patterns` name (see `Listing.choose`), downloaded where they are not here yet.

    Raises UserError as `list_files` and `download` do.
    """
    listing = list_files(place)
    listing.choose(patterns, hint)
    return download(listing, patterns, tell)


def list_files(place: Location) -> Listing:
    """What `place` holds now, or at its commit. One request to the Hub; where it gives no answer, what the cache holds.

    Raises UserError when the folder, the repository or the revision is not there or may not be read, and when the Hub
    cannot be reached and the cache holds no copy of that revision.
    """
    if place.folder is not None:
        if place.folder.is_file():
            raise UserError(
                f"The place {place.folder} is a file, and a folder is needed. Name the folder, and the file in it."
            )
        if not place.folder.is_dir():
            raise UserError(f"There is no folder {place.folder}. Correct the path, or choose another setup.")
        return Listing(place, place.folder, None, _in_folder(place.folder), {})
    try:
        validate_repo_id(place.repo)
    except HFValidationError as error:
        raise UserError(f"“{place.repo}” does not name a repository. Write it as owner/name.") from error
    if not _REVISION.fullmatch(place.revision):
        raise UserError(f"“{place.revision}” does not name a branch, a tag or a commit of {place.repo}. Correct it.")
    repo = cast(str, place.repo)
    try:
        commit, files = _listed(repo, place.revision)
    except (httpx2.HTTPError, OSError) as error:
        return _cached(place, error)
    return Listing(place, _cache(repo) / "snapshots" / commit, commit, _among(files), files)


def download(
    listing: Listing, patterns: Sequence[str], tell: Callable[[Download], None], *, whole: bool = True
) -> Fetched:
    """The files of a listing that `patterns` (see `Listing.choose`) name, downloaded where they are not here yet.

    `tell` hears how far it is: at the start, every ten megabytes, and at the end, in the calling thread, `done` never
    falling. It cancels the download by raising; what it raises comes out as it is. Files that arrived whole are kept.
    `whole` says that nothing else is needed of this commit: only then does the copy serve without the Hub.

    Raises UserError when a file is not there, may not be read, does not fit on the disk or arrived damaged, and when
    the Hub cannot be reached any more and the cache holds no copy of the listing's revision.
    """
    chosen = listing.choose(patterns)
    if not listing.files:
        return Fetched(listing.folder, listing.commit)
    try:
        return _downloaded(listing, chosen, tell, whole)
    except _Stopped as stop:
        stopped = stop.error
    except LocalEntryNotFoundError as error:  # says only that huggingface_hub asked for a file in vain; its cause, why
        return _otherwise(listing, patterns, error.__cause__ or error)
    except (httpx2.HTTPError, OSError) as error:
        return _otherwise(listing, patterns, error)
    raise stopped  # out here, it has no other error in its context


def hashes(listing: Listing, patterns: Sequence[str]) -> dict[str, str]:
    """The hash of each file that patterns name, by its path, of the bytes on this machine, all of which are read.

    SHA-256; for what the Hub keeps as a small file, git's SHA-1. Raises UserError for a file that is not there, or is
    not what the Hub states.
    """
    found = {}
    for name in listing.choose(patterns):
        path = listing.folder / name
        stated = _file(listing.files[name]) if listing.files else None
        if stated is None:
            with path.open("rb") as stream:
                found[name] = hashlib.file_digest(stream, "sha256").hexdigest()
        elif stated.is_at(path) and stated.is_intact_at(path):
            found[name] = stated.hash
        else:
            raise UserError(
                f"“{name}” of {listing.location.repo} is not what the Hub states, which has the hash {stated.hash}. "
                f"Delete {path} and download it anew."
            )
    return found


# The ways to the files


def _downloaded(listing: Listing, chosen: Sequence[str], tell: Callable[[Download], None], whole: bool) -> Fetched:
    """Files from the Hub, into the cache where it lacks them. Raises what huggingface_hub does, UserError, _Stopped.

    The cache's layout is a documented one: blobs/<hash>, snapshots/<commit>/<path> (links to the blobs) and
    refs/<revision>, which holds a commit (https://huggingface.co/docs/huggingface_hub/guides/manage-cache).
    """
    repo, commit, folder = cast(str, listing.location.repo), cast(str, listing.commit), listing.folder
    files = {name: _file(listing.files[name]) for name in chosen}

    cache = _cache(repo)
    here = {name for name, file in files.items() if file.is_at(folder / name)}
    to_come = {files[name] for name in files.keys() - here}  # content that two files share comes once
    needed = sum(file.size for file in to_come if not file.is_at(cache / "blobs" / file.hash))
    if needed > _free():
        raise _no_space(repo, needed)
    progress = _Progress(repo, sum(file.size for file in files.values()), tell)
    progress.arrived(sum(files[name].size for name in here))
    for name, file in files.items():
        if name not in here:
            _download(repo, commit, name, file, progress)
            progress.arrived(file.size)
    if whole:
        _note(cache, listing.location.revision, commit)
    return Fetched(folder, commit)


def _download(repo: str, commit: str, name: str, file: "_File", progress: "_Progress") -> None:
    """One file into the cache, unless its content is there under another name or commit."""
    cache = _cache(repo)
    link, blob = cache / "snapshots" / commit / name, cache / "blobs" / file.hash
    for path in (link, blob):
        if path.is_file() and not file.is_at(path):  # a crash cut it short; huggingface_hub would take it for whole
            path.unlink(missing_ok=True)
    is_new = not blob.exists()
    try:
        hf_hub_download(repo, name, revision=commit, tqdm_class=cast(Any, progress.bar))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_space(repo, progress.total - progress.whole) from error
        raise
    if is_new and not file.is_intact_at(link):
        for path in (link, blob):
            path.unlink(missing_ok=True)
        raise UserError(f"“{name}” of {repo} arrived damaged and was deleted. Try again to download it anew.")


def _otherwise(listing: Listing, patterns: Sequence[str], error: BaseException) -> Fetched:
    """After an error of a download: what the cache holds of the revision, if it is that the Hub cannot be reached."""
    copy = _cached(listing.location, error)
    copy.choose(patterns)
    return Fetched(copy.folder, copy.commit)


def _cached(place: Location, error: BaseException) -> Listing:
    """After an error of a request: what the cache holds of the revision, if it is that the Hub cannot be reached."""
    if refusal := _refusal(error, place):
        raise UserError(refusal) from error
    why = _why_unreachable(error)
    cache = _cache(cast(str, place.repo))
    noted = cache / "refs" / place.revision
    commit = noted.read_text(encoding="utf-8").strip() if noted.is_file() else place.revision
    folder = cache / "snapshots" / commit
    if not _COMMIT.fullmatch(commit) or not folder.is_dir():
        raise NotHere(
            f"{why}, and {place.repo} at “{place.revision}” has not been downloaded before. {_ADVICE}"
        ) from error
    return Listing(place, folder, commit, _in_folder(folder), {}, why)


# The Hub's list of files, and the cache


@dataclass(frozen=True)
class _File:
    """What a file of a repository must be."""

    size: int
    """Bytes."""
    hash: str
    """SHA-256 of a large file, git's SHA-1 of a small one: what the cache names its content by."""

    def is_at(self, path: Path) -> bool:
        """Whether it is at `path`, as far as its length says."""
        return path.is_file() and path.stat().st_size == self.size

    def is_intact_at(self, path: Path) -> bool:
        """Whether it is at `path` byte by byte."""
        is_large = len(self.hash) == 64
        digest = hashlib.sha256() if is_large else hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
        return digest.hexdigest() == self.hash


def _listed(repo: str, revision: str) -> tuple[str, Mapping[str, RepoSibling]]:
    """The commit that a revision is, and the Hub's list of the files there, by path."""
    try:
        info = HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except HfHubHTTPError:
        raise
    except (KeyError, TypeError, ValueError) as error:  # such as the login page of a hotel
        raise httpx2.RequestError("The answer is not the Hub's.") from error
    if info.sha is None or not _COMMIT.fullmatch(info.sha):
        raise httpx2.RequestError("The answer names no commit.")
    return info.sha, {file.rfilename: file for file in info.siblings or ()}


def _file(listed: RepoSibling) -> _File:
    """Size and hash from the Hub's list."""
    digest = listed.blob_id if listed.lfs is None else listed.lfs.sha256
    if listed.size is None or digest is None:
        raise httpx2.RequestError("The answer names no size or no hash.")
    return _File(listed.size, digest)


def _cache(repo: str) -> Path:
    """Where huggingface_hub keeps a repository."""
    root = Path(constants.HF_HUB_CACHE).expanduser().resolve()
    return root / repo_folder_name(repo_id=repo, repo_type="model")


def _note(cache: Path, revision: str, commit: str) -> None:
    """Note which commit a revision is, for when the Hub cannot be reached. Best effort: a cache may be read-only."""
    path = cache / "refs" / revision
    if revision == commit:
        return
    try:
        if path.is_file() and path.read_text(encoding="utf-8") == commit:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, shared=True) as beside:
            beside.write_text(commit, encoding="utf-8")
    except OSError:
        pass


def _free() -> int:
    """Bytes free on the disk of the cache, which may not have been made yet."""
    cache = Path(constants.HF_HUB_CACHE).expanduser().resolve()
    return shutil.disk_usage(next(folder for folder in (cache, *cache.parents) if folder.exists())).free


def _no_space(repo: str, needed: int) -> NotHere:
    """The sentence for a full disk; `needed` are the bytes still to come."""
    return NotHere(
        f"{repo} needs {size_in_words(needed)} in {constants.HF_HUB_CACHE}, where {size_in_words(_free())} are free. "
        f"Make room, or let HF_HOME name a folder on another disk."
    )


# Choosing files


def _choose(patterns: Sequence[str], find: _Find) -> tuple[list[str], list[str]]:
    """The files that patterns name, each once, and the patterns that nothing satisfies."""
    chosen: dict[str, None] = {}
    missing = []
    for pattern in patterns:
        for alternative in pattern.split("|"):
            found = [find(part) for part in alternative.split("&") if part]
            if all(_whole(names) for names in found):  # of the empty alternative nothing is missing
                chosen.update(dict.fromkeys(chain.from_iterable(found)))
                break
        else:
            missing.append(pattern)
    return list(chosen), missing


def _whole(names: Sequence[str]) -> bool:
    """Whether there are files, and of files in shards all."""
    shards = [int(match[1]) for name in names if (match := _SHARD.search(name))]
    return bool(names) and all(total == len(names) for total in shards)


def _among(names: Mapping[str, Any]) -> _Find:
    """Find files in a list of paths. (A `Path.match` would compare the end of a path only.)"""

    def matches(name: str, path: str) -> bool:
        parts, wanted = name.split("/"), path.split("/")
        return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))

    return lambda path: [name for name in names if matches(name, path)]


def _in_folder(folder: Path) -> _Find:
    """Find files in a folder, without walking through all of it."""
    return lambda path: sorted(found.relative_to(folder).as_posix() for found in folder.glob(path) if found.is_file())


# Words


def _in_words(patterns: Sequence[str]) -> str:
    """Patterns for the reader: "a, or b and c; d"."""
    return "; ".join(", or ".join(pattern.split("|")).replace("&", " and ") for pattern in patterns)


def _lacks(where: str, missing: Sequence[str], names: Sequence[str], hint: _Hint) -> str:
    """The sentence for files that are not there."""
    few = sorted(names)[:_SHOWN]
    holds = f"It holds {', '.join(few)}{' …' if len(names) > _SHOWN else ''}." if few else "It is empty."
    advice = hint(names) or "Choose a place that has what is missing."
    return f"{where} lacks {_in_words(missing)}. {holds} {advice}"


def _refusal(error: BaseException, place: Location) -> str | None:
    """The sentence for an error of a download; None when the Hub could not be reached."""
    if isinstance(error, GatedRepoError):
        return (
            f"{place.repo} asks for its licence to be accepted. Accept it at {constants.ENDPOINT}/{place.repo} and set "
            f"HF_TOKEN to a token of that account, then try again."
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{place.repo} has no revision “{place.revision}”. Name one of its branches, tags or commits."
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if "invalid credentials" in (error.server_message or "").lower():
            return "The Hugging Face Hub does not accept the token in HF_TOKEN. Replace it, or leave it out."
        if status in (401, 403) or isinstance(error, RepositoryNotFoundError):
            return (
                f"The Hugging Face Hub has no repository {place.repo} that may be read from here. Correct the name; "
                f"if the repository is private, set HF_TOKEN to a token that may read it."
            )
        if status >= 500 or status in (408, 429):
            return None
        return f"The Hugging Face Hub refuses {place.repo} (HTTP {status}). Choose another setup."
    if not isinstance(error, OSError) or isinstance(error, ConnectionError):
        return None
    if error.errno is not None:
        return (
            f"{place.repo} cannot be kept in {constants.HF_HUB_CACHE} ({error.strerror}). "
            f"Let HF_HOME name a folder that can be written."
        )
    if isinstance(error, FileMetadataError):  # an answer without the headers of the Hub
        return None
    return f"{place.repo} arrived incomplete, and what was incomplete was deleted. Try again to download it anew."


def _why_unreachable(error: BaseException) -> str:
    """The first half of a sentence: why there is no answer from the Hub."""
    if constants.is_offline_mode():
        return "Downloads are switched off here (HF_HUB_OFFLINE)"
    if isinstance(error, httpx2.TimeoutException):
        return "The Hugging Face Hub does not answer in time"
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status == 429:
            return "The Hugging Face Hub asks this machine to wait (HTTP 429, too many requests)"
        return f"The Hugging Face Hub is out of order (HTTP {status})"
    return "The Hugging Face Hub cannot be reached"


# Progress


class _Stopped(BaseException):
    """What `tell` raised, past all that catches errors of downloads, some of it to try again."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Progress:
    """Bytes of all files of one download, told as they come. Used by one thread only."""

    def __init__(self, what: str, total: int, tell: Callable[[Download], None]) -> None:
        self.what = what
        self.total = total
        self.tell = tell
        self.whole = 0
        self.part = 0
        self.told = 0

    def arrived(self, n: int) -> None:
        """A file of n bytes is here, or several."""
        self.whole += n
        self.part = 0
        self._tell()

    def bar(self, **_settings: object) -> Self:
        """What huggingface_hub calls as a `tqdm_class`, once for each file that it does download."""
        self.part = 0
        return self

    def update(self, n: float) -> None:
        """Another n bytes of the file; fewer than none when a server had to start the file over."""
        self.part += int(n)
        self._tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Nothing is open."""

    def _tell(self) -> None:
        self.told = max(self.told, min(self.whole + self.part, self.total))
        try:
            self.tell(Download(self.what, self.told, self.total))
        except BaseException as error:
            raise _Stopped(error) from error
