"""Parameters: one declaration gives validation, a schema and what a command line can type."""

from __future__ import annotations

import json
import sys
import types
from typing import Any, ClassVar, Literal, Optional

import jsonschema
import pytest
from hypothesis import given, strategies as st

from muniment import ParameterError, Parameters, param
from muniment.parameters import RESERVED


class Every(Parameters):
    """One of each type."""

    loud: bool = param(False, help="whether to shout")
    times: int = param(1, ge=1, le=10, help="how often to say it")
    heat: float = param(0.7, ge=0, le=2)
    tone: str = param("kind")
    stop: list[str] = param([])
    mode: Literal["fast", "slow"] = param("fast")
    limit: int | None = param(None, ge=0)
    note: str | None = param(None)
    words: list[str] | None = param(None)
    size: Literal["small", "big"] | None = param(None)
    old: Optional[float] = param(None)  # noqa: UP045 - the older spelling is accepted


values = st.fixed_dictionaries(
    {},
    optional={
        "loud": st.booleans(),
        "times": st.integers(1, 10),
        "heat": st.floats(0, 2),
        "tone": st.text(),
        "stop": st.lists(st.text()),
        "mode": st.sampled_from(["fast", "slow"]),
        "limit": st.none() | st.integers(0, 2**64),
        "note": st.none() | st.text(),
        "words": st.none() | st.lists(st.text()),
        "size": st.none() | st.sampled_from(["small", "big"]),
        "old": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    },
)


def test_defaults_act_where_nothing_is_given() -> None:
    assert dict(Every()) == {
        "loud": False,
        "times": 1,
        "heat": 0.7,
        "tone": "kind",
        "stop": (),
        "mode": "fast",
        "limit": None,
        "note": None,
        "words": None,
        "size": None,
        "old": None,
    }


@given(values)
def test_what_was_effective_gives_the_same_parameters_again(given_: dict[str, Any]) -> None:
    effective = Every(**given_)
    assert Every(**dict(effective)) == effective
    kept = json.loads(json.dumps(dict(effective)))
    assert Every(**kept) == effective
    assert hash(Every(**kept)) == hash(effective)


DEEP: list[object] = []
for _ in range(100_000):
    DEEP = [DEEP]


class _Real(float):
    """A subclass of a float, as numpy's are."""


ZEROS = ["-0.0", "-0", "-.0", "-0e9", "-1e-999", -0.0, _Real(-0.0), "0", 0, 0.0]


@given(st.sampled_from(ZEROS), st.sampled_from(["heat", "old"]))
def test_zero_has_no_sign(zero: object, name: str) -> None:
    value = getattr(Every(**{name: zero}), name)
    assert repr(value) == "0.0"
    assert type(value) is float


@given(st.sampled_from([-0.0, _Real(-0.0), 0]), st.sampled_from([None, -0.0, -1]))
def test_a_default_of_zero_has_no_sign(zero: float, ge: float | None) -> None:
    class Zero(Parameters):
        heat: float | None = param(zero, ge=ge, le=-0.0)

    assert repr(Zero()) == repr(Zero(heat="-0")) == f"{Zero.__qualname__}(heat=0.0)"
    assert repr(Zero.schema()["properties"]["heat"]["default"]) == "0.0"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_other_number_is_kept_bit_for_bit(number: float) -> None:
    for given_ in (number, _Real(number), repr(number)):
        assert Every(old=given_).old.hex() == (number + 0.0).hex()  # type: ignore[attr-defined]


@given(values)
def test_the_schema_accepts_what_the_class_accepts(given_: dict[str, Any]) -> None:
    schema = Every.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(json.dumps(dict(Every(**given_)))), schema)


@pytest.mark.parametrize(
    "wrong",
    [
        {"times": 0},
        {"times": 11},
        {"times": "x"},
        {"times": None},
        {"loud": 1},
        {"heat": 2.5},
        {"tone": 5},
        {"stop": [5]},
        {"mode": "medium"},
        {"limit": -1},
        {"size": "huge"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_the_schema_refuses_what_the_class_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        Every(**wrong)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, Every.schema())


def test_the_schema_holds_defaults_help_and_ranges() -> None:
    properties = Every.schema()["properties"]
    assert properties["times"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 10,
        "default": 1,
        "description": "how often to say it",
    }
    assert properties["stop"] == {"type": "array", "items": {"type": "string"}, "default": []}
    assert properties["size"] == {
        "anyOf": [{"enum": ["big", "small"]}, {"type": "null"}],
        "default": None,
    }
    assert properties["limit"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
    assert properties["limit"]["minimum"] == 0


@pytest.mark.parametrize(
    ("name", "typed", "read"),
    [
        ("loud", "true", True),
        ("loud", "False", False),
        ("times", "7", 7),
        ("times", "007", 7),
        ("heat", "1", 1.0),
        ("heat", "1.5e0", 1.5),
        ("heat", ".5", 0.5),
        ("heat", "2.", 2.0),
        ("tone", "温和", "温和"),
        ("tone", "", ""),
        ("stop", ["a", "b"], ("a", "b")),
        ("mode", "slow", "slow"),
        ("limit", "12", 12),
        ("note", "none", "none"),
        ("old", "-0.25", -0.25),
    ],
)
def test_text_as_typed_on_a_command_line_is_read(name: str, typed: object, read: object) -> None:
    value = getattr(Every(**{name: typed}), name)
    assert value == read
    assert type(value) is type(read)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("loud", "yes", "true or false, not 'yes'"),
        ("loud", 1, "true or false, not 1"),
        ("loud", None, "true or false, not None"),
        ("times", "1.0", "a whole number from 1 to 10, not '1.0'"),
        ("times", 1.0, "a whole number from 1 to 10, not 1.0"),
        ("times", True, "a whole number from 1 to 10, not True"),
        ("times", "1_0", "a whole number from 1 to 10, not '1_0'"),
        ("times", "٣", "a whole number from 1 to 10, not '٣'"),
        ("times", " 3", "a whole number from 1 to 10, not ' 3'"),
        ("limit", 10**20, "a whole number of at least 0, not 100000000000000000000"),
        ("limit", 10**5000, "a whole number of at least 0, not a value too large to print"),
        ("heat", float("nan"), "a number from 0 to 2, not nan"),
        ("heat", "inf", "a number from 0 to 2, not 'inf'"),
        ("heat", 10**400, "a number from 0 to 2, not 1000"),
        ("heat", "warm", "a number from 0 to 2, not 'warm'"),
        ("tone", 5, "text, not 5"),
        ("tone", "\ud800", r"text, not '\\ud800'"),
        ("tone", b"text", "text, not b'text'"),
        ("stop", {"a"}, "a list of texts, not {'a'}"),
        ("stop", "a, b", "a list of texts, not 'a, b'"),
        ("stop", ["a", "\ud800"], "a list of texts, not"),
        ("stop", DEEP, "a list of texts, not a value too large to print"),
        ("stop", ["a", 1], "a list of texts, not"),
        ("stop", {"a": 1}, "a list of texts, not"),
        ("mode", "FAST", "one of fast, slow, not 'FAST'"),
        ("mode", ["fast"], "one of fast, slow, not"),
        ("tone", ["x" * 500], "text, not .{57}…$"),
    ],
    ids=lambda value: ascii(value)[:20] if isinstance(value, str) else type(value).__name__,
)
def test_a_value_that_does_not_fit_says_what_was_expected(
    name: str, value: object, expected: str
) -> None:
    with pytest.raises(ParameterError, match=f"{name} must be {expected}") as caught:
        Every(**{name: value})
    assert caught.value.name == name
    assert len(str(caught.value)) < 160


@pytest.mark.parametrize("name", ["volume", "", "self", "Times", "__init__", "\ud800", "温度"])
def test_an_unknown_name_is_refused_and_the_known_ones_are_told(name: str) -> None:
    with pytest.raises(
        ParameterError, match=r"available: loud, times|did you mean times"
    ) as caught:
        Every(**{name: 1})
    assert caught.value.name == name
    str(caught.value).encode()


def test_an_object_without_parameters_takes_none() -> None:
    assert dict(Parameters()) == {}
    with pytest.raises(ParameterError, match="available: none"):
        Parameters(times=1)


def test_parameters_are_immutable() -> None:
    made = Every(stop=["a"])
    with pytest.raises(AttributeError, match="immutable"):
        made.times = 2
    with pytest.raises(AttributeError, match="immutable"):
        made.brand_new = 2
    with pytest.raises(AttributeError, match="immutable"):
        del made.times
    with pytest.raises(TypeError):
        Every.fields()["times"] = None  # type: ignore[index]
    assert made == Every(stop=["a"])


def test_fields_keep_the_order_of_declaration() -> None:
    assert list(Every.fields())[:3] == ["loud", "times", "heat"]
    assert repr(Every(times=3)).startswith("Every(loud=False, times=3")


def test_a_subclass_adds_to_and_redeclares_what_it_inherits() -> None:
    class Base(Parameters):
        times: int = param(1, ge=1)
        tone: str = param("kind")

    class Further(Base):
        times: int = param(5, ge=5)
        more: bool = param(True)

    assert dict(Further()) == {"times": 5, "tone": "kind", "more": True}
    assert dict(Base()) == {"times": 1, "tone": "kind"}
    with pytest.raises(ParameterError):
        Further(times=4)


def test_equal_values_of_different_classes_are_not_equal() -> None:
    class One(Parameters):
        times: int = param(1)

    class Other(Parameters):
        times: int = param(1)

    assert One() != Other()
    assert len({One(), One(times=1), One(times=2)}) == 2


def test_annotations_need_not_be_postponed() -> None:
    module = types.ModuleType("eager")
    sys.modules["eager"] = module
    try:
        exec(  # compiled apart, as this module postpones its own annotations
            compile(
                "import muniment\n"
                "class Eager(muniment.Parameters):\n"
                "    times: int | None = muniment.param(3, ge=1)\n",
                "eager.py",
                "exec",
                dont_inherit=True,
            ),
            module.__dict__,
        )
        assert dict(module.Eager(times="4")) == {"times": 4}
    finally:
        del sys.modules["eager"]


@pytest.mark.parametrize("name", [*sorted(RESERVED), "_private"])
def test_reserved_names_cannot_be_declared(name: str) -> None:
    with pytest.raises(TypeError, match=f"the name '{name}' is reserved"):
        type("Wrong", (Parameters,), {"__annotations__": {name: int}, name: param(1)})


@pytest.mark.parametrize(
    "hint", [dict, list, list[int], bytes, int | str, int | str | None, Literal[1, 2], None]
)
def test_other_types_cannot_be_declared(hint: object) -> None:
    with pytest.raises(TypeError, match=r"Wrong\.it: "):
        type("Wrong", (Parameters,), {"__annotations__": {"it": hint}, "it": param(1)})


@pytest.mark.parametrize(
    ("hint", "default"), [(int, "x"), (int, None), (bool, 0), (Literal["a"], "b"), (str, 1)]
)
def test_a_default_that_does_not_fit_is_found_when_the_class_is_made(
    hint: object, default: object
) -> None:
    with pytest.raises(TypeError, match=r"Wrong\.it: the default does not fit"):
        type("Wrong", (Parameters,), {"__annotations__": {"it": hint}, "it": param(default)})


def test_a_default_out_of_range_is_found_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match="from 1 to 3, not 4"):

        class Wrong(Parameters):
            it: int = param(4, ge=1, le=3)


def test_an_annotation_without_param_is_not_taken_for_a_parameter() -> None:
    with pytest.raises(TypeError, match=r"Wrong\.times: declare it with muniment\.param"):

        class Wrong(Parameters):
            times: int = 1

    class Right(Parameters):
        LONGEST: ClassVar[int] = 5

    assert dict(Right()) == {}
