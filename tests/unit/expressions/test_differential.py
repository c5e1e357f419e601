"""Random expressions over random JSON, evaluated by us and by Google's C++ implementation of CEL."""

from __future__ import annotations

from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_encoders, ext_math, ext_strings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flow_engine.expressions import ExpressionError
from flow_engine.expressions.compiler import compile_source
from flow_engine.expressions.limits import DEFAULT_LIMITS, new_frame
from flow_engine.expressions.values import BoolKey

VARIABLES = ("i", "j", "d", "s", "b", "n", "li", "ls", "m", "x")
ORACLE = cel.NewEnv(
    variables=dict.fromkeys(VARIABLES, cel.Type.DYN),
    extensions=[
        ext_strings.ExtStrings(),
        ext_math.ExtMath(),
        ext_encoders.ExtEncoders(),
        ext_bindings.ExtBindings(),
    ],
)

# Doubles stay where an int rounded to a double keeps its order: there we compare exactly, CEL rounds.
ints = st.one_of(st.integers(-5, 5), st.integers(-(2**63), 2**63 - 1))
doubles = st.one_of(st.sampled_from([0.0, 0.5, 1.0, -2.0, 3.75]), st.floats(-1e6, 1e6, allow_subnormal=False))
words = st.text(alphabet="ab ,é😀%\n'\"\\", max_size=6)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([0.5, 1.0, 2.0]), words)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
scopes = st.fixed_dictionaries(
    {
        "i": ints,
        "j": st.integers(-4, 4),
        "d": doubles,
        "s": words,
        "b": st.booleans(),
        "n": st.none(),
        "li": st.lists(st.integers(-4, 9), max_size=4),
        "ls": st.lists(words, max_size=3),
        "m": st.dictionaries(st.sampled_from("abc"), scalars, max_size=3),
        "x": values,
    }
)


def written(text: str) -> str:
    escapes = {"\\": "\\\\", "'": "\\'", "\n": "\\n"}
    return "'" + "".join(escapes.get(character, character) for character in text) + "'"


def operation(operators: str, *operands: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(operators.split())
    return st.builds(lambda a, sign, b: f"({a} {sign} {b})", operands[0], signs, operands[-1])


def wrapped(pattern: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda made: pattern.format(*made))


def expressions() -> st.SearchStrategy[str]:
    """Expressions whose arithmetic does not mix ints and doubles: that is a declared difference."""
    integer = st.deferred(lambda: integers)
    double = st.deferred(lambda: reals)
    text = st.deferred(lambda: texts)
    boolean = st.deferred(lambda: booleans)
    numbers = st.deferred(lambda: int_lists)
    anything = st.deferred(lambda: everything)

    integers = st.one_of(
        st.sampled_from(["i", "j", "0", "7", "-3", "9223372036854775807", "v", "w"]),
        operation("+ - * / %", integer),
        wrapped("-({})", integer),
        wrapped("size({})", anything),
        wrapped("{}.size()", text),
        wrapped("{}[{}]", numbers, integer),
        wrapped("({} ? {} : {})", boolean, integer, integer),
        wrapped("int({})", double),
        wrapped("int({})", text),
        wrapped("{}.indexOf({})", text, text),
        wrapped("{}.lastIndexOf({})", text, text),
        wrapped("math.greatest({}, {})", integer, integer),
        wrapped("math.abs({})", integer),
        wrapped("math.bitAnd({}, {})", integer, integer),
        wrapped("cel.bind(w, {}, w - {})", integer, integer),
    )
    reals = st.one_of(
        st.sampled_from(["d", "1.5", "-0.25", "2.0"]),
        operation("+ - * /", double),
        wrapped("double({})", st.sampled_from(["1", "j", "'2.5'", "s"])),
        wrapped("math.round({})", double),
        wrapped("math.floor({})", double),
        wrapped("math.sign({})", double),
    )
    texts = st.one_of(
        st.just("s"),
        words.map(written),
        operation("+", text),
        wrapped("string({})", integer),
        wrapped("{}.substring({})", text, integer),
        wrapped("{}.charAt({})", text, integer),
        wrapped("{}.replace({}, {})", text, text, text),
        wrapped("{}.trim()", text),
        wrapped("{}.upperAscii()", text),
        wrapped("ls.join({})", text),
        wrapped("({} ? {} : {})", boolean, text, text),
    )
    booleans = st.one_of(
        st.sampled_from(["b", "true", "false", "n == null", "has(m.a)", "has(x.b)", "x.a"]),
        operation("&& ||", boolean),
        wrapped("!({})", boolean),
        operation("== != < <= > >=", integer),
        operation("== != < >=", double),
        operation("== < >", integer, double),
        operation("== != < >=", text),
        operation("== !=", anything),
        wrapped("({} in {})", anything, st.sampled_from(["li", "ls", "[1, 'a', 2.0, true, [1]]"])),
        wrapped("({} in {})", st.one_of(integer, double, text, boolean), st.sampled_from(["m", "x"])),
        wrapped("{}.startsWith({})", text, text),
        wrapped("{}.contains({})", text, text),
        wrapped("{}.matches('^a.*$')", text),
        wrapped("{}.all(v, {})", numbers, boolean),
        wrapped("{}.exists(v, {})", numbers, boolean),
        wrapped("{}.exists_one(v, {})", numbers, boolean),
        wrapped("m.exists(k, k == {})", text),
        wrapped("(type({}) == type({}))", anything, anything),
    )
    int_lists = st.one_of(
        st.sampled_from(["li", "[]", "[1, 2, 3]"]),
        operation("+", numbers),
        wrapped("[{}, {}]", integer, integer),
        wrapped("{}.filter(v, {})", numbers, boolean),
        wrapped("{}.map(v, {})", numbers, integer),
        wrapped("{}.map(v, {}, {})", numbers, boolean, integer),
    )
    everything = st.one_of(
        integers,
        reals,
        texts,
        booleans,
        int_lists,
        st.sampled_from(["x", "n", "m", "ls", "m.a", "x.a.b", "x[0]", "m['b']", "{}", "{'k': i, 1: s}"]),
        wrapped("{}.split({})", text, st.sampled_from(["' '", "','", "'é'", "'ab'"])),
        wrapped("[{}, {}]", anything, anything),
        wrapped("{{'a': {}}}", anything),
        wrapped("({} ? {} : {})", boolean, anything, anything),
        wrapped("bytes({})", text),
    )
    return everything


def ours(source: str, scope: dict[str, Any]) -> Any:
    try:
        program = compile_source(source)
        return comparable(program.run(new_frame(scope, DEFAULT_LIMITS, program.slots)))
    except ExpressionError:
        return "error"


def theirs(source: str, scope: dict[str, Any]) -> Any:
    result = ORACLE.compile(source, disable_check=True).eval(data=scope)
    if result.type() == cel.Type.ERROR:
        return "error"
    return comparable(result.plain_value())


def comparable(value: Any) -> Any:
    """Equal for equal values of equal types, whichever implementation made them."""
    if isinstance(value, list):
        return "list", [comparable(item) for item in value]
    if isinstance(value, dict):
        return "map", sorted((repr(comparable(key)), comparable(item)) for key, item in value.items())
    if isinstance(value, (bytes, bytearray)):
        return "bytes", bytes(value)
    if isinstance(value, BoolKey):
        return "bool", value.value
    assert value is None or isinstance(value, (bool, int, float, str))
    return type(value).__name__, repr(value)


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(source=st.deferred(expressions), scope=scopes)
def test_random_expressions_have_the_value_the_reference_implementation_gives(
    source: str, scope: dict[str, Any]
) -> None:
    if len(source) > 1000:
        return

    mine, reference = ours(source, scope), theirs(source, scope)

    assert mine == reference, f"{source} over {scope}: {mine}, not {reference}"
