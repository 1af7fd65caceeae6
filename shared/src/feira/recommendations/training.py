"""What a version has learned: from its files, so that no retry learns it again, else anew."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass

from fsspec import AbstractFileSystem

from feira.recommendations import stored_models
from feira.recommendations.history import History
from feira.recommendations.lists import Chosen, MethodError, Models, choose, fitted
from feira.recommendations.stored_models import ModelFileError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """A method and what it learned.

    :param reranking: by slot, why it is re-ranked, or not
    """

    method: Chosen
    models: Models
    reranking: dict[str, str]


def trained(files: AbstractFileSystem, folder: str, history: History) -> Trained:
    """What was learned from this history and is in the folder; else it is chosen, learned and written there.

    What is not as it was written, or of another history or method, is learned again, and the log says so: of
    the same history that gives the same.
    """
    learned_from = _fingerprint(history)
    try:
        if found := _stored(files, folder, learned_from):
            return found
    except (ModelFileError, MethodError) as error:
        log.warning("%s The models are learned again.", error)
    method, choices = choose(history)
    reranking: dict[str, str] = {slot: choice.told() for slot, choice in choices.items()}
    models = fitted(method, history)
    about = {
        "learned_from": learned_from,
        "method": method.described(),
        "reranking": reranking,
        "model_hash": models.hash(),
    }
    stored_models.write(files, folder, vars(models), about)
    return Trained(method, models, reranking)


def _stored(files: AbstractFileSystem, folder: str, learned_from: str) -> Trained | None:
    found = stored_models.read(files, folder)
    if found is None:
        return None
    held, about = found
    try:
        method, reranking = Chosen.of_described(about["method"]), dict(about["reranking"])
        models = Models(**held)
        expected = (about["learned_from"], about["model_hash"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"{folder}: the models are not what was written: {error!r}."
        ) from error
    if expected != (actual := (learned_from, models.hash())):
        raise ModelFileError(
            f"{folder}: the models are of history and hash {expected}, expected {actual}."
        )
    return Trained(method, models, reranking)


def _fingerprint(history: History) -> str:
    digest = hashlib.sha256(
        json.dumps([list(history.user_ids), list(history.item_ids), history.as_of]).encode()
    )
    for array in (history.users, history.items, history.days):
        digest.update(array.tobytes())
    return digest.hexdigest()
