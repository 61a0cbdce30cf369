# Thin aliases of bootstrap.py; without make, type: python bootstrap.py course
# PROFILE=gpu  ONLY=01,03-05  JOBS=2  PHOTOS=folder  are handed on, and so is ARGS="…" as it is.

PYTHON ?= $(if $(filter Windows_NT,$(OS)),python,python3)
BOOTSTRAP := @$(PYTHON) bootstrap.py
with = $(if $($(2)),--$(1) "$($(2))")

.PHONY: help course test lab clean

help:
	$(BOOTSTRAP) help

course:
	$(BOOTSTRAP) course $(call with,profile,PROFILE) $(call with,only,ONLY) $(call with,jobs,JOBS) $(call with,photos,PHOTOS) $(ARGS)

test:
	$(BOOTSTRAP) test $(ARGS)

lab:
	$(BOOTSTRAP) lab $(call with,photos,PHOTOS) $(ARGS)

clean:
	$(BOOTSTRAP) clean $(ARGS)
