"""As saídas de uma entrega como o professor pode abri-las: num tamanho que cabe e sem código para o navegador.

Quem corrige abre o caderno executado no *formgrader* ou no JupyterLab, com a sua própria sessão. Um ``<script>`` numa
saída rodaria ali com os poderes dele; por isso só ficam tipos que não executam nada, e o HTML passa por uma lista do
que é permitido.
"""

import json
import re

import nbformat
from bleach.sanitizer import Cleaner
from nbformat.v4 import new_output, output_from_msg

KEPT_TYPES = ("text/plain", "text/html", "text/latex", "image/png", "image/jpeg")

_TAGS = set(
    re.findall(
        r"\w+",
        "a abbr b blockquote br caption code details div em figcaption figure h1 h2 h3 h4 hr i img li ol p pre small "
        "span strong sub summary sup table tbody td tfoot th thead tr ul",
    )
)
_ATTRIBUTES = {"alt", "border", "class", "colspan", "height", "rowspan", "scope", "title", "width"}
_PICTURE = re.compile(r"data:image/(png|jpeg|gif);base64,[A-Za-z0-9+/=\s]*")
_TAG = re.compile(r"<[A-Za-z/!?]")


def _allowed(tag, name, value):
    if name == "src":
        return tag == "img" and _PICTURE.fullmatch(value) is not None
    if name == "href":
        return value.startswith(("http://", "https://", "#"))
    return name in _ATTRIBUTES


_cleaner = Cleaner(tags=_TAGS, attributes=_allowed, protocols={"http", "https", "data"}, strip=True)


def clean_markdown(text):
    """Tira do texto de uma resposta o HTML que o navegador executaria; um texto sem HTML não muda."""
    return _cleaner.clean(text) if _TAG.search(text) else text


class Outputs:
    """As saídas de uma célula, recolhidas das mensagens do kernel até um tamanho.

    Args:
        limit: bytes que se guardam.

    Attributes:
        outputs: a lista delas, na forma do caderno.
    """

    def __init__(self, limit):
        self.outputs, self._room = [], limit

    def add(self, message):
        """Acrescenta a saída que uma mensagem traz, se traz uma e se ela ainda cabe."""
        if self._room < 0 or message["msg_type"] not in ("stream", "display_data", "execute_result", "error"):
            return
        try:
            output = output_from_msg(message)
            size = len(json.dumps(output))
            if size <= self._room:  # limpar um HTML de muitos megabytes levaria minutos
                output = _clean(output)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, nbformat.ValidationError):
            return  # uma mensagem que o próprio código da entrega montou
        self._room -= size
        if self._room < 0:
            self.outputs.append(new_output("stream", name="stdout", text="\n[o resto da saída foi cortado]\n"))
        elif output.output_type == "stream" and self.outputs and self.outputs[-1].get("name") == output.name:
            self.outputs[-1].text += output.text
        else:
            self.outputs.append(output)


def _clean(output):
    """Uma cópia da saída só com o que o formato prevê, e sem código."""
    match output.output_type:
        case "stream":
            name = "stderr" if output.name == "stderr" else "stdout"
            return new_output("stream", name=name, text=_text(output.text))
        case "error":
            traceback = [_text(line) for line in output.traceback]
            return new_output("error", ename=_text(output.ename), evalue=_text(output.evalue), traceback=traceback)
    data = {kind: _text(output.data[kind]) for kind in KEPT_TYPES if kind in output.data}
    if "text/html" in data:
        data["text/html"] = _cleaner.clean(data["text/html"])
    if not data:
        data["text/plain"] = "[uma saída que só o navegador do estudante mostra]"
    extra = {"execution_count": None} if output.output_type == "execute_result" else {}
    return nbformat.from_dict({"output_type": output.output_type, "data": data, "metadata": {}, **extra})


def _text(value):
    """Texto de verdade: sem as metades soltas de caracteres, que não se gravam em UTF-8."""
    if not isinstance(value, str):
        raise TypeError("esperava texto")
    return value.encode("utf-8", "replace").decode("utf-8")
