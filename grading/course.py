"""O curso de um professor: a configuração, que é a do nbgrader, e o que todos os comandos fazem com ela."""

import os
import shutil
import sys
import sysconfig
import tempfile
from contextlib import contextmanager
from glob import glob
from pathlib import Path

import click
from filelock import FileLock, Timeout
from nbgrader import api
from nbgrader.api import Gradebook
from nbgrader.apps import NbGrader
from sqlalchemy import create_engine, func, make_url, select
from sqlalchemy.exc import SQLAlchemyError
from tornado.log import app_log

course_option = click.option(
    "--curso", default=".", metavar="PASTA", help="A pasta do curso.  [padrão: a pasta em que você está]"
)
base_option = click.option(
    "--db", metavar="URL", help="A base de notas, como postgresql://…  [padrão: gradebook.db, na pasta do curso]"
)

CONNECT_SECONDS = 10
"""Quanto se espera por um servidor PostgreSQL que não responde."""

TURN = 20_252_025  # qualquer número serve, desde que seja sempre o mesmo


class Course(NbGrader):
    """A configuração de um curso, lida como o nbgrader a lê, mas da pasta do curso e não da pasta corrente."""

    load_cwd_config = False
    raise_config_file_errors = True

    def __init__(self, folder):
        super().__init__()
        self.log.disabled = app_log.disabled = True  # o que há a dizer está na tabela, em português
        self.folder = folder
        try:
            self.initialize([], root=str(folder))
            self.coursedir.update_config(self.config)  # criado antes de o arquivo ser lido, só tem as opções dele
        except Exception as error:  # o arquivo de configuração é um programa do professor
            raise _config_error(folder, error) from error
        # O nbgrader só lhe dá os nomes das pastas; é dele que as outras peças herdam o resto da configuração.
        self.coursedir.update_config(self.config)

    def init_syspath(self):
        sys.path.insert(0, str(self.folder))

    def exit(self, exit_status=0):
        """O traitlets encerraria o programa ao encontrar uma opção errada."""
        raise _config_error(self.folder, sys.exception())


def _config_error(folder, error):
    if isinstance(error, click.ClickException):
        return error
    return click.ClickException(f"A configuração do nbgrader em {folder} tem um erro. {type(error).__name__}: {error}")


def copy_configuration(course, folder):
    """Copia a configuração de um curso para outro: o arquivo do nbgrader e o cabeçalho que ele manda pôr nos cadernos.

    Args:
        course: a pasta do curso.
        folder: a do outro; é criada, se não existe.
    """
    for name in ("nbgrader_config.py", "grading/cabecalho.ipynb"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(course / name, folder / name)


def open_course(name, db=None):
    """Lê a configuração de um curso.

    Args:
        name: a pasta do curso.
        db: o endereço da base de notas, no lugar do que está na configuração.

    Returns:
        O ``Course``; a organização das pastas é ``coursedir``, e ``parent=course`` configura uma peça do nbgrader.

    Raises:
        click.ClickException: se a pasta não existe ou a configuração tem um erro.
    """
    folder = Path(name).resolve()
    if not folder.is_dir():
        raise click.ClickException(f"Não há uma pasta {folder}.")
    course = Course(folder)
    course.coursedir.db_url = _with_driver(db or course.coursedir.db_url)
    return course


def _with_driver(address):
    """O endereço de uma base; se é de um PostgreSQL, com o psycopg 3, que o SQLAlchemy 2.0 não escolheria sozinho."""
    try:
        url = make_url(address)
    except (SQLAlchemyError, ValueError):
        raise click.ClickException(
            "Não entendi o endereço da base de notas; ele é como postgresql://USUÁRIO:SENHA@SERVIDOR:5432/BASE. Numa "
            "senha, escreva @, :, /, ? e # como %40, %3A, %2F, %3F e %23."
        ) from None  # o erro do SQLAlchemy traz um pedaço do endereço, que pode ser da senha
    if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
        return address
    url = url.set(drivername="postgresql+psycopg")
    if "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": str(CONNECT_SECONDS)})
    return url.render_as_string(hide_password=False)


def lesson_names(coursedir):
    """Os nomes das lições que têm fonte, em ordem."""
    sources = Path(coursedir.format_path(coursedir.source_directory, ".", "*"))
    return [folder.name for folder in map(Path, sorted(glob(str(sources)))) if any(folder.glob("*.ipynb"))]


def graded_folder(coursedir, student, lesson):
    """A pasta do que foi corrigido de uma entrega: ``autograded/ALUNO/LIÇÃO``."""
    return Path(coursedir.format_path(coursedir.autograded_directory, student, lesson))


class GradebookError(Exception):
    """As notas não podem ser gravadas assim; a mensagem diz o que fazer."""


@contextmanager
def only_correction(coursedir, lesson):
    """Não deixa que dois comandos corrijam a mesma lição ao mesmo tempo: cada um trocaria as pastas do outro.

    A trava é do sistema, num arquivo de ``autograded/``: morto o comando, de que modo for, ela está solta.

    Args:
        coursedir: o ``nbgrader.coursedir.CourseDirectory``.
        lesson: o nome da lição.

    Raises:
        GradebookError: se outro comando a corrige, ou se não se pode escrever em ``autograded/``.
    """
    folder = Path(coursedir.format_path(coursedir.autograded_directory, "", ""))
    lock = FileLock(folder / f".{lesson}.trava", mode=0o664 if coursedir.groupshared else 0o644)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise GradebookError(
            f"Outro comando está corrigindo {lesson}. Espere que ele termine e repita: o que ele fizer fica feito."
        ) from None
    except (OSError, NotImplementedError) as error:  # o segundo: um disco de rede sem travas
        raise GradebookError(f"Não consigo escrever em {folder}: {reason(error)}") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def open_gradebook(coursedir):
    """Abre a base de notas, e a cria se não existe.

    Yields:
        O ``nbgrader.api.Gradebook``.

    Raises:
        GradebookError: se ela não pode ser usada.
    """
    try:
        _create_whole(coursedir)
        with _alone_while_creating(coursedir.db_url):
            gradebook = Gradebook(coursedir.db_url, coursedir.course_id)
            if gradebook.engine.dialect.name == "postgresql":
                _name_course(gradebook)
    except (SQLAlchemyError, OSError, ImportError) as error:
        raise unusable(coursedir, error) from error
    try:
        yield gradebook
    finally:
        gradebook.close()


def _create_whole(coursedir):
    """Cria o arquivo de uma base SQLite de uma vez: interrompido ao criar, o nbgrader deixa uma base pela metade."""
    scheme, _, name = coursedir.db_url.partition(":///")
    path = Path(name)
    if scheme != "sqlite" or not name or path.exists() or not path.parent.is_dir():
        return
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".gradebook-") as folder, _programs_on_path():
        new = Path(folder, path.name)
        Gradebook(f"sqlite:///{new}", coursedir.course_id).close()
        new.replace(path)


def _name_course(gradebook):
    """Um curso sem nome também existe: o nbgrader não o cria, e um servidor recusa as lições de um que não há."""
    gradebook.db.merge(api.Course(id=gradebook.course_id))
    gradebook.db.commit()


@contextmanager
def _alone_while_creating(address):
    """O nbgrader cria as tabelas que faltam num servidor sem se perguntar se outro comando está fazendo o mesmo."""
    if not address.startswith("postgresql"):
        yield
        return
    engine = create_engine(address)
    try:
        with alone(engine), _programs_on_path():
            yield
    finally:
        engine.dispose()


@contextmanager
def alone(engine):
    """Num servidor, espera a vez de escrever, e faz os outros ``corrigir`` esperarem; no SQLite isso já é assim.

    Dois comandos que corrigem lições diferentes criam os mesmos alunos, e um deles perderia a corrida.

    Args:
        engine: o ``Engine`` da base.
    """
    if engine.dialect.name != "postgresql":
        yield
        return
    with engine.connect() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(TURN)))  # termina com a transação, aconteça o que for
        yield


def unusable(coursedir, error):
    """O ``GradebookError`` de uma base que não aceita o que se fez com ela."""
    if isinstance(error, ImportError) and error.name == "psycopg":
        return GradebookError(
            "Para uma base num servidor PostgreSQL falta um pacote. Instale-o com: pip install 'psycopg[binary]'"
        )
    return GradebookError(f"Não consigo usar a base de notas {without_password(coursedir.db_url)}: {reason(error)}")


def without_password(url):
    """O endereço de uma base, como se pode mostrar; o do SQLite é só o caminho do arquivo."""
    if url.startswith("sqlite:///"):
        return url.removeprefix("sqlite:///")
    start, at, end = url.partition("?")[0].rpartition("@")  # uma senha também pode vir depois da interrogação
    scheme, _, user = start.partition("://")
    return f"{scheme.removesuffix('+psycopg')}://{user.partition(':')[0]}@{end}" if at else end


def reason(error):
    """A primeira linha do que um erro diz."""
    original = getattr(error, "orig", None) or error
    return (next(iter(str(original).splitlines()), "") or type(original).__name__).removesuffix(".") + "."


@contextmanager
def _programs_on_path():
    """O nbgrader chama o comando ``alembic`` para criar uma base; ele está com os programas deste Python."""
    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), before])
    try:
        yield
    finally:
        os.environ["PATH"] = before
