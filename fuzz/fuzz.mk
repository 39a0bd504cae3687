# SPDX-License-Identifier: Apache-2.0
#
# make fuzz-replay    each parser's harness over its corpus and mutations of it
# make fuzz-NAME      libFuzzer on one harness for FUZZ_TIME seconds (600)
# make fuzz-nightly   that of all of them, as many at once as there are cores
# make fuzz-coverage  which lines of the parsers the corpora reach
# make fuzz-keep      moves what was found into fuzz/corpus, minimised
# make fuzz-build     only builds them
#
# FUZZ_WITH=afl has AFL++ do it. What they need: tests/tools/deps.sh fuzz

FUZZ_TIME ?= 600
FUZZ_WITH ?= libfuzzer

FUZZ_NAMES := $(patsubst fuzz/fuzz_%.c,%,$(wildcard fuzz/fuzz_*.c))
FUZZERS    := $(FUZZ_NAMES:%=$(BUILD)/fuzz/fuzz_%)

# Who calls the harness: our own driver, or one that comes with FUZZ_LINK.
FUZZ_DRIVER ?= $(BUILD)/fuzz/replay.o
FUZZ_LINK   ?=

$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/fuzz_%.o $(FUZZ_DRIVER) $(BUILD)/libfuzz.a $(BUILD)/libnzd.a
	$(CC) $(OPTIMISE) $(FUZZ_LINK) $(LDFLAGS) -o $@ $^ $(LIBS)

# What harnesses share.
FUZZ_SHARED := $(patsubst %.c,$(BUILD)/%.o,$(filter-out fuzz/fuzz_% fuzz/replay.c,$(wildcard fuzz/*.c)))
$(BUILD)/libfuzz.list: export SAYS = $(FUZZ_SHARED)
$(BUILD)/libfuzz.a: $(FUZZ_SHARED)

fuzzers: $(FUZZERS)

fuzz-replay:
	@$(MAKE) --no-print-directory SAN=1 fuzzers
	@fuzz/replay.sh build/asan/fuzz $(FUZZ_NAMES:%=fuzz_%)

# The same tree once more for each kind of fuzzer, below build/WITH.
FUZZ_CHECKS := -O1 -fno-omit-frame-pointer -fno-sanitize-recover=all
FUZZ_libfuzzer = CC=clang FUZZ_DRIVER= FUZZ_LINK=-fsanitize=fuzzer \
  OPTIMISE='$(FUZZ_CHECKS) -fsanitize=fuzzer-no-link,address,undefined'
FUZZ_afl = CC=afl-clang-fast FUZZ_DRIVER= FUZZ_LINK=-fsanitize=fuzzer \
  OPTIMISE='$(FUZZ_CHECKS) -fsanitize=address,undefined'
FUZZ_coverage = CC=clang OPTIMISE='-O1 -fprofile-instr-generate -fcoverage-mapping'

fuzz-build: fuzz-build-$(FUZZ_WITH)

fuzz-build-%:
	@AFL_QUIET=1 $(MAKE) --no-print-directory BUILD=build/$* HARDEN= HARDLINK= $(FUZZ_$*) fuzzers

$(FUZZ_NAMES:%=fuzz-%): fuzz-%: fuzz-build
	@fuzz/run.sh $(FUZZ_WITH) $(FUZZ_TIME) $*

fuzz-nightly: fuzz-build
	@fuzz/run.sh $(FUZZ_WITH) $(FUZZ_TIME) $(FUZZ_NAMES)

fuzz-keep: fuzz-build-libfuzzer
	@fuzz/keep.sh $(FUZZ_NAMES)

fuzz-coverage: fuzz-build-coverage
	@fuzz/coverage.sh $(FUZZ_NAMES)

.PHONY: fuzzers fuzz-replay fuzz-build fuzz-nightly fuzz-keep fuzz-coverage $(FUZZ_NAMES:%=fuzz-%)
