"""A guarda, dentro do kernel: executa as células de teste e vigia o que o código da entrega tenta.

O teste e a entrega dividem o mesmo Python, e o estudante pode trocar tudo o que nele tem nome. A guarda apoia-se no que
não tem: um gancho de auditoria (PEP 578), que não se remove, e funções que nada ao alcance da entrega alcança. Por isso
este arquivo não é importado (``grading.template`` o executa num espaço de nomes à parte), não define classes (elas
apareceriam em ``object.__subclasses__()``) e guarda, ao ser executado, as funções em C de que precisa.

- O teste chega compilado e cifrado (``grading.sealing``), é executado pelo próprio gancho, fora do IPython e num espaço
  de nomes seu, e a resposta volta autenticada: sem ela, a célula não vale nada.
- Antes e depois de cada teste, as funções e classes da biblioteca são comparadas com as do começo.
- Os canários, um que deve falhar e um que deve passar, dizem se as conferências ainda conferem.
- Olhar a pilha durante um teste, procurar objetos na memória e trocar o código da biblioteca são recusados e contados.
"""

import builtins
import linecache
import random
import re
import signal
import sys
from _signal import SIG_DFL, SIGINT, default_int_handler, getsignal, setitimer, valid_signals
from _signal import signal as set_handler
from _thread import get_ident
from functools import partial
from gc import set_debug
from marshal import loads
from os import _exit, getpid
from os.path import dirname
from types import FunctionType, ModuleType

TRIGGER, SIGNAL, COMPARE = "correcao.celula", "correcao.sinal", "correcao.comparar"
"""Os eventos de auditoria com que a correção pede um teste e com que as funções de ``REACHABLE`` chegam à guarda."""

REACHABLE = """
def set_signal(number, handler):
    box = [handler]
    audit("correcao.sinal", number, box)
    return box[0]

def compare(one, other, equal):
    box = [one, other, equal]
    audit("correcao.comparar", box)
    return box[0]

def without_frame(handler):
    return lambda number, _: handler(number, None)

def import_module(name, globals=None, locals=None, fromlist=(), level=0):
    module = original(name, globals, locals, fromlist, level)
    return own_testing if own_testing and fromlist and name == "llmdefinitions.testing" else module
"""
"""As funções que a entrega alcança, num espaço de nomes à parte: uma função leva ao seu ``__globals__``."""

WATCHED = {
    "builtins",
    "llmdefinitions",
    "math",
    "numpy",
    "operator",
    "pandas",
    "random",
    "sklearn",
    "torch",
    "unittest",
}
"""Os pacotes em que os testes se apoiam para comparar valores."""

CHANGED_BY_JUPYTER = {"input", "exit", "quit", "display", "get_ipython", "getpass"}
"""Nomes que o próprio kernel troca a cada célula."""

FRAMES = {"sys._getframe", "sys._current_frames", "sys._current_exceptions"}
FRAME_ATTRIBUTES = {"tb_frame", "gi_frame", "cr_frame", "ag_frame"}
MEMORY = {"gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys.addaudithook"}
FORKS = {"os.fork", "os.forkpty"}
FUNCTION_ATTRIBUTES = {"__code__", "__defaults__", "__kwdefaults__"}
OPERATIONS = {f"__{name}__" for name in ("eq", "ne", "lt", "le", "gt", "ge", "add", "radd", "sub", "rsub", "abs")}
OPERATIONS |= {f"__{name}__" for name in ("bool", "float", "array", "array_ufunc", "array_function", "torch_function")}
"""Os métodos com que um valor decide o resultado das contas e das comparações em que entra."""
REFUSED_IMPORTS = {"_signal", "_cffi_backend", "_testcapi", "_testinternalcapi", "_xxsubinterpreters", "_interpreters"}
CHECKED = FRAMES | MEMORY | FORKS | {"import", "object.__getattr__", "object.__setattr__"}

PASS_THROUGH = {"inspect", "ctypes"}
"""Módulos que entregam o que viram a quem os chamou: quem conta é o primeiro fora deles."""
PASS_THROUGH_ONCE = {"traceback", "logging"}
"""O mesmo, mas só quando chamados diretamente: mostrar o rastro de um erro é um uso honesto."""

COMPARING = re.compile(
    r"\w*(close|equal|assert)\w*|all|any|abs|absolute|bool|float|int|isinstance|item|len|max|min|sum|tolist|type"
    r"|__(eq|ne|lt|le|gt|ge|abs|bool|len|sub)__"
).fullmatch
"""Os nomes com que se compara um valor: são conferidos também no meio de um teste, depois de cada chamada dele."""

MESSAGE = 4000
"""Letras de uma mensagem de erro que voltam para a correção."""

HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: só as classes assim aceitam atributos novos
CLOCKS = [value for name, value in vars(signal).items() if name.startswith("ITIMER_")]
BUILTINS = dict(vars(builtins))
INSTALLED = tuple({sys.prefix, sys.base_prefix, dirname(linecache.__file__)})
modules, addaudithook, get_frame, manual_seed = sys.modules, sys.addaudithook, sys._getframe, random.seed
audit = sys.audit

# As propriedades de uma classe, lidas sem passar pela metaclasse, que pode ser da entrega.
mro_of, contents_of, flags_of = (vars(type)[name].__get__ for name in ("__mro__", "__dict__", "__flags__"))


def install(inventory, connection, key, seal, unseal, namespace, seed):
    """Põe a guarda no lugar, antes de qualquer código da entrega.

    Args:
        inventory: o de ``take_inventory``, que o processo aquecido já fez.
        connection: por onde vêm os testes e voltam as respostas (``multiprocessing.connection.Connection``).
        key: a chave das mensagens; depois desta função só a guarda a tem.
        seal, unseal: as funções de ``grading.sealing``, também de um espaço de nomes à parte.
        namespace: o espaço de nomes do caderno.
        seed: a semente dos sorteios, no começo e antes de cada teste.
    """
    spaces = {id(vars(module)) for module in modules.values() if isinstance(module, ModuleType)}
    spaces.discard(id(namespace))  # o IPython o põe em sys.modules, como __main__
    original_modules, functions, methods, comparing, known_classes = inventory
    main_thread, process = get_ident(), getpid()
    testing, testing_code = modules.get("llmdefinitions.testing"), None
    if testing:
        testing_code = compile("".join(linecache.getlines(testing.__file__)), testing.__file__, "exec")
    status = {"busy": False, "inside": False, "ida": 0, "volta": 0}
    swapped = []
    told = set()

    # --- as mensagens

    def send(kind, *content):
        connection.send_bytes(seal(key, "volta", status["volta"], repr((kind, *content)).encode()))
        status["volta"] += 1

    def tell(kind, detail):
        if (kind, detail) not in told and len(told) < 50:
            told.add((kind, detail))
            send("sinal", kind, detail)

    def refuse(kind, detail):
        tell(kind, detail)
        raise PermissionError(f"a correção não deixa o código da entrega usar {detail}")

    # --- o gancho

    def hook(event, arguments):
        if event == TRIGGER:
            if not status["busy"] and get_ident() == main_thread:
                answer()
        elif event == COMPARE:
            restore_comparing()
            arguments[0][0] = compare(*arguments[0])
        elif (event in CHECKED or event == SIGNAL or event.startswith("ctypes.")) and not status["inside"]:
            status["inside"] = True
            try:
                check(event, arguments, get_frame(1))
            finally:
                status["inside"] = False

    def check(event, arguments, frame):
        if event == "import":
            if arguments[0] in REFUSED_IMPORTS:
                refuse("memoria", arguments[0])
        elif event == SIGNAL:
            set_signal(frame.f_back, *arguments)
        elif event == "object.__getattr__":
            if status["busy"] and arguments[1] in FRAME_ATTRIBUTES and by_student(frame):
                refuse("quadros", arguments[1])
        elif event == "object.__setattr__":
            function, name = arguments[:2]
            of_library = isinstance(function, FunctionType) and id(function.__globals__) in spaces
            if name in FUNCTION_ATTRIBUTES and of_library and by_student(frame):
                refuse("biblioteca", f"{function.__qualname__}.{name}")
        elif event in FRAMES:
            if status["busy"] and (by_student(frame) or passes_test(frame, *arguments)):
                refuse("quadros", event)
        elif event in FORKS:
            if status["busy"] and by_student(frame):
                refuse("processos", event)
        elif by_student(frame):
            refuse("memoria", event)

    def by_student(frame):
        """Se quem pediu, por si ou por uma função que só repassa, é o código da entrega."""
        if frame.f_globals.get("__name__") in PASS_THROUGH_ONCE and frame.f_back:
            frame = frame.f_back
        while frame and frame.f_globals.get("__name__") in PASS_THROUGH:
            frame = frame.f_back
        return frame is not None and not is_library(frame)

    def passes_test(frame, wanted=None):
        """Se o quadro que uma biblioteca pediu a serviço da entrega, como o ``pd.eval``, é o do teste ou está além."""
        student = False
        while wanted and frame:
            library = is_library(frame)
            if student and library and frame.f_code.co_filename.startswith("<teste "):
                return True
            if frame is wanted:
                return False
            student = student or not library
            frame = frame.f_back
        return False

    def is_library(frame):
        space = frame.f_globals
        if id(space) in spaces:
            return True
        if space is namespace:
            return False
        module = modules.get(space.get("__name__"))
        found = isinstance(module, ModuleType) and vars(module) is space
        return found and frame.f_code.co_filename.startswith(INSTALLED)

    def set_signal(caller, number, box):
        """Faz o que ``signal.signal`` faria, sem que um tratador da entrega receba o quadro que interrompeu."""
        handler = box[0]
        if callable(handler) and not is_library(caller):
            if status["busy"]:
                refuse("quadros", "signal.signal")
            box[0] = set_handler(number, reachable("without_frame")(handler))
        else:
            box[0] = set_handler(number, handler if callable(handler) else int(handler))

    # --- um teste

    def answer():
        status["busy"] = True
        try:
            if not connection.poll(5):
                return
            request = loads(unseal(key, "ida", status["ida"], connection.recv_bytes()))  # noqa: S302
            status["ida"] += 1
            report = run(request)
            if getpid() != process:  # um processo que o código da entrega duplicou não responde por ele
                _exit(0)
            send("resposta", *report)
        finally:
            status["busy"] = False

    def run(request):
        still_signals()
        set_debug(0)
        swapped[:] = restore()
        private = dict(BUILTINS)
        own_testing = fresh_testing(private)
        private["__import__"] = reachable("import_module", own_testing=own_testing)
        private[request["compare"]] = reachable("compare")
        outcome, space = execute(request["code"], request["last"], private)
        still_signals()
        swapped.extend(restore())
        canaries = [not execute(code, None, private)[0]["name"] for code in request["canaries"]]
        publish(space, request["keep"], own_testing)
        return outcome, swapped[:20], canaries

    def execute(code, last, private):
        """Executa um teste num espaço de nomes que começa igual ao do caderno."""
        space = {**namespace, "__builtins__": private}
        spaces.add(id(space))
        name = message = ""
        value = None
        try:
            start_over(seed)
            exec(code, space)  # noqa: S102
            value = eval(last, space) if last else None  # noqa: S307
        except BaseException as error:
            name, message = describe(error)
        spaces.discard(id(space))
        return {"name": name, "message": message, "value": value if type(value) in (int, float) else None}, space

    def publish(space, visible, own_testing):
        """Deixa no caderno os nomes da parte visível do teste; os da parte oculta somem."""
        own = {id(value): name for name, value in vars(own_testing).items()} if own_testing else {}
        for name, value in list(space.items()):
            if callable(value) and id(value) in own:
                space[name] = getattr(testing, own[id(value)])
        for name in list(space):
            if name not in visible and name not in namespace:
                del space[name]
        namespace.update({name: space[name] for name in visible if name in space})

    def fresh_testing(private):
        """Um ``llmdefinitions.testing`` que a entrega não tem como trocar, porque não tem como achar."""
        if testing_code is None:
            return None
        module = ModuleType("llmdefinitions.testing")
        space = vars(module)
        space.update(__file__=testing.__file__, __package__="llmdefinitions", __builtins__=private)
        exec(testing_code, space)  # noqa: S102
        for name, value in list(space.items()):
            if isinstance(value, type) and value.__module__ == module.__name__:
                for key in [key for key, method in contents_of(value).items() if callable(method)]:
                    delattr(value, key)  # um método levaria de __subclasses__() a este espaço de nomes
                space[name] = getattr(testing, name)
        space["_uses"] = testing._uses  # quem anota a recusa é o código que ficou dentro da biblioteca
        spaces.add(id(space))
        return module

    def compare(one, other, equal):
        """``==`` e ``!=`` dos testes: um objeto que a entrega define não decide sozinho que é igual aos outros.

        Com ``equal`` em ``None``, só confere que ``one`` pode entrar numa conta ou numa comparação, e o devolve; com
        um texto, devolve-o como veio: é o resultado de uma chamada, que pode ter trocado alguma coisa.
        """
        if equal == "chamada":
            return one
        if equal is None:
            if operates(one):
                tell("igualdade", type(one).__name__[:80])
                raise TypeError(f"o teste recebeu um {type(one).__name__[:80]}, que tem operações próprias")
            return one
        if type(one) is not type(other) and (decides(one) or decides(other)):
            tell("igualdade", type(one if decides(one) else other).__name__[:80])
            return not equal
        return one == other if equal else one != other

    def decides(value):
        for one in mro_of(type(value)):
            if "__eq__" in contents_of(one):
                return id(one) not in known_classes
        return False

    def operates(value):
        return any(
            id(one) not in known_classes and not OPERATIONS.isdisjoint(contents_of(one)) for one in mro_of(type(value))
        )

    # --- a biblioteca

    def restore():
        """Põe de volta as funções e classes trocadas; devolve os nomes delas."""
        changed = []
        for name, module in original_modules.items():
            if modules.get(name) is not module:
                modules[name] = module
                changed.append(name)
        for name, space, values, names in functions:
            for key, value in values:
                if space.get(key) is not value:
                    space[key] = value
                    changed.append(f"{name}.{key}")
            if len(space) != len(names):
                for key in [key for key in space if key not in names and key in BUILTINS and name != "builtins"]:
                    del space[key]  # um nome novo que esconde o do Python
                    changed.append(f"{name}.{key}")
        for one, values, names in methods:
            contents = contents_of(one)
            for key, value in values:
                if contents.get(key) is not value:
                    type.__setattr__(one, key, value)
                    changed.append(f"{one.__name__}.{key}")
            if len(contents) != len(names):
                for key in [key for key in contents if key not in names and hasattr(super(one, one), key)]:
                    type.__delattr__(one, key)  # um método novo que esconde o herdado
                    changed.append(f"{one.__name__}.{key}")
        return changed

    def restore_comparing():
        """O mesmo, só para as funções com que se compara: uma troca que se desfaz sozinha não chega a ser usada."""
        for label, contents, write, values in comparing:
            for key, value in values:
                if contents.get(key) is not value:
                    write(key, value)
                    swapped.append(f"{label}.{key}")

    def still_signals():
        """Desliga os relógios e os tratadores da entrega: um tratador recebe o quadro que interrompeu."""
        for clock in CLOCKS:
            setitimer(clock, 0)
        for number in valid_signals():
            if callable(getsignal(number)):
                set_handler(number, default_int_handler if number == SIGINT else SIG_DFL)

    replacement = reachable("set_signal")
    replace_everywhere(signal.signal, replacement)
    replace_everywhere(set_handler, replacement)
    start_over(seed)
    addaudithook(hook)


def take_inventory():
    """O que os pacotes de ``WATCHED`` têm: os módulos, as funções e classes de cada um e os métodos de cada classe."""
    watched = {
        name: module
        for name, module in modules.items()
        if name.partition(".")[0] in WATCHED and isinstance(module, ModuleType)
    }
    functions, classes = [], set()
    for name, module in watched.items():
        names = vars(module).keys() - CHANGED_BY_JUPYTER
        values = [(key, vars(module)[key]) for key in sorted(names) if callable(vars(module)[key])]
        functions.append((name, vars(module), values, set(vars(module))))
        classes |= {value for _, value in values if isinstance(value, type) and flags_of(value) & HEAP_TYPE}
    methods = []
    for one in classes:
        if str(one.__module__).partition(".")[0] in WATCHED:
            kinds = (staticmethod, classmethod, property)
            values = [
                (key, value) for key, value in contents_of(one).items() if callable(value) or type(value) in kinds
            ]
            methods.append((one, values, set(contents_of(one))))
    comparing = [(name, space, space.__setitem__, values) for name, space, values, _ in functions]
    comparing += [
        (one.__name__, contents_of(one), partial(type.__setattr__, one), values) for one, values, _ in methods
    ]
    chosen = [(*rest, [pair for pair in values if COMPARING(pair[0])]) for *rest, values in comparing]
    return watched, functions, methods, [entry for entry in chosen if entry[-1]], all_classes()


def all_classes():
    """As classes que já existem, por identidade: uma da entrega não passa por uma delas, tenha o nome que tiver."""
    found, waiting = {}, [object]
    while waiting:
        one = waiting.pop()
        if id(one) not in found:
            found[id(one)] = one
            waiting += type.__subclasses__(one)
    return found


def reachable(name, **known):
    """Uma das funções de ``REACHABLE``, num espaço de nomes só dela."""
    space = {"__builtins__": vars(builtins), "audit": audit, "original": BUILTINS["__import__"], **known}
    exec(REACHABLE, space)  # noqa: S102
    return space[name]


def describe(error):
    """O nome e a mensagem de uma exceção, cuja classe pode ser da entrega."""
    try:
        message = str(error)[:MESSAGE]
    except BaseException:
        message = ""
    return type(error).__name__[:200], message


def replace_everywhere(function, other):
    """Troca uma função em todos os módulos que a têm."""
    for module in list(modules.values()):
        if isinstance(module, ModuleType):
            for key in [key for key, value in vars(module).items() if value is function]:
                setattr(module, key, other)


def start_over(seed):
    """Põe a semente em cada gerador que já foi importado, e liga os gradientes que uma resposta tenha desligado de vez.

    O erro de um exercício não custa pontos aos outros.
    """
    manual_seed(seed)
    if numpy := modules.get("numpy"):
        numpy.random.seed(seed)
    if torch := modules.get("torch"):
        torch.manual_seed(seed)
        torch.set_grad_enabled(True)
