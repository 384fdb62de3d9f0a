"""What the bundled setup's components are about, against the truth: ``python -m core.bundled.concept_quality``.

The scenes have known contents (`core.scenes.factors`), so that the concept index can be held against them.

1. A component fires *strongly* in a picture when its largest activation over the tokens reaches half of its peak, the
   largest that the index saw. That is what its reference pictures show; what it does faintly in passing is left out.
   The table says what other shares of the peak would have given.
2. On the scenes of the index, each component is matched with the one factor that its strong firing goes with best, by
   the correlation phi of two yes-or-no's. A factor that is nearly everywhere gains nothing by that, and neither does
   one that is a small corner of what the component fires for.
3. On other scenes, which had no part in the choice, its precision is measured: the share of pictures in which it fires
   strongly that hold the factor. A match counts where the lower end of its 95 % interval (Wilson) is above the factor's
   share of all pictures. A component with fewer than 8 strong pictures in either set is too rare to tell.
4. Two controls: each component's strong pictures dealt out at random, and as many random directions of the residual,
   each strong in as many pictures as a component.
5. Label guesses are right where they name the factor that the component is matched with.

Every share is given as a count and what it is of.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..concepts.index import ConceptIndex
from ..errors import UserError
from ..files import ASSETS
from ..records import Record
from ..scenes.factors import EVERYWHERE, FACTORS, KINDS, names, table, where
from ..scenes.sampling import SIDE, index_scenes
from ..scenes.scene import Painter, Scene
from ..setups.loading import Setup, load_setup
from ..stats import rank_correlation, wilson
from ..words import decimal, in_percent, markdown_table

REPORT = ASSETS / "bundled" / "concepts.json"
STRONG = 0.5
"""Share of its peak from which a component's activation counts as strong."""
STRENGTHS = (0.0, 0.25, STRONG, 0.75)
"""Other choices of it; at 0, whatever is above 0."""
FEWEST = 8
"""Strong pictures below which nothing is said of a component. With 8 of 8 right, the interval begins at 68 %."""
BARS = (0.5, 0.7, 0.9)
"""Precisions that are counted."""
ABOUT = 0.7
"""The precision from which a component is taken to be about its factor."""
SEED = 0
_BATCH = 64
_BUILD = "Build it: python -m core.indexing --setup bundled --pictures scenes:index --out assets/bundled/index"

Plain = dict[str, Any]
"""What `json.dumps` takes."""


JUDGED = 8_000
"""Scenes on which precision is measured; factors are chosen on all of the index's."""
PART = 256
"""Of both, the first so many that a test looks at again. Whole batches, so that it does the same sums."""


@dataclass(frozen=True, eq=False, repr=False)
class Seen(Record):
    """What is in each of N scenes, and what the components do there."""

    scenes: tuple[Scene, ...]
    """What was drawn."""
    has: np.ndarray
    """bool [N, F]: the factors each holds, in the order of `FACTORS`."""
    largest: np.ndarray
    """float32 [N, m]: the largest activation over the tokens in scope."""
    token: np.ndarray
    """int16 [N, m]: where that is; 0 is CLS."""
    random: np.ndarray
    """float32 [N, m]: the largest of <x_t - b_t, r_j> over the tokens in scope, for m random directions r_j."""

    def first(self, n: int) -> Seen:
        """The first n scenes alone."""
        return Seen(self.scenes[:n], self.has[:n], self.largest[:n], self.token[:n], self.random[:n])


@torch.no_grad()
def look(setup: Setup, painter: Painter, scenes: Sequence[Scene]) -> Seen:
    """Draw scenes, and see every component, and as many random directions, in each."""
    clip, dictionary = setup.clip, setup.dictionary
    shape = dictionary.width, dictionary.n_components
    directions = clip.tensor(np.random.default_rng(SEED).normal(size=shape).astype(np.float32))
    scope = dictionary.tokens(clip.n_tokens)
    largest, token, random = [], [], []
    for start in tqdm(range(0, len(scenes), _BATCH), desc="pictures", unit="batch", leave=False):
        crops = np.stack([painter.paint(scene) for scene in scenes[start : start + _BATCH]])
        x = clip.residual(clip.pixels(crops))
        found = dictionary.encode(x).max(1)
        largest.append(found.values.cpu().numpy())
        token.append(found.indices.cpu().numpy().astype(np.int16))
        seen = (x - dictionary.bias_at(x))[:, scope.start : scope.stop]
        random.append((seen @ directions).amax(1).cpu().numpy())
    return Seen(tuple(scenes), table(scenes), *(np.concatenate(parts) for parts in (largest, token, random)))


def strong(values: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Where a component fires, and as much as `least` [m]; values [N, m] -> bool [N, m]."""
    return (values > 0) & (values >= least)


def equally_rare(values: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The `least` [m] for which values [N, m] are `strong` in `count` [m] pictures; fewer where fewer are above 0."""
    ranked = np.concatenate([-np.sort(-values, axis=0), np.full_like(values[:1], np.inf)])
    return ranked[np.where(count > 0, count - 1, -1), np.arange(values.shape[1])]


# ---- matching


def phi(strong: np.ndarray, has: np.ndarray) -> np.ndarray:
    """The correlation of each component's strong firing, bool [N, m], with each factor, bool [N, F]: float64 [m, F].

    (p_sf - p_s p_f) / sqrt(p_s (1 - p_s) p_f (1 - p_f)), -1 to 1; 0 for what is the same in all pictures.
    """
    # Counts are exact in float32, and BLAS adds them fast.
    both = (strong.T.astype(np.float32) @ has.astype(np.float32)).astype(np.float64) / max(1, len(has))
    s, f = strong.mean(0, dtype=np.float64)[:, None], has.mean(0, dtype=np.float64)[None]
    spread = np.sqrt(s * (1 - s) * f * (1 - f))
    return np.divide(both - s * f, spread, out=np.zeros(both.shape), where=spread > 0)


@dataclass(frozen=True, eq=False, repr=False)
class Matches(Record):
    """For each of m components, the factor that it goes with best, chosen on some pictures and judged on others."""

    factor: np.ndarray
    """int [m]: a place in `FACTORS`."""
    chosen: np.ndarray
    """int [m]: pictures in which it fires strongly, of those it was chosen on."""
    strong: np.ndarray
    """int [m]: the same, of those it is judged on."""
    right: np.ndarray
    """int [m]: of these, those that hold the factor."""
    present: np.ndarray
    """int [m]: all pictures it is judged on that hold the factor."""
    pictures: int
    """Pictures it is judged on."""
    least: np.ndarray
    """float64 [m]: the lower end of the precision's interval."""

    @property
    def told(self) -> np.ndarray:
        """Whether there are pictures enough to say something, bool [m]."""
        return np.minimum(self.chosen, self.strong) >= FEWEST

    @property
    def precision(self) -> np.ndarray:
        """Share of its strong pictures that hold the factor, [m]."""
        return self.right / np.maximum(self.strong, 1)

    def reach(self, bar: float) -> np.ndarray:
        """Whose precision reaches `bar`, beyond what the factor's frequency would give, bool [m]."""
        return self.told & (self.precision >= bar) & (self.least > self.present / max(1, self.pictures))

    def surely_reach(self, bar: float) -> np.ndarray:
        """The same where even the lower end of the interval reaches it, bool [m]."""
        return self.reach(bar) & (self.least >= bar)


def match(chosen: np.ndarray, chosen_has: np.ndarray, judged: np.ndarray, judged_has: np.ndarray) -> Matches:
    """From strong firing [N, m] and factors held [N, F], bool: of the pictures to choose on, and to judge on.

    Of factors that go equally well with a component, the first in `FACTORS` is taken.
    """
    factor = phi(chosen, chosen_has).argmax(1)
    held = judged_has[:, factor]
    n_strong, n_right = judged.sum(0), (judged & held).sum(0)
    pairs = list(zip(n_right.tolist(), n_strong.tolist(), strict=True))
    least = {pair: wilson(*pair)[0] for pair in set(pairs)}  # scipy takes its time for each, and many are alike
    return Matches(
        factor=factor,
        chosen=chosen.sum(0),
        strong=n_strong,
        right=n_right,
        present=held.sum(0),
        pictures=len(judged),
        least=np.array([least[pair] for pair in pairs]),
    )


# ---- what is told of them


def _kind(matches: Matches) -> np.ndarray:
    """The kind of each component's factor, [m]."""
    return np.array([FACTORS[factor][0] for factor in matches.factor])


def _share(value: float) -> float | None:
    """To four places; None for what does not exist."""
    return round(float(value), 4) if np.isfinite(value) else None


def _of(right: int, of: int) -> Plain:
    return {"right": int(right), "of": int(of)}


def counts(matches: Matches, among: np.ndarray | None = None) -> Plain:
    """How many components, of those `among` [m], reach each bar, and surely; how many factors they are about."""
    of = matches.told if among is None else among & matches.told
    return {
        "components": int(of.sum()),
        "reach": {str(bar): int((of & matches.reach(bar)).sum()) for bar in BARS},
        "surely": {str(bar): int((of & matches.surely_reach(bar)).sum()) for bar in BARS},
        "factors": len(np.unique(matches.factor[of & matches.reach(ABOUT)])),
    }


def best_of_each(matches: Matches, kind: str) -> Plain:
    """The component about each value of a kind that is the most surely precise, with its counts."""
    about, least = matches.reach(ABOUT), matches.least
    found = {}
    for value in KINDS[kind].values:
        candidates = np.flatnonzero(about & (matches.factor == FACTORS.index((kind, value))))
        if len(candidates):
            j = int(candidates[least[candidates].argmax()])
            counted = {key: int(getattr(matches, key)[j]) for key in ("right", "strong", "present")}
            found[value] = {"component": j} | counted
    return found


def recall(matches: Matches, among: np.ndarray) -> Plain:
    """How much of its factor a component finds, against how frequent that is: medians over the components `among` [m].

    Of the pictures that hold the factor, the share in which it fires strongly; of all pictures, the share that hold it.
    None without components.
    """
    if not among.any():
        return {"median": None, "frequency": None}
    found, held = matches.right[among], matches.present[among]
    return {"median": _share(np.median(found / held)), "frequency": _share(np.median(held / matches.pictures))}


def places(seen: Seen, firing: np.ndarray, cells: int, matches: Matches, among: np.ndarray) -> Plain:
    """Where components are strongest, in the strong pictures, bool [N, m], that hold their factor.

    On a patch, of cells x cells, that shows it; on CLS; or elsewhere. And what share of the patches shows it: a patch
    drawn at random would be `on` it as often. Each component `among` [m] counts the same: mean shares, to four places;
    None of kinds that are everywhere.
    """
    shares = []
    for j in np.flatnonzero(among):
        factor = FACTORS[matches.factor[j]]
        rows = np.flatnonzero(firing[:, j] & seen.has[:, matches.factor[j]])
        token = seen.token[rows, j].astype(int)
        on = area = np.nan
        if factor[0] not in EVERYWHERE:
            masks = np.stack([where(seen.scenes[row], factor, cells).ravel() for row in rows])
            on = (masks[np.arange(len(rows)), np.maximum(token - 1, 0)] & (token > 0)).mean()
            area = masks.mean()
        shares.append((on, (token == 0).mean(), area))
    means = np.mean(shares, axis=0) if shares else np.full(3, np.nan)
    return {name: _share(mean) for name, mean in zip(("on", "cls", "area"), means, strict=True)}


def guesses(index: ConceptIndex, matches: Matches, firing: np.ndarray, has: np.ndarray) -> Plain:
    """How often the index's label guesses say what a component is about; strong firing [N, m], factors held [N, F].

    - Of the components that are about a factor which captions have a word for: is the first guess, or one of the three,
      that word? By chance: how often the first guess of any component told of is.
    - Of all components told of: what share of their strong pictures holds what the first guess names, be it as a thing,
      a written word or a background? By chance: what share of all pictures does.
    - Are clearer guesses better in either respect, and within one kind of factor (rank correlation)?
    """
    vocabulary = (*index.manifest.vocabulary, "")  # the place -1, for no guess, is the last
    accepted = [names(FACTORS[factor]) for factor in matches.factor]
    right = np.array([[vocabulary[k] in words for k in row] for row, words in zip(index.label, accepted, strict=True)])
    first = index.label[:, 0]
    told = matches.told & (first >= 0)
    about = told & matches.reach(ABOUT)
    named = about & np.array([bool(words) for words in accepted])
    chance = np.array([np.mean([vocabulary[k] in words for k in first[told]] or [False]) for words in accepted])
    kind = _kind(matches)

    def of(among: np.ndarray) -> Plain:
        return {
            "first": _of(right[among, 0].sum(), among.sum()),
            "three": _of(right[among].any(1).sum(), among.sum()),
            "chance": _share(np.mean(chance[among]) if among.any() else np.nan),
            "clarity": _share(rank_correlation(index.clarity[among], right[among, 0].astype(float))),
        }

    columns = [[word in names(factor) for factor in FACTORS] for word in vocabulary]
    holds = np.stack([has[:, column].any(1) for column in columns], axis=1)  # [N, V]
    held = np.array(
        [holds[fires, guess].mean() if fires.any() else 0.0 for fires, guess in zip(firing.T, first, strict=True)]
    )
    return {
        "kinds": {name: of(named & (kind == name)) for name in KINDS if (named & (kind == name)).any()},
        "together": of(named),
        "without_a_word": int((about & ~named).sum()),
        "held": {
            "components": int(told.sum()),
            "mean": _share(np.mean(held[told]) if told.any() else np.nan),
            "chance": _share(holds[:, first[told]].mean() if told.any() else np.nan),
        },
        "trust": {
            name: {"right": thirds(by[named], right[named, 0]), "held": thirds(by[told], held[told])}
            for name, by in (("clarity", index.clarity), ("alignment", index.alignment[:, 0]))
        },
    }


def thirds(by: np.ndarray, values: np.ndarray) -> Plain:
    """The mean of values [k] over the third of them lowest by a measure [k], the middle and the highest one.

    With the measure's range in each, and the rank correlation of the two. Fewer than 3 have no thirds.
    """
    if len(by) < 3:
        return {"thirds": [], "rank_correlation": None}
    parts = np.array_split(np.argsort(by, kind="stable"), 3)
    return {
        "thirds": [
            {"from": _share(by[part].min()), "to": _share(by[part].max()), "mean": _share(values[part].mean())}
            for part in parts
        ],
        "rank_correlation": _share(rank_correlation(by, values.astype(float))),
    }


def measure(index: ConceptIndex, chosen: Seen, judged: Seen, cells: int) -> Plain:
    """All that the report says, from scenes of the index and others; a picture has cells x cells patches."""

    def matched(chosen_firing: np.ndarray, judged_firing: np.ndarray) -> Matches:
        return match(chosen_firing, chosen.has, judged_firing, judged.has)

    def firing(share: float) -> tuple[np.ndarray, np.ndarray]:
        least = share * index.peak
        return strong(chosen.largest, least), strong(judged.largest, least)

    fires = firing(STRONG)
    matches = matched(*fires)
    rng = np.random.default_rng(SEED)
    least = equally_rare(chosen.random, fires[0].sum(0))
    kind, about = _kind(matches), matches.reach(ABOUT)
    at = {str(share): matched(*firing(share)) for share in STRENGTHS}
    return {
        "pictures": {"chosen": len(chosen.scenes), "judged": len(judged.scenes)},
        "components": len(index.peak),
        "dead": int((index.peak == 0).sum()),
        "too_rare": int((~matches.told & (index.peak > 0)).sum()),
        "kinds": {
            name: counts(matches, kind == name)
            | {"best": best_of_each(matches, name), "recall": recall(matches, about & (kind == name))}
            | {"places": places(judged, fires[1], cells, matches, about & (kind == name))}
            for name in KINDS
        },
        "together": counts(matches),
        "controls": {
            "shuffled": counts(matched(*(rng.permuted(pictures, axis=0) for pictures in fires))),
            "directions": counts(matched(strong(chosen.random, least), strong(judged.random, least))),
        },
        "strengths": {share: counts(found) | {"strong": float(np.median(found.strong))} for share, found in at.items()},
        "guesses": guesses(index, matches, fires[1], judged.has),
    }


def report(setup: Setup) -> Plain:
    """What `assets/bundled/concepts.json` holds. Raises UserError where the setup has no concept index of scenes."""
    index = setup.index
    if index is None:
        why = setup.index_trouble or "The catalog names none."
        raise UserError(f"The setup {setup.card.name!r} has no concept index to be measured. {why} {_BUILD}")
    if index.manifest.source.get("name") != "scenes:index":
        raise UserError(f"This concept index was not made of scenes whose contents are known. {_BUILD}")
    cells, painter = setup.clip.grid[0], Painter(SIDE)
    chosen = look(setup, painter, index_scenes(index.manifest.pictures, "index"))
    judged = look(setup, painter, index_scenes(JUDGED, "test"))
    return {
        "setup": setup.card.name,
        "fingerprint": index.manifest.setup.fingerprint,
        "strong": STRONG,
        "fewest": FEWEST,
        **measure(index, chosen, judged, cells),
        "part": measure(index, chosen.first(PART), judged.first(PART), cells),
    }


# ---- in words


def _counted(found: Mapping[str, int]) -> str:
    """17 of 20, 85 % (64 to 95)."""
    right, of = found["right"], found["of"]
    low, high = wilson(right, of)
    return f"{right} of {of}, {in_percent(right / of)} ({100 * low:.0f} to {100 * high:.0f})" if of else "–"


def _reached(found: Plain) -> list[str]:
    surely = found["surely"]
    return [str(found["components"]), *(f"{n} ({surely[bar]})" for bar, n in found["reach"].items())]


def _bars() -> list[str]:
    return [f"≥ {100 * bar:.0f} %" for bar in BARS]


def matches_table(found: Plain) -> str:
    """How many components match a factor of each kind, and the controls."""
    rows = []
    for name, kind in KINDS.items():
        counted = found["kinds"][name]
        spots, best = counted["places"], counted["best"]
        example = spot = found_in = "–"
        if best:
            value, top = max(best.items(), key=lambda item: wilson(item[1]["right"], item[1]["strong"])[0])
            example = f"{value}: {top['component']}, {top['right']} of {top['strong']}"
            on = "" if spots["on"] is None else f"{in_percent(spots['on'])} (covers {in_percent(spots['area'])}) / "
            spot = f"{on}{in_percent(spots['cls'])}"
            found_in = f"{in_percent(counted['recall']['median'])} / {in_percent(counted['recall']['frequency'])}"
        rows.append(
            [kind.name, *_reached(counted), f"{counted['factors']} of {len(kind.values)}", found_in, spot, example]
        )
    for said, counted in (
        ("**any of these**", found["together"]),
        ("*the same, pictures dealt out at random*", found["controls"]["shuffled"]),
        ("*random directions*", found["controls"]["directions"]),
    ):
        rows.append([said, *_reached(counted), f"{counted['factors']} of {len(FACTORS)}", "", "", ""])
    heads = ["best match", "components", *_bars(), f"have one {_bars()[BARS.index(ABOUT)]}", "recall / frequency"]
    return markdown_table([*heads, "strongest on it / on CLS", "surest: component"], rows)


def strengths_table(found: Plain) -> str:
    """What other meanings of “strongly” would have given."""
    said = {str(share): f"at least {100 * share:.0f} % of its peak" for share in STRENGTHS} | {"0.0": "fires at all"}
    rows = [[said[share], f"{row['strong']:.0f}", *_reached(row)] for share, row in found["strengths"].items()]
    return markdown_table(["strongly means", "median pictures", "components told of", *_bars()], rows)


def guesses_table(found: Plain) -> str:
    """How often label guesses name what a component is about."""
    parts = {KINDS[name].name: part for name, part in found["guesses"]["kinds"].items()}
    parts["**any of these**"] = found["guesses"]["together"]
    rows = [
        [
            said,
            _counted(part["first"]),
            _counted(part["three"]),
            in_percent(part["chance"]),
            decimal(part["clarity"]),
        ]
        for said, part in parts.items()
    ]
    return markdown_table(
        ["about", "the first guess is right", "one of three is", "first, by chance", "rank correlation with clarity"],
        rows,
    )


def trust_table(found: Plain) -> str:
    """Whether guesses of higher clarity or alignment are better."""
    rows = []
    for name, parts in found["guesses"]["trust"].items():
        for part, said in (("right", "first guess right"), ("held", "strong pictures hold what it names")):
            cells = [
                f"{in_percent(third['mean'])} ({decimal(third['from'])} to {decimal(third['to'])})"
                for third in parts[part]["thirds"]
            ]
            rows.append([name, said, *(cells or ["–"] * 3), decimal(parts[part]["rank_correlation"])])
    return markdown_table(["by", "", "lowest third", "middle", "highest third", "rank correlation"], rows)


def tables(found: Plain) -> str:
    """What the model card says of a report, in Markdown."""
    pictures, told = found["pictures"], found["together"]["components"]
    half = found["together"]["reach"][str(BARS[0])]
    held = found["guesses"]["held"]
    return "\n\n".join(
        [
            "Each component is matched with one of the known contents of a scene, chosen on the "
            f"{pictures['chosen']:,} scenes of the index and judged on {pictures['judged']:,} others. How many have a "
            "precision of 50, 70 and 90 % or more: of the pictures in which they fire strongly (half of their peak or "
            "more), the share that hold their match. In brackets: how many surely do, all of the 95 % interval lying "
            f"above the bar. Of those at {100 * ABOUT:.0f} %: the median share of the pictures with the match in "
            "which they fire strongly, beside its share of all pictures; and how often their strongest token lies on "
            "it (beside the share of the picture that it covers) and how often it is CLS.",
            matches_table(found),
            f"Of {found['components']} components, {found['dead']} never fired, {found['too_rare']} fired strongly in "
            f"fewer than {found['fewest']} pictures of either set, and {told - half} of the other {told} match nothing "
            f"of this at {100 * BARS[0]:.0f} %. With other meanings of “strongly”:",
            strengths_table(found),
            f"Label guesses of the components that match at {100 * ABOUT:.0f} % something the captions have a word for "
            f"(for {found['guesses']['without_a_word']} that match, such as those about a letter, the stamp or a "
            "colour, there is none, and the guess cannot be right); 95 % intervals in brackets:",
            guesses_table(found),
            f"Over all {held['components']} components, {in_percent(held['mean'])} of the strong pictures hold what "
            f"the first guess names, as a thing, a word or a background ({in_percent(held['chance'])} of all pictures "
            "do). "
            "By clarity and alignment, whose ranges are in brackets:",
            trust_table(found),
        ]
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPORT, help="where the report goes")
    arguments = parser.parse_args()
    try:
        found = report(load_setup("bundled"))
    except UserError as trouble:
        raise SystemExit(str(trouble)) from trouble
    arguments.out.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(tables(found))


if __name__ == "__main__":
    main()
