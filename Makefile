# Os comandos do curso. Sem make (no Windows, por exemplo)? O README traz os comandos equivalentes.
PYTHON ?= $(if $(filter Windows_NT,$(OS)),python,python3)
VENV := .venv
BIN := $(if $(filter Windows_NT,$(OS)),$(VENV)/Scripts,$(VENV)/bin)
READY := $(VENV)/.pronto

.PHONY: curso lab notebooks testes testes-rapidos testes-das-saidas testes-completos testes-demorados testes-das-licoes \
	lint isolamento

# As lições executadas e corrigidas; o ajuste fino da aula, sozinho, é python -m llmdefinitions.
curso: $(READY)
	$(BIN)/python scripts/curso.py

lab: $(READY)
	$(BIN)/python -m llmdefinitions.lab

# Os cadernos de estudante são feitos dos de solutions/; nunca são editados.
notebooks: $(READY)
	$(BIN)/nbgrader generate_assignment "*" --no-db

testes: testes-rapidos testes-das-saidas

testes-rapidos: $(READY) isolamento
	$(BIN)/python -m pytest -m "not lento" -n 2 --dist loadfile --cov

testes-das-saidas: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadscope -p tests.nbval_floats --nbval --nbval-current-env --nbval-sanitize-with tests/nbval.cfg solutions

testes-completos: testes-demorados testes-das-licoes

# As lições, o curso inteiro e os comandos de uma turma, dois testes ao mesmo tempo, o mais demorado primeiro; o resto mede
# limites de tempo e de memória, e roda sozinho.
LESSON_TESTS := $(addprefix tests/test_,$(addsuffix .py,fresh_clone curso notebooks mutants resume feedback turma dask \
	postgresql student_package))

testes-demorados: $(READY) isolamento
	$(BIN)/python -m pytest -m lento $(addprefix --ignore=,$(LESSON_TESTS))

testes-das-licoes: $(READY) isolamento
	$(BIN)/python -m pytest -m lento -n 2 $(LESSON_TESTS)

# Dois processos que calculam, cada um com todos os núcleos, passam o tempo à espera um do outro.
testes-rapidos testes-das-saidas testes-das-licoes: export OMP_NUM_THREADS := 1

lint: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

# Os testes da correção experimentam todos os níveis de isolamento; o do bubblewrap vem de um pacote do sistema, que só é
# instalado onde isso não exige senha (numa integração contínua, por exemplo).
isolamento:
	-@command -v bwrap >/dev/null || ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ] || \
		{ apt-get update -qq; apt-get install -y -qq bubblewrap; }

# Refeito só quando um destes arquivos muda.
$(READY): pyproject.toml constraints.txt requirements-offline.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'O curso precisa do Python 3.11 ou mais novo; este é o %d.%d. Use: make PYTHON=/caminho/do/python3.12' % sys.version_info[:2])"
	@echo "Instalando o curso em $(VENV). Na primeira vez são alguns minutos, quase todos de download."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[lab,servidores,dev]"
	$(BIN)/python -m pip install --quiet --no-deps -r requirements-offline.txt
	@$(PYTHON) -c "open('$(READY)', 'w').close()"
