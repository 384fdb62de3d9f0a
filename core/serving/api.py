"""API for programs: the questions of the page, words and files in, plain JSON out."""

from ..errors import UserError
from ..model.prompts import TEMPLATES, parse_classes
from ..session.typed import named_target
from ..setups.catalog import find
from ..setups.pool import SetupPool
from ..workbench import Workbench
from . import api_json as plain
from .api_json import Plain

SINGLE = TEMPLATES["single"]
EXAMPLES = 16
"""Reference pictures of a kind, at most."""


class Programs:
    """Answers by the setups of a pool. Every answer names the setup it came from; every method raises UserError.

    Answers among classes have `notes`, which say how the text with these was read.
    """

    def __init__(self, pool: SetupPool[Workbench], default: str) -> None:
        """Answer by `pool`, and by the setup `default` where none is named."""
        self._pool, self._default = pool, default

    def setups(self) -> list[Plain]:
        """What is on offer."""
        loaded = self._pool.loaded()
        return [plain.card(card) | {"loaded": card.name in loaded} for card in self._pool.cards.values()]

    def predict(self, picture: str | None, classes: str | None, setup: str | None) -> Plain:
        """The prediction among the classes."""
        bench, asked = self._bench(setup), parse_classes(classes or "")
        found = bench.classify(bench.open(picture), asked.names, SINGLE)
        return self._told(bench, plain.prediction(found), asked.notes)

    def attribute(
        self,
        picture: str | None,
        classes: str | None,
        wanted: str | None,
        against: str | None,
        shown: int | None,
        setup: str | None,
    ) -> Plain:
        """The strongest components for a target, by default the predicted class against the next."""
        bench, asked = self._bench(setup), parse_classes(classes or "")
        trace = bench.open(picture)
        target = named_target(bench.classify(trace, asked.names, SINGLE), wanted, against)
        found = bench.attribute(trace, asked.names, SINGLE, target)
        return self._told(bench, plain.attribution(found, asked.names, max(1, shown or 10)), asked.notes)

    def steer(
        self, picture: str | None, classes: str | None, levers: object, tokens: object, setup: str | None
    ) -> Plain:
        """The prediction before and after an edit."""
        bench, asked = self._bench(setup), parse_classes(classes or "")
        edit = plain.edit(levers, tokens)
        found = bench.compare(bench.open(picture), edit, asked.names, SINGLE)
        return self._told(bench, plain.comparison(found), asked.notes)

    def component(self, number: int | None, classes: str | None, setup: str | None) -> Plain:
        """What is known of a component: the page of it, for programs. With classes also what it pushes among them."""
        if number is None:
            raise UserError("Name a component by its number, from 0.")
        bench = self._bench(setup)
        found = plain.concept(bench.concept(number), bench.family(number))
        found["references"] = {
            "strongest": plain.references(bench.activating_examples(number, "top", EXAMPLES)),
            "usual": plain.references(bench.activating_examples(number, "mid", EXAMPLES)),
            "by_mean": plain.references(bench.activating_examples(number, "mean", EXAMPLES)),
        }
        found["near"] = {
            "by_direction": plain.neighbours(bench.neighbours(number, "direction")),
            "by_firing": plain.neighbours(bench.neighbours(number, "firing")),
        }
        if not (classes or "").strip() or not found["pictures_fired_in"]:
            return self._told(bench, found)
        asked = parse_classes(classes or "")
        found["pushes"] = plain.steering_effects(bench.steering_effects(number, asked.names, SINGLE))
        return self._told(bench, found, asked.notes)

    def search(self, words: str | None, picture: str | None, most: int | None, setup: str | None) -> Plain:
        """The components that fit words, or a picture where there are none."""
        bench, most = self._bench(setup), max(1, most or 10)
        if (words or "").strip():
            found = bench.matches_words(words or "", most)
        else:
            found = bench.matches_picture(bench.open(picture).embedding, most)
        return self._told(bench, {"found": [{"component": m.component, "score": m.score} for m in found]})

    def _bench(self, setup: str | None) -> Workbench:
        return self._pool.get(find(self._pool.cards, setup or self._default).name)

    def _told(self, bench: Workbench, answer: Plain, notes: tuple[str, ...] | None = None) -> Plain:
        told = {} if notes is None else {"notes": list(notes)}
        return answer | told | {"setup": plain.provenance(bench.setup)}
