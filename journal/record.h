/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_RECORD_H
#define NZD_JOURNAL_RECORD_H

/*
 * The records of the journal as bytes: every value starts with a version byte
 * and ends in the XXH3-64 of all before it. Encoding cannot fail but for
 * memory; decoding checks version, checksum, every length, every enumeration
 * and that nothing is left over. Texts are owned by the struct (malloc) and
 * freed by the matching clear(); a missing text is NULL and is read back "".
 *
 * A version above ours is NZD_EJOURNAL with a message that says so; a version
 * below ours is read. A record is written in the lowest version that holds all
 * of it: what never was on trial is read by an nzd that knows none, and so is
 * what keeps no hooks.
 */

#include "bytes.h"
#include "digest.h"
#include "state.h"

/* Bounds of the bytes of one text in a record; longer ones are cut on
 * encoding at a UTF-8 boundary, refused on decoding. */
#define NZD_RECORD_TEXT_MAX   4096
#define NZD_RECORD_MODULE_MAX (255 * 4)   /* an atom: 255 characters of UTF-8 */
#define NZD_RECORD_HOOKS_MAX  (64u << 10) /* of what a bundle may bring */

enum nzd_txn_kind { NZD_TXN_APPLY = 1, NZD_TXN_ROLLBACK = 2 };

enum nzd_level {
    NZD_LEVEL_NOTHING = 0,
    NZD_LEVEL_HOT = 1,
    NZD_LEVEL_MIGRATE = 2,
    NZD_LEVEL_RESTART_APP = 3,
    NZD_LEVEL_RESTART_VM = 4,
    NZD_LEVEL_REBOOT = 5
};
#define NZD_LEVEL_COUNT 6
const char *nzd_level_name(enum nzd_level level); /* "restart-app" */
/* The level of a name, or -1. */
int nzd_level_of(const char *name);

/* A set of rows, so that lost rows are noticed: LMDB pages have no checksum. */
struct nzd_set {
    uint32_t count;
    struct nzd_digest digest;
};

#define NZD_BOOT_ID 40 /* bytes of /proc/sys/kernel/random/boot_id, NUL too */

/* Who runs the node: recorded when armed. */
struct nzd_vm {
    uint8_t token[16];         /* kept by the agent in the node; zeros: none */
    char boot_id[NZD_BOOT_ID]; /* "" if remote */
    uint64_t pid;              /* of a local VM, else 0 */
    uint64_t start_time; /* clock ticks since boot, field 22 of proc(5) stat */
};

/* A commit that is still to be confirmed. A deadline counts only where the
 * boot id is that of the node's host now; 0 and "" where that host has no such
 * clock, and only the agent knows what is left. */
struct nzd_trial {
    uint64_t us;          /* how long it was to last; 0: on no trial */
    uint64_t deadline_us; /* CLOCK_BOOTTIME of the node's host */
    char boot_id[NZD_BOOT_ID];
};

struct nzd_txn {
    uint64_t id;
    enum nzd_txn_kind kind;
    enum nzd_state state;
    enum nzd_level verdict;
    enum nzd_level max;
    uint64_t from_generation;
    uint64_t to_generation; /* of a rollback: the generation put in force */
    uint64_t epoch;         /* fencing; see engine/ */
    struct nzd_digest base;
    struct nzd_digest bundle; /* XXH3-128 of the bundle's modules and files */
    uint64_t bundle_bytes;
    struct nzd_vm vm;
    struct nzd_set rows;    /* module rows of this transaction */
    struct nzd_set old_set; /* live rows of the base before */
    struct nzd_set new_set; /* and after */
    uint32_t changed;
    uint32_t added;
    uint32_t removed;
    uint64_t opened_us; /* wall clock, microseconds since 1970, for people */
    uint64_t armed_us;
    uint64_t ended_us;
    uint64_t took_us;  /* monotonic, open to end */
    uint64_t pause_us; /* the switch in the node */
    uint64_t written;  /* bytes of new blobs */
    int32_t outcome;   /* exit status, as of ended */
    uint64_t events;   /* how many events it has */
    char *release;     /* "counter" */
    char *from_version;
    char *to_version;
    char *base_version;
    char *base_path;
    char *node;          /* "counter@web1" */
    char *source;        /* the bundle as named by the operator */
    char *operator_name; /* "root from ssh" */
    char *why;           /* of a failure: one line */
    char *options; /* what recovery must know: kill list and such, or "" */
    struct nzd_trial trial;
    char *hooks; /* nzd/hooks.conf of the bundle, where another nzd may have to
                    run them; NULL or "": none */
};

void nzd_txn_clear(struct nzd_txn *txn);
int nzd_txn_encode(const struct nzd_txn *txn, struct nzd_buf *out,
                   struct nzd_err *err);
/* `out` is overwritten, not cleared; on failure it is zeros. */
int nzd_txn_decode(struct nzd_view value, struct nzd_txn *out,
                   struct nzd_err *err);

enum nzd_module_change {
    NZD_MODULE_CHANGED = 1,
    NZD_MODULE_ADDED = 2,
    NZD_MODULE_REMOVED = 3
};

/* Flags of a module row. */
#define NZD_ROW_ON_LOAD    1u /* the new code has an on_load function */
#define NZD_ROW_NOT_LOADED 2u /* the old code was on disk, not in memory */
#define NZD_ROW_TO_BASE    4u /* the new side is what the base's files hold */
#define NZD_ROW_EXECUTABLE 8u /* a file of priv that may be run; mode 0755 */

/*
 * Names of the files of a release: they begin with '/', as no module's can.
 * All but specifications are rows only of transactions that go through a
 * restart of the VM, or change in it what these files say. What such a one
 * keeps for an undo has a row too, and so has what code_change is handed, with
 * the same content on both sides: so it is never in force.
 */
#define NZD_FILE_APP        "/app/" /* + counter: {application, ...}, as ETF */
#define NZD_FILE_BOOT       "/boot" /* {script, {Name, Vsn}, List}, as ETF */
#define NZD_FILE_SYS_CONFIG "/sys.config"  /* the bytes of the file; so do: */
#define NZD_FILE_VM_ARGS    "/vm.args"     /* all that follow */
#define NZD_FILE_RUNTIME    "/runtime.exs" /* of a Mix release */
#define NZD_FILE_ERTS       "/erts"        /* the version that runs: 13.2 */
#define NZD_FILE_RUNNING                                                       \
    "/erts/" /* + bin/beam.smp: of erts-VSN; what the                          \
                base has of it is no row's concern */
#define NZD_FILE_KEPT   "/kept"
#define NZD_FILE_EXTRAS "/extras" /* [{Module, Up, Down}], as ETF */
#define NZD_FILE_PRIV   "/priv/"  /* + counter/static/app.js: of lib/APP/priv */

/*
 * One module of a transaction, or one file of the release. A zero md5: no such
 * side, and `change` is added or removed. The md5 of a file tells its content:
 * of priv the MD5, of all others the XXH3-128 of the bytes; attributes and
 * paths are empty. A side that is the base's own file, byte for byte, has an
 * md5 and no blob: it is taken from the base; on a new side NZD_ROW_TO_BASE
 * says so.
 */
struct nzd_module_row {
    char *module;
    char *application;
    enum nzd_module_change change;
    struct nzd_digest old_blob;
    struct nzd_digest new_blob;
    struct nzd_digest old_md5;
    struct nzd_digest new_md5;
    struct nzd_digest old_attrs; /* XXH3-128 of canonical attributes */
    struct nzd_digest new_attrs;
    uint64_t old_bytes;
    uint64_t new_bytes;
    uint32_t flags;
    char *old_path; /* what code:which/1 said; "" when added */
    char *new_path; /* the file name the new code is loaded under */
};

void nzd_module_row_clear(struct nzd_module_row *row);
int nzd_module_row_encode(const struct nzd_module_row *row, struct nzd_buf *out,
                          struct nzd_err *err);
int nzd_module_row_decode(struct nzd_view value, struct nzd_module_row *out,
                          struct nzd_err *err);

/* The two blobs of an encoded row, the checksum checked, nothing copied. */
int nzd_module_row_blobs(struct nzd_view value, struct nzd_digest *old_blob,
                         struct nzd_digest *new_blob, struct nzd_err *err);

bool nzd_row_is_file(const char *name);

/* One module or file in force over a base: what a boot of the generation
 * takes. */
struct nzd_live_row {
    char *module;
    char *application;
    struct nzd_digest blob; /* zero: the module or file is removed */
    struct nzd_digest md5;
    struct nzd_digest attrs;
    struct nzd_digest base_md5; /* what the base holds; zero: nothing */
    struct nzd_digest base_attrs;
    struct nzd_digest base_blob; /* the same; zero also where it is not held */
    uint64_t base_bytes;
    uint64_t bytes;
    uint64_t since; /* the transaction that put it in force */
    uint32_t flags; /* NZD_ROW_ON_LOAD, NZD_ROW_EXECUTABLE */
    char *path;
    char *base_path;
};

void nzd_live_row_clear(struct nzd_live_row *row);
int nzd_live_row_encode(const struct nzd_live_row *row, struct nzd_buf *out,
                        struct nzd_err *err);
int nzd_live_row_decode(struct nzd_view value, struct nzd_live_row *out,
                        struct nzd_err *err);

/* The blobs of an encoded row, the checksum checked, nothing copied. */
int nzd_live_row_blobs(struct nzd_view value, struct nzd_digest *blob,
                       struct nzd_digest *base_blob, struct nzd_err *err);

enum nzd_event_kind {
    NZD_EVENT_OPEN = 1,
    NZD_EVENT_PREPARE = 2,
    NZD_EVENT_HOOK = 3,
    NZD_EVENT_MOVE = 4, /* a durable move; the text begins with the state */
    NZD_EVENT_SWITCH = 5,
    NZD_EVENT_UNDO = 6,
    NZD_EVENT_KEEP = 7,
    NZD_EVENT_KILL = 8,
    NZD_EVENT_CHECK = 9,
    NZD_EVENT_RECOVERY = 10,
    NZD_EVENT_NOTE = 11
};
#define NZD_EVENT_KIND_COUNT 12
const char *nzd_event_kind_name(enum nzd_event_kind kind);

struct nzd_event {
    enum nzd_event_kind kind;
    uint64_t at_us;             /* wall clock, for people */
    uint64_t mono_us;           /* since the transaction was opened */
    uint64_t took_us;           /* 0: not a thing that takes time */
    char *label;                /* "hook pre", "ARMED"; the word people see */
    char *text;                 /* "selftest ok" */
    char *output;               /* bounded output of a hook, or "" */
    struct nzd_digest previous; /* of the event before, over all of them */
};

void nzd_event_clear(struct nzd_event *event);
int nzd_event_encode(const struct nzd_event *event, struct nzd_buf *out,
                     struct nzd_err *err);
int nzd_event_decode(struct nzd_view value, struct nzd_event *out,
                     struct nzd_err *err);

#endif
