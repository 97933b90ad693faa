"""Chat templates that would run forever or fill the memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from anexa.model.chat_template import MAX_TEMPLATE_CHARS, MAX_WORK, render_template
from tests.model.measured import linux

LOOP = "{% for i in range(99999) %}"
DOUBLED = (
    "{% set n = namespace(v='ab') %}{% for i in range(99) %}{% set n.v = DOUBLE %}{% endfor %}"
)

WITHOUT_END = [
    LOOP * 3 + "{% endfor %}" * 3,
    LOOP * 2 + "x" + "{% endfor %}" * 2,
    LOOP + "x" * 5000 + "{% endfor %}",
    LOOP + "{% set x %}" + "x" * 5000 + "{% endset %}{% endfor %}",
    "{% for a in A %}{% for b in A %}{% for c in A %}{% endfor %}{% endfor %}{% endfor %}".replace(
        "A", repr("x" * 1000)
    ),
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% set l = [1, 2] %}{% for x in l recursive %}{{ loop(l) }}{% endfor %}",
    "{% for i in range(99999) if range(99999)|list %}{% endfor %}",
    "{% for i in range(99999) %}{{ range(99999)|map('string')|join|length }}{% endfor %}",
    DOUBLED.replace("DOUBLE", "n.v ~ n.v") + "{{ n.v }}",
    DOUBLED.replace("DOUBLE", "n.v + n.v") + "{{ n.v }}",
    DOUBLED.replace("DOUBLE", "n.v * 2") + "{{ n.v }}",
    DOUBLED.replace("DOUBLE", "n.v|replace('a', 'aa')") + "{{ n.v }}",
    DOUBLED.replace("DOUBLE", "n.v.replace('', n.v)") + "{{ n.v }}",
    DOUBLED.replace("DOUBLE", "n.v.join([n.v, n.v])") + "{{ n.v }}",
    DOUBLED.replace("DOUBLE", "'{0}{0}'.format(n.v)") + "{{ n.v }}",
    DOUBLED.replace("DOUBLE", "'%s%s' % (n.v, n.v)") + "{{ n.v }}",
    DOUBLED.replace("DOUBLE", "[n.v, n.v]") + "{{ n.v }}",
    DOUBLED.replace("DOUBLE", "[n.v, n.v]") + "{{ n.v|tojson }}",
    DOUBLED.replace("DOUBLE", "[n.v, n.v]") + "{{ n.v|string }}",
    DOUBLED.replace("DOUBLE", "[n.v, n.v]") + "{{ n.v == [n.v] }}",
    DOUBLED.replace("DOUBLE", "{'a': n.v, 'b': n.v}") + "{{ n.v|urlencode }}",
    "{{ 'x' * 10 ** 10 }}",
    "{{ 10 ** 10 * 'x' }}",
    "{{ [1] * 10 ** 10 }}",
    "{{ 9 ** (9 ** 9) }}",
    "{{ 'x'|center(10 ** 10) }}",
    "{{ 'x'.center(10 ** 10) }}",
    "{{ 'x'.ljust(width=10 ** 10) }}",
    "{{ 'x'.zfill(10 ** 10) }}",
    "{{ '\t'.expandtabs(10 ** 10) }}",
    "{{ 'x\nx'|indent(10 ** 10) }}",
    "{{ '%9999999999d' % 1 }}",
    "{{ '%*d' % (9999999999, 1) }}",
    "{{ '%9999999999d'|format(1) }}",
    "{{ '{:9999999999}'.format(1) }}",
    "{{ ('{:9999999999}'|attr('format'))(1) }}",
    "{{ '{a:9999999999}'.format_map({'a': 1}) }}",
    "{{ ['%9999999999d']|map('format', 1)|join }}",
    "{{ '{:{}}'.format(1, 9999999999) }}",
    "{{ ['x' * 9999] * 9999 }}",
    "{{ (['x' * 9999] * 999)|join('x' * 9999) }}",
    "{{ range(99999)|batch(10 ** 10, 'x')|list }}",
    "{{ [1]|slice(10 ** 10)|list }}",
    "{{ lipsum(10 ** 10) }}",
    "{{ strftime_now('%A' * 10 ** 9) }}",
    "{{ " + "(" * 5000 + ")" * 5000 + " }}",
    "{{ " + "-" * 50000 + "1 }}",
    "{{ " + "x." * 50000 + "x }}",
    "{% if 1 %}" * 5000 + "{% endif %}" * 5000,
    "{# " * 40000,
    "{{ 1" + "0" * 5000 + " }}",
    "x" * (MAX_TEMPLATE_CHARS + 1),
]


# In a process of its own, so that a template that is not stopped can be.
PROGRAM = """
import resource, sys, time
from anexa.errors import AnexaError
from anexa.model import chat_template
from anexa.model.chat_template import render_template
from tests.model.measured import mebibytes
from tests.model.test_chat_template import WITHOUT_END
from tests.slowness import is_within
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
chat_template.MAX_WORK = int(sys.argv[1])
for number, template in enumerate(WITHOUT_END):
    began = time.process_time()
    try:
        print(number, "was not stopped:", len(render_template(template)))
    except AnexaError as error:
        assert str(error).startswith("the chat template cannot be used for this: "), error
    seconds = time.process_time() - began
    if not is_within(seconds, 2):
        print(number, "took", seconds)
    if mebibytes("VmHWM") > 300:  # 30 to begin with
        raise SystemExit(f"{number} took too much memory")
"""


@linux
@pytest.mark.parametrize("work", [2**14, pytest.param(MAX_WORK, marks=pytest.mark.slow)])
def test_template_that_works_too_much_is_stopped(work: int) -> None:
    """Within two seconds of a core, and before it has taken much memory."""
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(work)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def test_very_long_conversation_is_rendered() -> None:
    """200 turns of 10,000 characters."""
    turns = [{"role": "user", "content": "é" * 10_000}] * 200
    template = (
        "{% for m in messages %}{{ '<|' ~ m.role ~ '|>' + m.content.split('</think>')[-1]|trim }}"
        "{{ m.content.replace('a', 'bb')|length }}{% endfor %}"
    )
    assert len(render_template(template, messages=turns)) == 200 * (8 + 10_000 + 5)
