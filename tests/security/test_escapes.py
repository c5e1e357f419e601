"""Expressions and templates from which there is no way out into the interpreter, however it is spelled."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flow_engine.expressions import (
    EvaluationError,
    ExpressionSyntaxError,
    TemplateErrors,
    compile_expression,
    compile_template,
)
from flow_engine.nodes.registry import built_in_registry
from flow_engine.workflow.validation import validate_workflow

SCOPE: dict[str, Any] = {
    "input": {"text": "hello", "list": [1, 2], "map": {"a": 1}, "name": "__class__"},
    "vars": {},
    "nodes": {"a": {"output": {"x": 1}, "status": "completed"}},
    "execution": {"id": "e"},
}

EXPRESSIONS = r"""
''.__class__
''.__class__.__mro__[1].__subclasses__()
().__class__.__bases__[0].__subclasses__()
[].__class__.__init__.__globals__
{}.__class__
input.__class__
input.__class__.__init__.__globals__['os'].system('id')
input.text.__class__
input.text.__len__()
input.list.__iter__()
input.list.append(3)
input.map.__getitem__('a')
input.map.items()
input.map.keys()
input['__class__']
input[input.name]
input.text[input.name]
input.list[input.name]
input.text.format.__globals__
'{0.__class__}'.format([input])
'{0.__class__.__init__.__globals__}'.format([input])
'%(x)s'.format([input])
'%s'.format([input.__class__])
'%n'.format([1])
nodes.a.output.__dict__
nodes.a.output.__proto__
nodes.a.output.constructor
nodes.a.output.constructor.constructor('return process')()
nodes.__proto__.polluted
this
this.constructor.constructor('return this')()
self
globals()
locals()
vars()
dir()
type(input).__name__
type(input).mro()
getattr(input, '__class__')
__import__('os')
__import__('os').system('id')
__builtins__
__builtins__.open('/etc/passwd').read()
open('/etc/passwd')
eval('1')
exec('1')
compile('1', '', 'eval')
print('x')
lambda: 1
(lambda: 1)()
[x for x in input.list]
[c for c in ().__class__.__base__.__subclasses__()]
input.list.map(x, x.__class__)
input.list.map(__class__, __class__)
input.list.map(x, __import__('os'))
input.list.filter(x, x.real.__class__)
input.text.replace('h', '\g<0>').__class__
input.text.matches('(?P<x>.)(?P=x)')
input.text.matches('(a+)+$')
cel.bind(x, input.__class__, x)
cel.bind(os, __import__('os'), os)
has(input.__class__)
has(input.text.__class__)
get(input.__class__, 'none')
coalesce(input.__class__, 'none')
json.decode('{"__class__": 1}').__class__.x
json.decode('{"__proto__": {"x": 1}}').__proto__.x.__class__
json.decode('{"__reduce__": ["os.system", ["id"]]}').__reduce__[0].__call__
json.encode(input.__class__)
string(input.text.upper)
input.text.upper
input.text.upperAscii
dyn(input).__class__
google.protobuf.Any{}
google.protobuf.Value{null_value: 0}.__class__
os.system('id')
subprocess.run(['id'])
sys.modules
env.PATH
process.env
secrets
secrets.TOKEN
callbacks
execution.__class__
1 .__class__
(1).__class__
1.0.__class__
true.__class__
null.__class__
b'x'.__class__
b'x'.decode()
timestamp('2026-01-01T00:00:00Z').__class__
timestamp('2026-01-01T00:00:00Z').strftime('%Y')
duration('1s').__class__.__init__
`input`.__class__
input.`__class__`
input?.__class__
input[?'__class__'].x
""".strip().splitlines()


@pytest.mark.parametrize("source", EXPRESSIONS)
def test_no_expression_gets_hold_of_anything_but_json(source: str) -> None:
    """It is refused, fails, or gives JSON that was in the scope or made of it."""
    try:
        value = compile_expression(source).evaluate(SCOPE)
    except (ExpressionSyntaxError, EvaluationError) as error:
        told = str(error)
    else:
        told = json.dumps(value)  # raises for whatever is no JSON
    for trace in ("<class", "<built-in", "<function", "<module", "object at 0x", "Traceback", "/etc/passwd:"):
        assert trace not in told
    assert "uid=" not in told


def test_names_that_look_like_a_way_out_are_keys_like_others() -> None:
    scope = {"input": {"__class__": "mine", "constructor": {"prototype": 1}}}
    assert compile_expression("input.__class__").evaluate(scope) == "mine"
    assert compile_expression("input.constructor.prototype").evaluate(scope) == 1
    assert (
        compile_expression("json.decode(input.t).__proto__").evaluate({"input": {"t": '{"__proto__": 7}'}})
        == 7
    )


DATA = [
    "${ secrets.TOKEN }",
    "${ 7 * 7 }",
    "$${ 7 * 7 }",
    "{{ 7 * 7 }}",
    "{{ ''.__class__.__mro__ }}",
    "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
    "#{ 7 * 7 }",
    "<%= 7 * 7 %>",
    "%{7*7}",
    "${{ 7 * 7 }}",
    "${T(java.lang.Runtime).getRuntime().exec('id')}",
    "${jndi:ldap://a.example/x}",
    "*{7*7}",
    "@(7*7)",
    "{0.__class__}",
    "%s%s%s%n",
    "$(id)",
    "`id`",
    "; id",
    "../../../../etc/passwd",
    "\x00${ 7 }",
]


@pytest.mark.parametrize("text", DATA)
def test_what_comes_in_as_data_is_never_read_as_a_template(text: str) -> None:
    scope = {"input": {"text": text, "deep": [{"text": text}]}}
    template = compile_template(
        {"whole": "${ input.text }", "part": "<${ input.text }>", "deep": "${ input.deep }"}
    )
    rendered = template.render(scope)
    assert rendered == {"whole": text, "part": f"<{text}>", "deep": [{"text": text}]}
    again = compile_template({"value": "${ input }"}).render({"input": rendered})
    assert again == {"value": rendered}


@pytest.mark.parametrize(
    "text",
    [
        "${",
        "${ ${ input } }",
        "${ '${ input }' ",
        "${ } }",
        "${ input",
        "${ /* } }",
        "${ ' }",
        "${ 'a' // }",
        "${}",
    ],
)
def test_what_is_written_wrongly_is_refused_and_not_guessed_at(text: str) -> None:
    with pytest.raises(TemplateErrors):
        compile_template({"x": text})


def test_keys_of_a_config_are_never_templates() -> None:
    assert compile_template({"${ 7 * 7 }": 1}).render({}) == {"${ 7 * 7 }": 1}


@pytest.mark.parametrize("source", EXPRESSIONS)
def test_a_definition_with_it_is_valid_or_refused_with_its_place(source: str) -> None:
    document = {"nodes": [{"id": "a", "type": "data.set", "config": {"values": {"x": f"${{ {source} }}"}}}]}
    for problem in validate_workflow(document, built_in_registry()):
        assert problem.path.startswith("/nodes/0/config/values/x")
        assert "<class" not in problem.message + problem.hint
