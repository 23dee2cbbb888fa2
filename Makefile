# SPDX-License-Identifier: GPL-2.0-or-later
#
# Everything a user types. What the kernel's build system needs is in Kbuild, apart:
# DKMS passes KERNELRELEASE on the command line, which a combined file stumbles over.

KVER	?= $(shell uname -r)
KDIR	?= /lib/modules/$(KVER)/build
DESTDIR	?=
PREFIX	?= /usr/local
INCLUDEDIR ?= $(PREFIX)/include
MODULEDIR := $(DESTDIR)/lib/modules/$(KVER)/updates

.DEFAULT_GOAL := all
.PHONY: all
all: module tool			## build the module and the tool

.PHONY: module
module:					## build srlock.ko; KVER=release or KDIR=folder: of another kernel
	@[ -d "$(KDIR)" ] || { \
		echo "no headers of kernel $(KVER) in $(KDIR):" \
		     "install linux-headers-$(KVER), or say KVER= or KDIR=" >&2; exit 1; }
	@$(MAKE) -C $(KDIR) M=$(CURDIR) modules

.PHONY: tool
tool:					## build the srlock command
	@tests/setup/need gcc pkg-config libsmartcols-dev libudev-dev libmount-dev
	@$(MAKE) -C tools

.PHONY: install
install: all				## install module, tool, header, manual pages, udev rule
	install -D -m 644 srlock.ko $(MODULEDIR)/srlock.ko
	install -D -m 644 include/uapi/linux/srlock.h $(DESTDIR)$(INCLUDEDIR)/linux/srlock.h
	$(MAKE) -C tools install
	depmod $(if $(DESTDIR),-b $(DESTDIR)) $(KVER)

.PHONY: uninstall
uninstall:				## take all of that back
	rm -f $(MODULEDIR)/srlock.ko $(DESTDIR)$(INCLUDEDIR)/linux/srlock.h
	$(MAKE) -C tools uninstall
	depmod $(if $(DESTDIR),-b $(DESTDIR)) $(KVER)

.PHONY: demo
demo:					## burn discs under the lock and without it, and see the difference
	@tests/demo/run

.PHONY: check
check:					## run all tests: static, KUnit, integration, other kernels
	@tests/check

# The parts of check, each by itself.
.PHONY: check-static
check-static:				## only: the sources, without running them
	@tests/check static

.PHONY: check-kunit
check-kunit:				## only: KUnit under User Mode Linux
	@tests/check kunit

.PHONY: check-integration
check-integration:			## only: the integration machine; K=regex: some tests
	@tests/check integration

.PHONY: check-kernels
check-kernels:				## only: build and boot on the other kernels
	@tests/check kernels

.PHONY: check-matrix
check-matrix:				## only: every way to a drive, gone by everybody
	@tests/check matrix

# Longer ones, which check leaves out or does a little of.
.PHONY: check-debug
check-debug:				## on debug kernels (KASAN, lockdep, faults; KCSAN; PREEMPT_RT)
	@tests/kernels/check debug kcsan rt

.PHONY: coverage
coverage:				## which lines and branches of the module the tests reach
	@tests/coverage/run

.PHONY: torture
torture:				## kill, unplug, unload, hand over at random instants, by the thousand
	@tests/torture/run

.PHONY: fuzz
fuzz:					## fuzz the state machine and the interface; FUZZ_TIME=seconds
	@tests/fuzz/check

.PHONY: model
model:					## check the Promela models, and that their broken twins fail
	@model/check

.PHONY: bench
bench:					## count the instructions of each call
	@bench/run

.PHONY: clean
clean:					## remove what was built here; the cache stays
	@[ ! -d "$(KDIR)" ] || $(MAKE) -C $(KDIR) M=$(CURDIR) clean
	@$(MAKE) -C tools clean
	@rm -rf build

.PHONY: help
help:					## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-20s %s\n", $$1, $$2 }' Makefile
