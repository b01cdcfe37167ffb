"""As saídas de uma entrega, que o professor abre no navegador dele."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from grading.outputs import Outputs, clean_markdown


def message(kind, **content):
    return {"msg_type": kind, "content": content, "metadata": {}, "header": {"msg_type": kind}}


def collected(*messages, limit=100_000):
    outputs = Outputs(limit)
    for one in messages:
        outputs.add(one)
    nbformat.validate(new_notebook(cells=[new_code_cell(outputs=outputs.outputs)]))
    return outputs.outputs


def shown(**data):
    return collected(message("display_data", data=data, metadata={}))[0].data


def test_consecutive_texts_of_the_same_stream_become_one():
    lines = [message("stream", name="stdout", text=text) for text in ("a", "b")]
    assert [output.text for output in collected(*lines, message("stream", name="stderr", text="c"))] == ["ab", "c"]


def test_a_figure_and_a_table_survive():
    table = '<table border="1" class="dataframe"><tbody><tr><th>0</th><td>spam</td></tr></tbody></table>'
    assert shown(**{"text/html": table})["text/html"] == table
    picture = '<img src="data:image/png;base64,iVBORw0=" alt="duas barras">'
    assert shown(**{"text/html": picture})["text/html"] == picture
    assert shown(**{"image/png": "iVBORw0="}) == {"image/png": "iVBORw0="}


@pytest.mark.parametrize(
    "html",
    [
        "<script>fetch('/api')</script>",
        "<img src=x onerror=alert(1)>",
        "<a href='javascript:alert(1)'>nota</a>",
        "<svg onload=alert(1)>",
        "<iframe src='http://exemplo.com'></iframe>",
        "<img src='data:image/svg+xml;base64,PHN2Zz4='>",
        "<p style='background:url(http://exemplo.com)'>x</p>",
        "<form action=/><button>nota</button></form>",
    ],
)
def test_html_that_runs_or_calls_home_is_removed(html):
    cleaned = shown(**{"text/html": html})["text/html"]
    for word in (
        "<script",
        "onerror",
        "onload",
        "javascript:",
        "<svg",
        "<iframe",
        "svg+xml",
        "http:",
        "<form",
        "<button",
    ):
        assert word not in cleaned, f"«{word}» ficou em {cleaned}"
    assert clean_markdown(f"texto {html}").count("<script") == 0


def test_types_that_run_code_are_not_kept():
    kept = shown(**{"application/javascript": "alert(1)", "image/svg+xml": "<svg/>", "text/plain": "x"})
    assert kept == {"text/plain": "x"}
    assert shown(**{"application/vnd.jupyter.widget-view+json": {}}) == {
        "text/plain": "[uma saída que só o navegador do estudante mostra]"
    }


def test_a_long_output_is_cut_and_says_so():
    outputs = collected(*[message("stream", name="stdout", text="x" * 900)] * 50, limit=2_000)
    assert sum(len(output.text) for output in outputs) < 2_500
    assert outputs[-1].text.endswith("[o resto da saída foi cortado]\n")


@pytest.mark.parametrize(
    "forged",
    [
        message("stream", name="stdout", text=7),
        message("stream", text="x"),
        message("display_data", data={"text/plain": ["x"]}, metadata={}),
        message("display_data", data=[], metadata={}),
        message("error", ename="E", evalue="v", traceback=[None]),
        message("error", ename="E"),
        message("comm_open", data={}),
        {"msg_type": "stream", "content": None},
    ],
)
def test_a_forged_message_is_ignored(forged):
    assert collected(forged) == []


def test_half_characters_can_be_written():
    text = collected(message("stream", name="stdout", text="meia: \ud83d"))[0].text
    assert text.encode("utf-8") == b"meia: ?"


def test_a_text_without_html_does_not_change():
    text = "Se x < 3 e y > 2, então `a & b`.\n\n> citação"
    assert clean_markdown(text) == text
