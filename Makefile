# SPDX-License-Identifier: Apache-2.0
#
# make             build/nzd
# make test        everything a change must pass; the last line sums it up
# make check       the tests, optimised;  check-asan: under ASan and UBSan
# make test-ROOM   one test program, say test-beam (SAN=1 for the ASan build)
# make crash       the proofs of crash safety in full;  crash-boot: those of boots
# make bench       nzd beside others, under requests, into tests/bench/results.*; RUNS=3
# make bench-boot  how long nzd boot takes;  bench-migrate: processes that migrate
# make static      build/static/nzd, one file;  make CROSS=aarch64-linux-gnu
# make cross-test  nzd of other machines, under qemu-user
# make deb         build/deb/nzd_VERSION_ARCHITECTURE.deb;  make reproducible
# make install     below PREFIX (/usr/local), DESTDIR before it
# make format lint layers fixtures deps demo clean;  fuzz-...: see fuzz/fuzz.mk

SAN   ?=
CROSS ?=
BUILD ?= build$(if $(CROSS),/$(CROSS))$(if $(SAN),/asan)

CC       ?= gcc
NM       ?= nm
OPTIMISE := $(if $(SAN),-O1 -fno-omit-frame-pointer -fsanitize=address \
              -fsanitize=undefined -fno-sanitize-recover=all,-O2)
# What reads bytes of others is hard to turn against the host.
HARDEN   := $(if $(SAN),,-fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fPIE)
HARDLINK := $(if $(SAN),,-pie -Wl,-z,relro,-z,now)
# GCC's manual: the sanitizers make some warnings guess wrong.
WARN     := -Wall -Wextra -Wshadow -Wmissing-prototypes -Werror \
            $(if $(SAN),-Wno-format-truncation -Wno-maybe-uninitialized)
DEFINES  := -D_GNU_SOURCE -D_REENTRANT -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 $(if $(POINTS),-DNZD_POINTS)
PACKAGES := lmdb libxxhash libzstd zlib jansson libarchive libconfuse libmd

# Asked for once, and only when something is compiled.
once      = $(eval $(1) := $(2))$($(1))
EI        = $(call once,EI,$(shell erl -noshell -eval \
              'io:format("~s",[code:lib_dir(erl_interface)]),halt().'))
PC_CFLAGS = $(call once,PC_CFLAGS,$(shell pkg-config --cflags $(PACKAGES)))
PC_LIBS   = $(call once,PC_LIBS,$(shell pkg-config --libs $(PACKAGES)))
# As Nerves names them.
ERL_EI_INCLUDE_DIR ?= $(EI)/include
ERL_EI_LIBDIR      ?= $(EI)/lib
COMPILE   = $(DEFINES) -I$(ERL_EI_INCLUDE_DIR) -I$(EI)/../../usr/include $(PC_CFLAGS) $(CPPFLAGS) -std=gnu11
CFLAGS   ?= -g
# The same bytes wherever it is built.
ANYWHERE := -ffile-prefix-map=$(CURDIR)=.
LIBS      = $(PC_LIBS) $(ERL_EI_LIBDIR)/libei.a -lpthread
# What libarchive reads tarballs with, where it is an archive itself.
STATIC_LIBS ?= -llzma -lbz2 -lz -lzstd

# make CROSS=aarch64-linux-gnu: for another machine, with what lies in SYSROOT;
# where none is named, with Debian's packages of that machine.
ifneq ($(CROSS),)
SYSROOT ?= $(CURDIR)/build/sysroot/$(CROSS)
ifeq ($(origin CC),default)
CC      := $(CROSS)-gcc --sysroot=$(SYSROOT)
AR      := $(CROSS)-ar
NM      := $(CROSS)-nm
endif
EI       = $(call once,EI,$(shell echo $(SYSROOT)/usr/lib/erlang/lib/erl_interface-*))
export PKG_CONFIG_SYSROOT_DIR := $(SYSROOT)
export PKG_CONFIG_LIBDIR := $(SYSROOT)/usr/lib/$(CROSS:i686-%=i386-%)/pkgconfig:$(SYSROOT)/usr/lib/pkgconfig:$(SYSROOT)/usr/share/pkgconfig
FIRST   := $(if $(filter file,$(origin SYSROOT)),$(SYSROOT)/.packages)

$(CURDIR)/build/sysroot/%/.packages: tests/cross/sysroot.sh
	tests/cross/sysroot.sh $* $(@D)
	@touch $@
endif

SOURCES  := $(sort $(wildcard journal/*.c staging/*.c engine/*.c))
MAIN     := $(wildcard engine/main.c)
AGENT    := $(wildcard engine/beam/nzd_agent*.[eh]rl)
# Of a build with points only what names one is other than in PLAIN.
POINTED  := $(if $(PLAIN),$(patsubst $(PLAIN)/%.d,%.c,$(shell grep -l journal/point.h $(PLAIN)/*/*.d)),$(SOURCES))
object    = $(patsubst %.c,$(if $(filter $(1),$(POINTED)),$(BUILD),$(PLAIN))/%.o,$(1))
OBJECTS  := $(foreach source,$(filter-out $(MAIN),$(SOURCES)),$(call object,$(source))) \
            $(if $(AGENT),$(or $(PLAIN),$(BUILD))/agent.o)
NZD      := $(if $(MAIN),$(BUILD)/nzd)
TESTS    := $(patsubst tests/test_%.c,$(BUILD)/tests/test_%,$(wildcard tests/test_*.c))
SUPPORT  := $(filter-out tests/test_%,$(wildcard tests/*.c))
CTL      := $(patsubst tests/beam/%.erl,build/tests/beam/%.beam,$(wildcard tests/beam/*.erl)) \
            $(patsubst tests/beam/%.c,build/tests/beam/%.so,$(wildcard tests/beam/*.c))

all: $(NZD) $(BUILD)/libnzd.a

$(BUILD)/nzd: $(call object,engine/main.c) $(BUILD)/libnzd.a
	$(CC) $(OPTIMISE) $(HARDLINK) $(LDFLAGS) -o $@ $^ $(LIBS)

# One file that needs no other; see engine/main.c for what ld would warn of.
static: $(BUILD)/static/nzd

# GCC 12 links dynamically for ARM when it is asked for -static-pie.
STATIC_LD = $(call once,STATIC_LD,-static$(if $(filter arm%,$(shell $(CC) -dumpmachine)),,-pie))
QUIET_LD  = $(call once,QUIET_LD,$(addprefix -Wl$(,),$(shell \
              $(CC) -Wl,--help 2>/dev/null | grep -o -e --no-warnings)))
, := ,

$(BUILD)/static/nzd: $(BUILD)/engine/main.o $(BUILD)/libnzd.a
	@mkdir -p $(@D)
	$(CC) $(OPTIMISE) $(STATIC_LD) -Wl,-z,relro,-z,now $(QUIET_LD) $(LDFLAGS) -o $@ $^ $(LIBS) $(STATIC_LIBS)

# Archives hold what is listed and no more.
$(BUILD)/libnzd.list: export SAYS = $(OBJECTS)
$(BUILD)/libnzd.a: $(OBJECTS)
$(BUILD)/libtests.list: export SAYS = $(SUPPORT:%.c=$(BUILD)/%.o)
$(BUILD)/libtests.a: $(SUPPORT:%.c=$(BUILD)/%.o)

# Of two functions of one name the first would be taken without a word.
$(BUILD)/%.a: $(BUILD)/%.list
	@rm -f $@.new && $(AR) rcDs $@.new $(filter %.o,$^)
	@twice=$$($(NM) -g $@.new 2>/dev/null | awk '$$2 ~ /^[TDBR]$$/ { print $$3 }' | sort | uniq -d); \
	[ -z "$$twice" ] || { echo "$@: defined twice:" $$twice >&2; exit 1; }
	@mv $@.new $@

# What was compiled or linked with other words is made anew.
$(BUILD)/flags: export SAYS = $(CC) $(DEFINES) $(CPPFLAGS) $(OPTIMISE) $(HARDEN) $(CFLAGS) $(WARN) \
                              $(LDFLAGS) $(ERL_EI_GIVEN) $(PKG_CONFIG_LIBDIR)
ERL_EI_GIVEN = $(if $(filter-out file,$(origin ERL_EI_INCLUDE_DIR)),$(ERL_EI_INCLUDE_DIR) $(ERL_EI_LIBDIR))

# Written only when it would say something else.
$(BUILD)/flags $(BUILD)/libnzd.list $(BUILD)/libtests.list $(BUILD)/libfuzz.list: always
	@mkdir -p $(@D)
	@printf '%s\n' "$$SAYS" | cmp -s - $@ || \
	  { printf '%s\n' "$$SAYS" >$@.$$$$ && mv -f $@.$$$$ $@; }

always:

$(BUILD)/%.o: %.c $(BUILD)/flags | $(FIRST)
	@mkdir -p $(@D)
	$(CC) $(COMPILE) $(OPTIMISE) $(HARDEN) $(CFLAGS) $(ANYWHERE) $(WARN) -MMD -MP -c -o $@ $<

# What `nzd --version` tells it is made of.
modules = $(shell for p in $(1); do echo "$$p $$(pkg-config --modversion $$p 2>/dev/null || echo unknown)"; done)
VERSIONS        = $(call once,VERSIONS,$(call modules,$(PACKAGES)) \
                    $(subst -, ,$(notdir $(patsubst %/,%,$(dir $(ERL_EI_LIBDIR))))))
STATIC_VERSIONS = $(call once,STATIC_VERSIONS,$(call modules,liblzma bzip2))
$(BUILD)/engine/version.o: COMPILE += -DNZD_LIBRARIES='"$(VERSIONS)"' \
                                      -DNZD_STATIC_LIBRARIES='" $(STATIC_VERSIONS)"'

# The agent goes into the node under names that hold its digest.
$(BUILD)/agent.o: $(BUILD)/agent.c engine/agent.h engine/link.h $(BUILD)/flags
	$(CC) $(COMPILE) $(OPTIMISE) $(HARDEN) $(CFLAGS) $(ANYWHERE) $(WARN) -Iengine -c -o $@ $<

$(BUILD)/agent.c: engine/beam/embed.sh engine/beam/compile.escript $(AGENT)
	engine/beam/embed.sh engine/beam $(BUILD)/agent $@

# Tests.
$(BUILD)/tests/test_%: $(BUILD)/tests/test_%.o $(BUILD)/libtests.a $(BUILD)/libnzd.a
	$(CC) $(OPTIMISE) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

build/tests/beam/%.beam: tests/beam/%.erl
	@mkdir -p $(@D)
	erlc -Werror -o $(@D) $<

build/tests/beam/%.so: tests/beam/%.c
	@mkdir -p $(@D)
	$(CC) $(COMPILE) -O2 $(CFLAGS) $(WARN) -fPIC -shared -o $@ $<

# What boots the device of the tests.
$(BUILD)/tests/device/init: $(BUILD)/tests/device/init.o
	$(CC) $(OPTIMISE) $(LDFLAGS) -o $@ $^

$(BUILD)/tests/cross/%: $(BUILD)/tests/cross/%.o $(BUILD)/libtests.a $(BUILD)/libnzd.a
	$(CC) $(OPTIMISE) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

# nzd of other machines, under qemu-user; `make test` runs a little of it.
cross-test: all tests fixtures
	@tests/cross/run.sh i686-linux-gnu all || [ $$? = 77 ]
	@tests/cross/run.sh arm-linux-gnueabihf all || [ $$? = 77 ]
	@tests/cross/run.sh aarch64-linux-gnu all || [ $$? = 77 ]
	@tests/cross/musl.sh || [ $$? = 77 ]

# How long things take; not part of the tests.
$(BUILD)/tests/bench/stamp: $(BUILD)/tests/bench/stamp.o
	$(CC) $(OPTIMISE) -static -o $@ $^

$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(BUILD)/libtests.a $(BUILD)/libnzd.a
	$(CC) $(OPTIMISE) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

$(BUILD)/tests/bench/reload: $(BUILD)/tests/bench/calls.o $(BUILD)/tests/bench/vary.o

BENCH_NODE := $(patsubst tests/%.erl,build/tests/%.beam,$(wildcard tests/bench/node/*.erl)) \
              $(patsubst tests/%.c,build/tests/%.so,$(wildcard tests/bench/node/*.c))

build/tests/bench/node/%.beam: tests/bench/node/%.erl
	@mkdir -p $(@D)
	erlc -Werror -o $(@D) $<

build/tests/bench/node/%.so: tests/bench/node/%.c
	@mkdir -p $(@D)
	$(CC) $(COMPILE) -O2 $(CFLAGS) $(WARN) -fPIC -shared -o $@ $<

# In the order of a user: what is missing, the runs, the table and the picture.
bench: $(NZD) $(BUILD)/tests/bench/reload $(BUILD)/tests/bench/by_hand $(BENCH_NODE) $(CTL) fixtures
	@tests/bench/run.sh $(BUILD) $(or $(RUNS),10)

bench-%: $(NZD) $(BUILD)/tests/bench/% $(BUILD)/tests/bench/stamp $(CTL) fixtures
	@NZD_BENCH_STAMP=$(BUILD)/tests/bench/stamp tests/run.sh -v $(BUILD) $(BUILD)/tests/bench/$*

tests: $(NZD) $(TESTS) $(CTL) $(BUILD)/tests/device/init points

# nzd with the points of the crash sweep; see journal/point.h. What records its
# writes is preloaded, which a build with sanitizers does not bear.
ifeq ($(SAN),)
points: all
else
points: points-plain

points-plain:
	@$(MAKE) --no-print-directory SAN= BUILD=build all
endif

points:
	@$(MAKE) --no-print-directory SAN= POINTS=1 PLAIN=$(if $(SAN),build,$(BUILD)) BUILD=build/points \
	  build/points/nzd build/points/record_writes.so

# It stands for both open and open64.
$(BUILD)/record_writes.so: tests/tools/record_writes.c tests/recording.h
	@mkdir -p $(@D)
	$(CC) $(COMPILE) $(OPTIMISE) $(CFLAGS) $(WARN) -fPIC -shared -o $@ $< -ldl

# The proofs of crash safety in full; `make check` takes a sample of each.
CRASH      = $(sort $(filter $(BUILD)/tests/test_crash%,$(TESTS)))
CRASH_BOOT = $(filter %_restart %_erts $(BUILD)/tests/test_crash_boot% %_cut_boot,$(CRASH))

crash: tests fixtures
	@tests/crash.sh $(filter-out $(CRASH_BOOT),$(CRASH))

crash-boot: tests fixtures
	@tests/crash.sh $(CRASH_BOOT)

# The sweeps run the build with points, which has no sanitizers: in the ASan
# build only those of them that feed nzd damage say something new; what documents
# show is no other there.
SWEEPS  = $(filter-out %_store %_damage %_place,$(filter $(BUILD)/tests/test_crash%,$(TESTS))) \
          $(BUILD)/tests/test_documents
# What takes longest begins first, so that nothing is waited for at the end.
LONGEST = $(filter $(patsubst %,$(BUILD)/tests/test_%,trial_restart trial_lost crash_restart \
            crash_trial lost crash carried boot_device restarting restarting_files many documents),$(TESTS))
CHECKED = $(filter-out $(if $(SAN),$(SWEEPS)),$(LONGEST) \
            $(sort $(filter-out $(LONGEST),$(TESTS))))

check: tests fixtures
	@tests/run.sh $(BUILD) $(CHECKED)

check-asan:
	@$(MAKE) --no-print-directory SAN=1 check

test-%: $(NZD) $(BUILD)/tests/test_% $(CTL) $(BUILD)/tests/device/init points fixtures
	@tests/run.sh -v $(BUILD) $(BUILD)/tests/test_$*

test:
	@tests/all.sh

fixtures:
	@tests/fixtures/build.sh

demo: deps
	@echo 'build: nzd, and releases to show it with'
	@$(MAKE) --no-print-directory -s -j"$$(nproc)" all fixtures
	@tests/demo.sh

include fuzz/fuzz.mk

# What a reader, not the compiler, would complain about.
TRACKED = $(call once,TRACKED,$(or $(wildcard $(shell git ls-files '*.c' '*.h' 2>/dev/null)), \
            $(shell find journal staging engine tests fuzz -name '*.[ch]')))
MANUALS = $(wildcard */*.[1-9])
TIDY    = $(patsubst %.c,build/lint/%.tidy,$(filter %.c,$(TRACKED)))

format:
	clang-format -i $(TRACKED)

format-check:
	@bad=$$(clang-format -n -Werror $(TRACKED) 2>&1 | \
	  sed -n 's/^\([^: ]*\):.*error:.*/\1/p' | sort -u); \
	[ -z "$$bad" ] || { echo "make format would change:" $$bad >&2; exit 1; }

lint: lint-cppcheck lint-manuals lint-tidy

lint-cppcheck: build/lint/cppcheck.ok

lint-manuals: $(MANUALS:%=build/lint/%.ok)

lint-tidy: $(TIDY)

build/lint/%.tidy: %.c build/%.o .clang-tidy
	@mkdir -p $(@D)
	@clang-tidy --quiet $< -- $(COMPILE) 2>$@.log || { cat $@.log >&2; exit 1; }
	@touch $@

# Pages of ours that are not installed here are known to the tests; what nzd
# prints may be longer than a line.
build/lint/%.ok: %
	@mkdir -p $(@D)
	@! mandoc -Tlint -Wstyle $< 2>&1 | grep -v \
	  ' referenced manual not found: \| longer than 80 bytes: \| outdated mandoc.db ' >&2
	@touch $@

build/lint/cppcheck.ok: $(wildcard $(TRACKED))
	@mkdir -p build/lint/cppcheck
	@cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 \
	  --enable=warning,performance,portability --suppress=missingIncludeSystem --suppress=varFuncNullUB --suppress=ctuuninitvar \
	  --cppcheck-build-dir=build/lint/cppcheck $(DEFINES) $(filter %.c,$(TRACKED))
	@touch $@

layers:
	@tests/tools/layers.sh

PREFIX  ?= /usr/local
DESTDIR ?=
TO       = $(DESTDIR)$(PREFIX)
ZSH     ?= share/zsh/site-functions

install: all
	install -D -m 755 $(NZD) "$(TO)/bin/nzd"
	for page in $(MANUALS); do \
	  install -D -m 644 $$page "$(TO)/share/man/man$${page##*.}/$${page##*/}" || exit; \
	done
	install -D -m 644 engine/completion/nzd.bash "$(TO)/share/bash-completion/completions/nzd"
	install -D -m 644 engine/completion/_nzd "$(TO)/$(ZSH)/_nzd"
	install -D -m 644 engine/systemd/10-nzd.conf "$(TO)/share/doc/nzd/systemd/10-nzd.conf"
	install -D -m 644 engine/erlinit/erlinit.config "$(TO)/share/doc/nzd/erlinit/erlinit.config"
	install -D -m 644 README.md "$(TO)/share/doc/nzd/README.md"

# build/deb/nzd_VERSION_ARCHITECTURE.deb
deb: all
	@+engine/debian/build.sh $(BUILD) $(BUILD)/deb

# Built here and at another place, byte by byte.
reproducible:
	@tests/reproducible.sh all

deps:
	@tests/tools/deps.sh

clean:
	rm -rf build

.PHONY: all always static cross-test reproducible install deb bench tests points points-plain crash crash-boot \
        check check-asan test fixtures demo format format-check lint lint-cppcheck lint-manuals lint-tidy layers deps clean
.DELETE_ON_ERROR:
.SECONDARY:
-include $(wildcard $(BUILD)/*/*.d)
