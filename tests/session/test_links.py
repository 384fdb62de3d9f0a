"""Links: what is written comes back, whatever it is; what a link cannot say is a sentence; old ones stay readable."""

import json
from dataclasses import fields
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import printable
from core.files import ASSETS
from core.methods.steering import MAX_LEVERS, Condition, Edit, Lever, Term
from core.model.prompts import MAX_CLASSES, TEMPLATES, visible
from core.session import links
from core.session.links import Link, TargetNames, from_query, to_query
from core.session.many_pictures import OWN
from core.session.view_state import EditState, ManyState, PictureState, ViewState

OLD = Path(__file__).parent / "links"

numbers = st.integers(0, 2**31 - 1)
strengths, thresholds = st.floats(-100, 100), st.floats(-1e6, 1e6)
names = st.text(min_size=1, max_size=30).map(visible).filter(bool) | st.text(
    ",\\&=+%~@: ü", min_size=1, max_size=9
).map(visible).filter(bool)
moves = st.tuples(st.sampled_from(["suppress", "scale", "set"]), strengths, st.none() | thresholds)


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """Levers alone and by families, in any order; tokens; a condition."""
    components = draw(st.lists(numbers, max_size=8, unique=True))
    of_family = {family: draw(moves) for family in (3, 5)}
    levers = []
    for component in components:
        family = draw(st.none() | st.sampled_from([3, 5]))
        operation, strength, at_least = draw(moves) if family is None else of_family[family]
        levers.append(Lever(component, operation, strength, family, at_least))  # type: ignore[arg-type]
    tokens = draw(st.none() | st.lists(st.integers(0, 40), max_size=20).map(tuple))
    terms = draw(st.lists(numbers, max_size=3, unique=True))
    condition = Condition(tuple(Term(one, draw(thresholds)) for one in terms), draw(thresholds)) if terms else None
    return Edit(tuple(levers), tokens, condition)


@st.composite
def states(draw: st.DrawFn) -> ViewState:
    """All that a page can be about."""
    classes = tuple(draw(st.lists(names, min_size=2, max_size=5, unique_by=str.casefold)))
    example = draw(st.none() | names)
    which = st.integers(0, len(classes) - 1)
    own = names.map(lambda name: f"{name} {{}}".strip()).map(visible)
    likes = st.builds(PictureState, caption=st.just(""), example=st.none() | names, content=st.just("ab" * 32))
    second = draw(st.none() | likes)
    wanted = draw(which if second is None else st.none() | which)
    return ViewState(
        setup=draw(names),
        commits=draw(st.dictionaries(st.sampled_from(["clip", "dictionary"]), st.sampled_from(["0a" * 20, "f1" * 20]))),
        picture=PictureState(
            caption="", example=example, counterfactual=draw(st.booleans()), content=draw(st.sampled_from("0f")) * 64
        ),
        classes=classes,
        templates=draw(st.sampled_from([*TEMPLATES.values()]) | st.lists(own, min_size=1, unique=True).map(tuple)),
        truth=draw(st.none() | which),
        wanted=wanted,
        against=None if wanted is None else draw(st.none() | which),
        second=second,
        edit=EditState.of(draw(edits())),
        many=draw(
            st.builds(
                ManyState,
                which=st.sampled_from(["", "attacked"]),
                by_labels=st.booleans(),
                confusion=st.none() | st.tuples(st.sampled_from(["", *classes]), st.sampled_from(["", *classes])),
            )
        ),
        tab=draw(st.none() | st.sampled_from(["image", "evidence"])),
        component=draw(st.none() | numbers),
    )  # fmt: skip


def said_of(state: ViewState) -> Link:
    """What a link says of it, from the state itself."""
    picture, many, classes = state.picture, state.many, state.classes
    unsaid, second = None if picture.example is None else "", state.second
    return Link(
        setup=state.setup,
        commits={name: commit[: links.ABBREVIATED] for name, commit in state.commits.items()},
        example=picture.example,
        counterfactual=picture.counterfactual,
        picture=picture.content[: links.HASHED] if picture.example is None else None,
        classes=classes,
        templates=state.templates,
        truth=unsaid if state.truth is None else classes[state.truth],
        target=None
        if state.wanted is None
        else TargetNames(classes[state.wanted], None if state.against is None else classes[state.against]),
        like=None if second is None else second.example,
        like_picture=second.content[: links.HASHED] if second is not None and second.example is None else None,
        edit=state.edit.edit(),
        pictures=many.which,
        by_labels=many.by_labels,
        confusion=many.confusion,
        component=state.component,
        tab=state.tab,
    )


@settings(max_examples=50)
@given(states())
def test_what_is_written_comes_back(state: ViewState) -> None:
    query = to_query(state)
    assert from_query(query) == (said_of(state), ())
    assert query.isascii()
    assert from_query("?" + urlencode(parse_qsl(query, keep_blank_values=True))) == (said_of(state), ()), "encoded anew"


def test_the_common_case_is_for_readers() -> None:
    asked = "?setup=bundled&example=dog-note-cat&classes=dog,cat,red+fox&suppress=99&tab=evidence"
    link, notes = from_query(asked)
    assert notes == ()
    assert link == Link(
        setup="bundled",
        example="dog-note-cat",
        classes=("dog", "cat", "red fox"),
        edit=Edit((Lever(99),)),
        tab="evidence",
    )
    assert from_query("") == (Link(), ())
    assert to_query(state_of_levers(Lever(99))) == (
        "setup=bundled&example=dog-note-cat&classes=dog,cat,red+fox&truth=dog&target=cat,dog&suppress=99&tab=evidence"
    )


def test_a_picture_to_compare_with_is_the_target_where_no_class_is() -> None:
    second = PictureState(caption="", example="owl-plain", content="0" * 64)
    state = state_of_levers().model_copy(update={"second": second, "wanted": None, "against": None})
    assert to_query(state).endswith("&truth=dog&like=owl-plain&tab=evidence")
    offered = state_of_levers().model_copy(update={"second": second})
    assert to_query(offered).endswith("&truth=dog&like=owl-plain&target=cat,dog&tab=evidence")
    own = state.model_copy(update={"second": PictureState(caption="", content="0123456789abcdef" * 4)})
    assert "&like-picture=0123456789abcdef&" in to_query(own)


def state_of_levers(*levers: Lever) -> ViewState:
    return ViewState(
        setup="bundled",
        picture=PictureState(caption="", example="dog-note-cat", content="0" * 64),
        classes=("dog", "cat", "red fox"),
        templates=TEMPLATES["single"],
        truth=0,
        wanted=1,
        against=0,
        edit=EditState.of(Edit(levers)),
        tab="evidence",
    )


def test_five_levers_with_all_that_a_link_can_say_are_short() -> None:
    """Of a published setup with its commits, on a picture of one's own, each lever under a threshold as measured."""
    levers = tuple(
        Lever(20_000 + k, operation, strength, at_least=1.2345678901234567 + k)  # type: ignore[arg-type]
        for k, (operation, strength) in enumerate(
            [("suppress", 0), ("scale", 2.5), ("set", 12.25), ("suppress", 0), ("suppress", 0)]
        )
    )
    state = state_of_levers(*levers)
    picture = PictureState(caption="", content="0123456789abcdef" * 4)
    commits = {"clip": "0123456789" * 4, "dictionary": "abcdef0123" * 4}
    state = state.model_copy(
        update={"setup": "clip-scope-20", "picture": picture, "commits": commits, "component": 20_001}
    )
    assert len(to_query(state)) < 400


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("suppress=x", "“suppress=x” in this link is no lever."),
        ("suppress=99:2", "“suppress=99:2” in this link says how much, which nothing suppressed needs."),
        ("scale=99", "“scale=99” in this link does not say how much."),
        ("scale=99:1e5", "“scale=99:1e5” in this link cannot be used: A strength of 100000 cannot be used. Give"),
        ("scale=99:nan", "“scale=99:nan” in this link has “nan” where a number belongs."),
        ("set=99:1@1e999", "“set=99:1@1e999” in this link cannot be used: A threshold of inf"),
        ("suppress=99999999999", "“suppress=99999999999” in this link is no lever."),
        ("suppress=9999999999", "names “9999999999”, which is no whole number from 0."),
        ("suppress=٣", "“suppress=٣” in this link is no lever."),
        ("supress=99", "“supress=99” in this link is nothing that a link can say."),
        ("<b>", "“<b>” in this link is nothing that a link can say."),
        ("tokens=3-", "“tokens=3-” in this link names “3-”, which is no token."),
        ("tokens=0-2000000000", "names more tokens than a picture has, or none."),
        ("when=99", "“when=99” in this link does not say from which sum on the edit acts."),
        ("when=99:z@1", "“when=99:z@1” in this link has “z” where a number belongs."),
        ("when=9,9@1", "“when=9,9@1” in this link cannot be used: A condition names a component twice."),
        ("classes=,,", "“classes=,,” in this link names no class."),
        ("classes=dog&classes=cat", "“classes=cat” in this link is said twice, and the first one counts."),
        ("classes=" + ",".join(map(str, range(MAX_CLASSES + 1))), "names 2,001 classes, and a picture is asked about"),
        ("classes=" + "a" * 201, "names a class of more than 200 characters."),
        ("templates=a+photo", "in this link cannot be used: The template “a photo” does not say where"),
        ("wording=mean", "“wording=mean” in this link is none of: single, ensemble, openai-7, openai-80."),
        ("cue=on", "“cue=on” in this link is none of: off."),
        ("target=a,b,c", "“target=a,b,c” in this link is not one class, or two."),
        ("confusion=a", "“confusion=a” in this link is not two classes."),
        ("picture=../../etc/passwd", "in this link is not 16 or more hexadecimal digits."),
        ("like-picture=cat", "in this link is not 16 or more hexadecimal digits."),
        ("like=", "“like” in this link names nothing."),
        ("clip=main", "“clip=main” in this link is not 7 or more hexadecimal digits."),
        ("component=-1", "“component=-1” in this link names “-1”, which is no whole number from 0."),
        ("setup=", "“setup” in this link names nothing."),
        ("v=0", "“v=0” in this link is no version."),
        ("v=2", "This link is of a newer version of this app: what this one knows of it is restored."),
        ("suppress=9,9", "The lever on 9 in this link is left out: Component 9 has two levers in one edit."),
        ("suppress=3~3.4&scale=3~5:2", "The lever on 5 in this link is left out: The levers of component 3's family"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_a_sentence_and_the_rest_is_read(query: str, sentence: str) -> None:
    link, notes = from_query(f"example=owl&{query}&set=7:2.5")
    assert len(notes) == 1
    assert sentence in notes[0]
    assert notes[0].endswith(".")
    assert link.example == "owl"
    assert Lever(7, "set", 2.5) in link.edit.levers


def test_more_levers_than_an_edit_holds_are_left_out() -> None:
    link, notes = from_query("suppress=" + ",".join(map(str, range(MAX_LEVERS + 9))))
    assert len(link.edit.levers) == MAX_LEVERS
    assert notes == ("This link has more than 256 levers: the first 256 are pulled.",)


def test_what_others_add_to_an_address_is_no_matter() -> None:
    assert from_query("?__theme=dark&__sign=abc&utm_source=x&fbclid=y&embed=1&logs=build&view=api") == (Link(), ())
    script = (ASSETS / "widgets" / "embed.js").read_text(encoding="utf-8")
    assert f"!/^({links._FOREIGN.pattern})$/.test(name)" in script, "the page takes the same for none"


def test_of_many_faults_some_are_told() -> None:
    link, notes = from_query("&".join(f"x{k}={k}" for k in range(50)))
    assert link == Link()
    assert len(notes) == links.MAX_NOTES + 1
    assert notes[-1] == "45 more parts of this link cannot be used."


parameters = st.sampled_from([*links._READERS, "suppress", "scale", "set", "x"])
values = st.text("0123456789,.:@~-+%e\\a{}\n\ud800&=", max_size=30) | st.text(max_size=10)


@given(st.text(max_size=200) | st.lists(st.builds("{}={}".format, parameters, values), max_size=8).map("&".join))
def test_any_string_is_read_or_told_about(query: str) -> None:
    link, notes = from_query(query)
    assert all(note and note == printable(note) for note in notes)
    assert link.edit == Edit(link.edit.levers, link.edit.tokens, link.edit.condition)


def test_a_link_as_long_as_no_page_writes_is_not_read() -> None:
    assert from_query("&" * 300_000)[1][0].startswith("This link has 300,000 characters")
    assert from_query("suppress=1&" + "%2C" * 6_000)[1][0].startswith("This link has 18,011 characters")
    assert from_query("?setup=bundled&" + "_=" + "%2C" * 5_900) == (Link(setup="bundled"), ())


def test_a_set_that_a_visitor_brought_is_in_no_link() -> None:
    state = state_of_levers().model_copy(update={"many": ManyState(which=OWN, own="my <set>", read="ab" * 8)})
    assert from_query(to_query(state))[0].pictures == ""


@pytest.mark.parametrize("file", sorted(OLD.iterdir()), ids=lambda file: file.stem)
def test_links_of_every_version_are_read_as_they_were(file: Path) -> None:
    """A line a link, and beside it what it said when it was made."""
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines
    for line in lines:
        query, _, said = line.partition(" ")
        link, notes = from_query(query)
        assert notes == ()
        assert json.loads(json.dumps(plainly(link))) == json.loads(said)


def plainly(link: Link) -> dict[str, object]:
    """What of a link is not as it is by default."""
    defaults = Link()
    told = {one.name: getattr(link, one.name) for one in fields(link)}
    said = {name: value for name, value in told.items() if value != getattr(defaults, name)}
    if "edit" in said:
        said["edit"] = EditState.of(link.edit).model_dump(exclude_defaults=True)
    return said
