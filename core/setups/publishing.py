"""Publishing of files as a repository of the Hub, in one commit, with a card that says what they are."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path

import httpx2
from huggingface_hub import CommitOperationAdd, HfApi, ModelCardData
from huggingface_hub.errors import HfHubHTTPError

from ..errors import UserError, first_line

CARD = "README.md"
"""The card's file."""

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_MARKUP = re.compile(r"([\\`*_\[\]{}|#~$])")
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]*")


def check_repository(repo: str) -> None:
    """Raise UserError where that is not `owner/name`."""
    if not _REPOSITORY.fullmatch(repo):
        raise UserError(f"“{repo}” does not name a repository. Write it as owner/name.")


def publish(repo: str, files: Mapping[str, bytes | Path], what: str, said: str, *, private: bool = False) -> str:
    """Put files, by their names there, into the repository `owner/name` in one commit, called `said`; the commit.

    The repository is made where there is none. The token is that of huggingface_hub: HF_TOKEN, or `hf auth login`.
    `what` is published, in a word. Raises UserError where the Hub refuses it or cannot be reached.
    """
    check_repository(repo)
    api = HfApi()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        added = [CommitOperationAdd(name, data) for name, data in files.items()]
        return api.create_commit(repo, added, commit_message=said).oid
    except HfHubHTTPError as error:
        if error.response.status_code in (401, 403):
            raise UserError(
                f"The Hugging Face Hub does not let this token write to {repo}. Set HF_TOKEN to a token that may."
            ) from error
        raise UserError(f"The Hugging Face Hub refuses {repo} ({first_line(error)}). Try again later.") from error
    except (httpx2.HTTPError, OSError, ValueError) as error:
        raise UserError(f"The {what} did not reach the Hub ({first_line(error)}). Try again.") from error


def card(
    title: str,
    body: str,
    *,
    licence: str | None,
    tags: list[str],
    base_model: str | None = None,
    data_set: str | None = None,
    pipeline: str | None = None,
) -> str:
    """The card's text: the head that the Hub reads, a title that stays text, and Markdown below it."""
    known = licence is not None and _LICENCE.fullmatch(licence) is not None
    data = ModelCardData(
        license=licence if known or licence is None else "other",
        license_name=None if known or licence is None else " ".join(licence.split()),
        library_name="clip-levers",
        pipeline_tag=pipeline,
        base_model=base_model,
        datasets=data_set,
        tags=tags,
    )
    return f"---\n{data.to_yaml()}\n---\n# {plain(title)}\n\n{body.strip()}\n"


def plain(text: str) -> str:
    """Anybody's text as text, on one line of Markdown."""
    return _MARKUP.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


def data_set_of(source: Mapping[str, str]) -> str | None:
    """The data set of the Hub that pictures are of, from the manifest of their collection; None for others."""
    name = source.get("name", "")
    return name if source.get("kind") == "dataset" and "/" in name else None


def besides(source: Mapping[str, str]) -> str:
    """What identifies pictures besides their name, from the manifest of their collection, in brackets; or nothing."""
    told = [f"{key} {plain(source[key])}" for key in ("split", "config", "revision", "fingerprint") if source.get(key)]
    return f" ({', '.join(told)})" if told else ""
