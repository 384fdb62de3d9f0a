"""What the visitor sees: plain values in, HTML out. Every text that someone typed passes `escaped`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..methods.steering import MAX_STRENGTH, Edit, Lever
from ..model.prediction import Comparison
from ..pictures.examples import Example
from ..session.visit import Part, Visit
from ..setups.catalog import Location, SetupSpec
from ..setups.health import doubts
from ..setups.loading import Loading, Setup
from .html import count, decimal, escaped, flag, percent, sign, signed
from .images import heat_uri, picture_uri
from .reference_strip import NO_FACES, ONLY_CLS, STRIP, Face, face_words, guess, strip

PANEL_CLASSES = 6
"""Classes beside the picture; the chart has all."""

OPERATIONS = {"suppress": "Suppress", "scale": "Scale", "set": "Set"}
UNITS = {"scale": "× its activation", "set": "its activation, wherever the edit acts"}


@dataclass(frozen=True)
class Range:
    """The slider of a lever."""

    low: float
    """Its left end."""
    high: float
    """Its right end."""
    step: float
    """From one notch to the next."""
    start: float
    """Where it stands at first."""

    @classmethod
    def of(cls, operation: str, peak: float) -> "Range":
        """Scale: -2 to 5 times. Set: up to three times the component's peak activation in this picture."""
        if operation != "set":
            return cls(-2.0, 5.0, 0.1, 1.0)
        peak = peak or 1.0
        reach = min(3 * abs(peak), MAX_STRENGTH)
        step = 10.0 ** np.floor(np.log10(reach / 20))
        reach = float(np.ceil(reach / step) * step)
        return cls(
            -reach if peak < 0 else 0.0, reach, float(step), float(np.clip(np.round(peak / step) * step, -reach, reach))
        )


def header(title: str, claim: str) -> str:
    """The top of the page: what this is."""
    return f"""<header class="top"><h1>{escaped(title)}</h1><p class="claim">{escaped(claim)}</p></header>"""


def setup_choice(card: SetupSpec) -> str:
    """A setup in the list of them."""
    return card.title if card.verified else f"{card.title} · unverified"


def loading(title: str, step: Loading) -> str:
    """How far a setup is on its way."""
    done = ""
    if step.total:
        size = (
            f"{step.done / 1e6:,.0f} of {step.total / 1e6:,.0f} MB" if step.in_bytes else f"{step.done} of {step.total}"
        )
        done = f""" <progress max="{step.total}" value="{step.done}"></progress> <small>{size}</small>"""
    return f"""<div role="status"><p class="notice quiet"><b>{escaped(title)}.</b> {escaped(step.said)}{done}
 <small>The page goes on with the present setup meanwhile.</small></p></div>"""


def setup_line(card: SetupSpec) -> str:
    """What a visitor should know before trusting the setup, where it is named."""
    return f"""<p class="setup-line">{escaped(card.note)}</p>"""


def setup_page(setup: Setup) -> str:
    """What is known of a setup: what it is, where it came from, and how its dictionary did on the examples."""
    card, dictionary = setup.card, setup.dictionary
    scope = {"all": "all tokens", "cls": "the class token only", "patches": "patches only"}[card.scope]
    depth = f"after layer {card.layer} of 0 to {setup.clip.n_layers - 1}"
    facts = [
        ("Good for", escaped(card.good_for)),
        ("CLIP", _place(card.clip, setup.commits.get("clip"))),
        ("Dictionary", _place(card.dictionary, setup.commits.get("dictionary"))),
        ("Reads", f"{dictionary.n_components:,} components of {scope}, {depth}"),
        ("Encodes", escaped(setup.formula)),
        ("Concept index", _index_words(setup)),
        ("Licence", escaped(card.licence)),
        ("More", _link(card.paper, card.paper) if card.paper else ""),
    ]
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts if value)
    unverified = notice(
        "Unverified: its reader is tested on files made in its layout, but nobody has reported loading it from where "
        "it is published. The figures below are this load's own.",
        tone="warn",
    )
    return f"""<div class="about"><div>{"" if card.verified else unverified}<dl class="setup-facts">{listed}</dl></div>
<div>{_health(setup)}</div></div>"""


def _index_words(setup: Setup) -> str:
    if setup.index is None:
        return escaped(setup.index_trouble or "none yet: its components have no pictures")
    made_of = setup.index.manifest
    return escaped(f"over {made_of.pictures:,} pictures of {made_of.source.get('name', 'a collection')}")


def _health(setup: Setup) -> str:
    if setup.health is None:
        return ""
    odd = notice(*doubts(setup.health, setup.card), tone="warn")
    tried = "".join(
        f"<li>{escaped(formula)}: explained variance {explained:.2f}{', taken' * (formula == setup.formula)}</li>"
        for formula, explained in setup.alternatives.items()
    )
    choice = f"<p>Its file does not say how it encodes. Tried:</p><ul>{tried}</ul>" if tried else ""
    source = setup.card.published.source
    rows = "".join(
        f"""<tr><th scope="row">{escaped(row.label)} <small>{escaped(row.remark)}</small></th>
<td>{_figure(row.ours, row.unit)}</td><td>{_figure(row.published, row.unit)}</td></tr>"""
        for row in setup.health.rows(setup.card.published)
    )
    heads = f"""<th scope="col">Checked when it was loaded</th><th scope="col">here</th>
<th scope="col">published{f" <small>{escaped(source)}</small>" if source else ""}</th>"""
    return f"""{odd}<p class="told">{escaped(setup.health.said)}</p>{choice}
<div class="scroll"><table class="health"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"""


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{shown.replace('-', '−')} {escaped(unit)}"


def _place(place: Location, commit: str | None) -> str:
    if place.repo is None:
        return escaped(f"a folder, {place.folder.name if place.folder else place}")
    at = f" <small>at {escaped(commit[:10])}</small>" if commit else ""
    inside = "" if place.file == "." else f" <small>{escaped(place.file)}</small>"
    return _link(f"https://huggingface.co/{place.repo}", place.repo) + inside + at


def _link(address: str, words: str) -> str:
    return f"""<a href="{escaped(address)}" target="_blank" rel="noopener">{escaped(words)}</a>"""


def foot() -> str:
    """The bottom of the page."""
    return """<footer class="foot"><p>Pictures you bring are deleted from the server after about an hour.
<a href="?view=api">Use it from a program</a></p></footer>"""


def notice(*sentences: str, tone: str = "quiet") -> str:
    """Sentences for the visitor. The live region stays in the page when there is nothing to say."""
    said = "".join(f'<p class="notice {tone}">{escaped(words)}</p>' for words in sentences if words)
    return f'<div role="status">{said}</div>'


# ---- beside every tab


def panel(visit: Visit, cue: str | None = None, shown: int = PANEL_CLASSES) -> str:
    """The picture as the model sees it, and the prediction now against before.

    With `cue` (what the twin lacks) comes the button that shows the same scene without it.
    """
    c, pulled = visit.comparison, visit.edit.n_groups
    order = [int(k) for k in c.before.order[:shown]]
    order += [] if c.after.top in order else [c.after.top]
    rest = len(c.before.classes) - len(order)
    rows = "".join(_bar(c, k, bool(pulled)) for k in order)
    tone, words = flip_words(c, pulled)
    legend = '<span class="key now"></span>now'
    if pulled:
        legend = f'<span class="key was"></span>before {legend} ({count(pulled, "lever")})'
    caption, height, width = escaped(visit.subject.caption), *visit.trace.crop.shape[:2]
    return f"""<section class="panel" aria-label="Picture and prediction">
<figure class="seen"><img src="{picture_uri(visit.trace.crop)}" alt="{caption} (as the model sees it)" width="{width}"
 height="{height}"><figcaption>{caption}<small>As the model sees it, {width} × {height} px</small></figcaption>
{_twin(visit, cue)}</figure>
<div class="prediction"><h2>Prediction <small>{legend}</small></h2><ul class="bars">{rows}</ul>
{f'<p class="more">and {rest} more: see Before / after</p>' if rest > 0 else ""}
<p class="flip {tone}" aria-live="polite"><b>{words}</b>
<small>{_moved(c, pulled)}</small></p></div></section>"""


def flip_words(comparison: Comparison, levers: int) -> tuple[str, str]:
    """(tone, sentence): whether the predicted class changed."""
    was, now = (f"“{escaped(p.best)}”" for p in (comparison.before, comparison.after))
    if not levers:
        return "still", f"CLIP says {now}. No lever pulled yet."
    if comparison.flipped:
        return "flipped", f'<span aria-hidden="true">▲</span> Flipped: {was} → {now}'
    return "still", f"No flip: still {now}"


def _moved(c: Comparison, pulled: int) -> str:
    if not pulled:
        return f'<span class="wide">probabilities among {count(len(c.before.classes), "class", "es")}, no others</span>'
    return f'embedding cosine {c.cosine:.3f}<span class="wide"> between before and now (1 = unchanged)</span>'


def _twin(visit: Visit, cue: str | None) -> str:
    if cue is None:
        return ""
    words = f"Show with the {cue}" if visit.subject.twin else f"Show without the {cue}"
    return f"""<button type="button" class="act twin" data-twin aria-pressed="{flag(visit.subject.twin)}"
>{escaped(words)}</button>"""


def _bar(c: Comparison, k: int, pulled: bool) -> str:
    was, now = float(c.before.probabilities[k]), float(c.after.probabilities[k])
    name = escaped(c.before.classes[k])
    change = f'<span class="was">{percent(was)} →</span> ' if pulled else ""
    said = f"{percent(was)} % before, {percent(now)} % now" if pulled else f"{percent(now)} %"
    return f"""<li class="bar{" best" if k == c.after.top else ""}"><span class="name" title="{name}">{name}</span>
<span class="track" role="img" aria-label="{name}: {said}"><i class="was" style="width:{100 * was * pulled:.1f}%"></i><i
 class="now" style="width:{100 * now:.1f}%"></i></span>
<span class="value">{change}<b>{percent(now)} %</b></span></li>"""


# ---- image tab


def gallery(examples: Sequence[Example], thumbs: Sequence[str], chosen: str | None) -> str:
    """The examples as buttons; `chosen` is a name."""
    cells = "".join(
        f"""<button type="button" class="example" data-example="{k}" aria-pressed="{flag(e.name == chosen)}">
<img src="{thumb}" alt="" width="224" height="224"><span>{escaped(e.sentence)}</span></button>"""
        for k, (e, thumb) in enumerate(zip(examples, thumbs, strict=True))
    )
    return f'<div class="gallery" role="group" aria-label="Examples">{cells}</div>'


def unknown_words(unknown: Mapping[str, Sequence[str]], known: Sequence[str]) -> str:
    """A mark on every class with words the setup never saw, and the words it did see."""
    if not unknown:
        return ""
    said = "; ".join(
        f"“{escaped(name)}”" if " ".join(words) == name.lower() else f"“{escaped(name)}” ({escaped(', '.join(words))})"
        for name, words in unknown.items()
    )
    return f"""<div class="notice warn" role="status">
<p class="listed">This demo model has never seen {said}: expect noise there.</p>
<details><summary>The {len(known)} words it knows</summary><p>{escaped(", ".join(known))}</p></details></div>"""


# ---- attribution tab


def target_line(visit: Visit, logit_scale: float) -> str:
    """The target's value and what of it the components can explain."""
    a = visit.attribution
    share = a.completeness.error_share or 0.0
    return f"""<p class="target">{target_words(visit)} stands at <b>{signed(a.value)} logits</b>
<small>(a logit is {logit_scale:.0f} × cosine). Predicted contributions: activation × gradient, summed over tokens.
<b>The SAE misses {percent(share)} %</b> of what flows into this target; no component
 speaks for that part.</small></p>"""


def cards(visit: Visit, faces: Mapping[int, Face] = NO_FACES) -> str:
    """Two columns, for and against. The picture stands once (--picture), each heatmap is a few bytes.

    `faces` by component; empty without a concept index. Their pictures stand in `faces.sheet`, which the page has once.
    """
    strongest = max((abs(part.total) for part in visit.parts), default=1.0)
    halves = []
    wanted, other = f"“{escaped(visit.wanted)}”", f"“{escaped(visit.against)}”"
    alone = visit.against is None
    for tone, shape, title, found in (
        ("for", "▲", f"For {wanted}{'' if alone else f', against {other}'}", [p for p in visit.parts if p.total > 0]),
        (
            "against",
            "▼",
            f"Against {wanted}{'' if alone else f', for {other}'}",
            [p for p in visit.parts if p.total < 0],
        ),
    ):
        listed = "".join(_card(part, visit, strongest, faces.get(part.component)) for part in found)
        listed = listed or '<li class="empty">No component speaks this way here.</li>'
        halves.append(
            f'<section class="half {tone}"><h3><span aria-hidden="true">{shape}</span> {title} '
            f"<small>strongest {len(found)}</small></h3><ul>{listed}</ul></section>"
        )
    return f"""<p class="agreement"><span role="status">{_agreement(visit)}</span>
 <a href="#look">Where it looks ↓</a></p>
<div class="cards" style="--picture:url({picture_uri(visit.trace.crop, 160)})">{"".join(halves)}</div>
<p class="legend"><span class="key for"></span>▲ speaks for <span class="key against"></span>▼ speaks against ·
 heatmap: contribution of each patch in logits, full colour at the card's strongest patch ·
 measured: what the target lost when the model ran without the component{_face_legend(faces)}</p>"""


def _face_legend(faces: Mapping[int, Face]) -> str:
    if not faces:
        return ""
    pictures = next(iter(faces.values())).concept.pictures
    return f""" · small pictures: where the component fires most among {pictures:,} other pictures, the firing part lit.
 <b>The pictures are the evidence; the label is a guess.</b>"""


def _agreement(visit: Visit) -> str:
    """How well prediction and measurement agree over the cards, in words."""
    if visit.agreement is None:
        return "Measuring what the model does without each of these …"
    doubted = sum(bool(disagreement(p.total, p.measured)) for p in visit.parts if p.measured is not None)
    if np.isnan(visit.agreement):
        return ""
    said = f"Predicted and measured effects of these {len(visit.parts)}: rank correlation {visit.agreement:.2f}."
    if not doubted:
        return f"{said} None differs in sign or by more than a factor of two."
    return f"{said} {doubted} of them {'differ' if doubted > 1 else 'differs'} in sign or by more than a factor of two."


def _card(part: Part, visit: Visit, strongest: float, face: Face | None) -> str:
    tone, shape = sign(part.total)
    lever = _lever_of(visit.edit, part.component)
    patches = part.total - part.on_cls
    known = ""
    if face:
        shots = strip(face, face.shots[:STRIP], "where it fires most") if face.shots else ""
        known = f"""{shots}<div class="known">{face_words(face.concept)}</div>"""
    return f"""<li class="card {tone}{" pulled" if lever else ""}" id="component-{part.component}">{heat_of(part)}
<div class="facts"><p class="number"><span><b>#{part.component}</b> {guess(face.concept) if face else ""}</span>
<span class="sum"><span aria-hidden="true">{shape}</span> {signed(part.total)} <small>logits</small></span></p>
<p class="scale" aria-hidden="true"><i style="width:{100 * abs(part.total) / strongest:.0f}%"></i></p>
<p class="detail measured">{_measured(part.total, part.measured)}</p>
<p class="detail">by patches {signed(patches)}, by CLS {signed(part.on_cls)}</p>
<p class="detail">{firing(part)}</p></div>
{known}<p class="actions">{actions(part.component, visit.edit, face)}</p></li>"""


def firing(part: Part) -> str:
    """Where in the visit's picture a component fires, and how strongly."""
    return f"activation up to {part.peak:.3g}, on {part.n_patches} of {part.heat.size} patches"


def actions(component: int, edit: Edit, face: Face | None, more: bool = True) -> str:
    """What can be done with a component, as buttons: pull its lever, or its family's, or open its page."""
    lever = _lever_of(edit, component)
    suppressed = lever is not None and lever.operation == "suppress"
    amplified = lever is not None and lever.operation == "scale" and lever.strength > 1
    buttons = [
        _toggle(component, "suppress", suppressed, "Suppress", "Suppressed ✓"),
        _toggle(component, "amplify", amplified, "Amplify", "Amplified ✓"),
    ]
    if face and face.family and len(face.family.members) > 1:
        n, as_one = len(face.family.members), len(edit.group_of(component)) > 1
        offer, done = f"Suppress family ({n})", f"Family suppressed ({n}) ✓"
        buttons.append(_toggle(component, "family", suppressed and as_one, offer, done))
    if face and more:
        buttons.append(
            f"""<button type="button" class="act" data-component="{component}" data-action="open"
 aria-label="More about component {component}">More</button>"""
        )
    return "\n".join(buttons)


def _measured(predicted: float, measured: float | None) -> str:
    if measured is None:
        return "measuring …"
    said = f"measured {signed(measured)} logits"
    doubt = disagreement(predicted, measured)
    return f"{said}: <b>{doubt}, trust this one</b>" if doubt else said


def disagreement(predicted: float, measured: float) -> str:
    """How a measured effect contradicts its prediction, in words; nothing where they agree within a factor of two.

    Effects that both round to nothing (below 0.01 logits) are not worth a sentence.
    """
    small, large = sorted((abs(predicted), abs(measured)))
    if large < 0.01:
        return ""
    if predicted * measured < 0 and small >= 0.01:
        return "the other way"
    if large <= 2 * small:
        return ""
    return "more than twice as much" if abs(measured) > abs(predicted) else "less than half"


def _toggle(component: int, action: str, on: bool, offer: str, done: str) -> str:
    return f"""<button type="button" class="act" data-component="{component}" data-action="{action}"
 aria-pressed="{flag(on)}" aria-label="{offer} {"of " if action == "family" else ""}component {component}"
>{done if on else offer}</button>"""


# ---- steering tab


def history(visit: Visit) -> str:
    """Undo, redo and reset. What cannot be pressed stays focusable: a press must not lose the keyboard's place."""
    buttons = (
        ("undo", "↶ Undo", bool(visit.history.past)),
        ("redo", "↷ Redo", bool(visit.history.future)),
        ("reset", "Reset all", visit.edit != Edit()),
    )
    return '<div class="history" role="group" aria-label="History">{}</div>'.format(
        "".join(
            f'<button type="button" class="act" data-step="{step}" aria-disabled="{flag(not on)}">{words}</button>'
            for step, words, on in buttons
        )
    )


def levers(visit: Visit) -> str:
    """The levers of the edit. `data-revision` makes each drawing differ, so that undo takes back a drag too."""
    body = """<p class="empty">No lever yet. Go to <b>Attribution</b> and press <b>Suppress</b> on a component.</p>"""
    if visit.edit.levers:
        body = f"<ul>{''.join(_lever(group, visit) for group in visit.edit.groups())}</ul>"
    return f"""<div class="levers" data-revision="{visit.revision}"
 style="--picture:url({picture_uri(visit.trace.crop, 160)})">{body}</div>"""


def _lever(group: Sequence[Lever], visit: Visit) -> str:
    """One lever, or those of a family, which are moved as one."""
    first, parts = group[0], [visit.part(lever.component) for lever in group]
    operation, several = first.operation, len(group) > 1
    name = group_name(group)
    # A family is not set to an activation: its members' usual activations differ, and one number would suit none.
    offered = {key: word for key, word in OPERATIONS.items() if key != "set" or not several or operation == "set"}
    choices = "".join(
        f"""<button type="button" role="radio" data-operation="{key}" aria-checked="{flag(key == operation)}"
 tabindex="{0 if key == operation else -1}">{word}</button>"""
        for key, word in offered.items()
    )
    ranges = {key: Range.of(key, max((p.peak for p in parts), key=abs)) for key in UNITS if key in offered}
    data = " ".join(f'data-{key}="{r.low:g} {r.high:g} {r.step:g} {r.start:g}"' for key, r in ranges.items())
    own, unit = ranges.get(operation, ranges["scale"]), UNITS.get(operation, "")
    off = operation == "suppress"
    components = ",".join(str(lever.component) for lever in group)
    family = "" if first.family is None else first.family
    as_one = f"<small>{len(group)} components as one</small> " if several else ""
    seen = _members(parts) if several else heat_of(parts[0], "small")
    return f"""<li class="lever{" family" if several else ""}" data-components="{components}" data-family="{family}"
 data-operation="{operation}" {data}>{seen}
<p class="number"><b>{name}</b> {as_one}{_standing(parts)}</p>
<div class="choice" role="radiogroup" aria-label="What to do with {name}">{choices}</div>
<div class="strength"{" hidden" if off else ""}><input type="range" aria-label="Strength for {name}, {unit}"
 min="{own.low:g}" max="{own.high:g}" step="{own.step:g}" value="{first.strength:g}"><input type="text" class="exact"
 inputmode="decimal" autocomplete="off" aria-label="Strength for {name} as a number" value="{first.strength:g}">
<small>{unit}</small></div>
<p class="strength-none"{"" if off else " hidden"}>removed wherever the edit acts</p>
<button type="button" class="remove" data-remove aria-label="Remove the lever on {name}">✕</button></li>"""


def group_name(group: Sequence[Lever]) -> str:
    """What a lever is on: a component, or a family by the one it was pulled from, which may have left it since."""
    if len(group) == 1:
        return f"#{group[0].component}"
    whole = any(lever.component == lever.family for lever in group)
    return f"#{group[0].family} and its family" if whole else f"the others of #{group[0].family}’s family"


def _standing(parts: Sequence[Part]) -> str:
    """What they contribute to the target together."""
    if not any(part.peak for part in parts):
        return "<small>not active in this picture</small>"
    total = sum(part.total for part in parts)
    tone, shape = sign(total)
    return f"""<span class="sum {tone}"><span aria-hidden="true">{shape}</span> {signed(total)}
 <small>logits</small></span>"""


def _members(parts: Sequence[Part]) -> str:
    """The members of a family: a lever for all of them hides none."""
    listed = "".join(
        f"""<li>{heat_of(part, "tiny") if part.peak else ""}
<span>#{part.component}<small>{_share_of(part)}</small></span></li>"""
        for part in sorted(parts, key=lambda part: (not part.peak, -abs(part.total)))
    )
    return f'<ul class="members" aria-label="Its components, and what each contributes in logits">{listed}</ul>'


def _share_of(part: Part) -> str:
    return f"{sign(part.total)[1]} {signed(part.total)}" if part.peak else "not active"


def intent(visit: Visit) -> str:
    """The edit as the page's widgets carry it, whole, so that what is skipped or late cannot mix."""
    return json.dumps(
        {
            "revision": visit.revision,
            "levers": [[own.component, own.operation, own.strength, own.family] for own in visit.edit.levers],
            "tokens": None if visit.edit.tokens is None else list(visit.edit.tokens),
            "gesture": 0,
        }
    )


def patches(visit: Visit, cls_in_scope: bool = True) -> str:
    """The picture as a grid of patches to choose from, and whether CLS is chosen with them."""
    rows, columns = visit.trace.grid
    chosen = set(visit.edit.tokens or ())
    cells = "".join(
        f'<div role="row">{"".join(_cell(r, c, columns, chosen) for c in range(columns))}</div>' for r in range(rows)
    )
    everywhere = visit.edit.tokens is None
    cls = f"""<button type="button" class="all" data-cls aria-pressed="{flag(0 in chosen)}"
 title="The token the prediction is read from">CLS too</button>"""
    return f"""<div class="patches{" everywhere" if everywhere else ""}" data-revision="{visit.revision}">
<p class="where">Acts on <output>{tokens_words(visit.edit.tokens, rows * columns)}</output>
<span class="buttons">{cls if cls_in_scope else ""}<button type="button" class="all" data-all
 aria-pressed="{flag(everywhere)}">All tokens</button></span></p>
<div class="grid" role="grid" aria-multiselectable="true" aria-label="Patches the edit acts on"
 style="--cols:{columns};--rows:{rows};background-image:url({picture_uri(visit.trace.crop)})">{cells}</div>
<p class="hint">Click or paint patches to confine the edit to them; CLS, the token the prediction is read from, is
 left out unless you add it. Keyboard: arrows move, space chooses.</p></div>"""


def tokens_words(tokens: Sequence[int] | None, n_patches: int) -> str:
    """Where an edit acts, in words (the page says the same in patches.js)."""
    if tokens is None:
        return "all tokens"
    n = sum(token > 0 for token in tokens)
    if 0 in tokens:
        return f"{n} of {n_patches} patches and CLS" if n else "CLS only"
    return f"{n} of {n_patches} patches"


def _cell(row: int, column: int, columns: int, chosen: set[int]) -> str:
    token = row * columns + column + 1
    return f"""<button type="button" role="gridcell" data-patch="{token}" tabindex="{0 if token == 1 else -1}"
 aria-selected="{flag(token in chosen)}" aria-label="row {row + 1}, column {column + 1}"></button>"""


# ---- before / after tab


def chart(visit: Visit) -> str:
    """The flip in words, and the probability of every class before and after."""
    c = visit.comparison
    tone, words = flip_words(c, visit.edit.n_groups)
    rows = "".join(_pair(c, int(k)) for k in c.before.order)
    n = len(c.before.classes)
    return f"""<section class="compare"><p class="verdict {tone}">{words}</p>
<h3>Probability of each class <small>in %, softmax over {"this class" if n == 1 else f"these {n} classes"} ·
 <span class="key was"></span>before <span class="key now"></span>after</small></h3>
<div class="tall" tabindex="0" role="region" aria-label="Chart of all classes"><ul class="pairs">{rows}</ul></div>
</section>"""


def _pair(c: Comparison, k: int) -> str:
    was, now = float(c.before.probabilities[k]), float(c.after.probabilities[k])
    name = escaped(c.before.classes[k])
    return f"""<li{' class="best"' if k == c.after.top else ""}><span class="name" title="{name}">{name}</span>
<span class="pair" role="img" aria-label="{name}: before {percent(was)} %, after {percent(now)} %">
<span class="track"><i class="was" style="width:{100 * was:.1f}%"></i></span>
<span class="track"><i class="now" style="width:{100 * now:.1f}%"></i></span></span>
<span class="value"><span>{percent(was)} %</span><b>{percent(now)} %</b></span></li>"""


def table(comparison: Comparison) -> str:
    """Probability, logit and rank of every class, before and after."""
    body = "".join(_row(comparison, int(k)) for k in comparison.before.order)
    heads = ("Class", "Probability, %", "Change, points", "Logit", "Change, logits", "Rank")
    return f"""<div class="scroll tall framed" tabindex="0" role="region" aria-label="Table of changes">
<table class="changes"><thead><tr>{"".join(f'<th scope="col">{head}</th>' for head in heads)}</tr></thead>
<tbody>{body}</tbody></table></div>"""


def _row(c: Comparison, k: int) -> str:
    was, now = float(c.before.probabilities[k]), float(c.after.probabilities[k])
    change = float(c.logit_change[k])
    tone, shape = sign(change) if abs(change) >= 0.005 else ("same", "=")
    name = escaped(c.before.classes[k])
    return f"""<tr><th scope="row" title="{name}">{name}</th><td>{percent(was)} → <b>{percent(now)}</b></td>
<td>{signed(100 * (now - was), 1)}</td><td>{decimal(c.before.logits[k])} → <b>{decimal(c.after.logits[k])}</b></td>
<td class="{tone}"><span aria-hidden="true">{shape}</span> {signed(change)}</td>
<td>{c.before.ranks[k]} → <b>{c.after.ranks[k]}</b></td></tr>"""


@dataclass(frozen=True)
class Support:
    """Where a target's support sits, at one time."""

    when: str
    """Before or after."""
    value: float
    """The target's value, in logits."""
    tokens: np.ndarray
    """float [T]: what all components together contribute by each token, in logits."""


def heat_pair(visit: Visit, before: Support, after: Support) -> str:
    """Where the target's support sits before and after the edit, on one scale."""
    heats = [support.tokens[1:].reshape(visit.trace.grid) for support in (before, after)]
    peak = max(float(np.abs(heat).max()) for heat in heats) or 1.0
    both = "".join(
        f"""<figure><span class="heat large" role="img" aria-label="{s.when}: contribution of each patch"><i
 style="background-image:url({heat_uri(heat, peak)})"></i></span><figcaption><b>{s.when}: {signed(s.value)} logits</b>
<small>by patches {signed(float(heat.sum()))}, by CLS {signed(float(s.tokens[0]))}</small></figcaption></figure>"""
        for s, heat in zip((before, after), heats, strict=True)
    )
    return f"""<section class="heats" style="--picture:url({picture_uri(visit.trace.crop)})">
<h3>Where {target_words(visit)} is supported <small>predicted contribution of all components by patch, in logits; same
 scale, full colour at {peak:.2g} logits</small></h3><div class="two">{both}</div>
<p class="legend"><span class="key for"></span>▲ speaks for <span class="key against"></span>▼ speaks against</p>
</section>"""


# ---- parts


def heat_of(part: Part, size: str = "") -> str:
    """What a component contributes by each patch, over the visit's picture (--picture)."""
    words = f"Where component {part.component} acts; its strongest patch: {signed(_strongest(part.heat))} logits"
    return f"""<span class="heat {size}" role="img" aria-label="{words}" title="{words}"><i
 style="background-image:url({heat_uri(part.heat)})"></i>{_nowhere(part)}</span>"""


def _nowhere(part: Part) -> str:
    if part.n_patches:
        return ""
    return ONLY_CLS if part.peak else "<em>not active</em>"


def _strongest(heat: np.ndarray) -> float:
    return float(heat.flat[np.abs(heat).argmax()])


def _lever_of(edit: Edit, component: int) -> Lever | None:
    return next((lever for lever in edit.levers if lever.component == component), None)


def target_words(visit: Visit) -> str:
    """The target by the names of its classes."""
    against = "" if visit.against is None else f" against “{escaped(visit.against)}”"
    return f"“{escaped(visit.wanted)}”{against}"
