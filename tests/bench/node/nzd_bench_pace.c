/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The library of nzd_bench_pace.erl. The requests' times are fixed beforehand:
 * what a client answers late counts from when it was due, so that a node that
 * stands still is not asked less. Sends a few requests every SLICE.
 */
#include <erl_nif.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#define CLIENTS_MAX 256
#define SLICE_NS    100000
#define TIMES_MAX   (4u << 20)
#define KINDS       4
/* A window begins and ends a little later than it is asked for: nothing that
 * belongs to it is under way yet. */
#define ASIDE_NS 2000000

static struct {
    ErlNifTid thread;
    atomic_bool running;
    unsigned count;
    int64_t interval_ns;
    ErlNifMutex *lock; /* of `clients` */
    ErlNifPid clients[CLIENTS_MAX];
    _Atomic int64_t from, to; /* of the window */
    atomic_uint sent, answered;
    atomic_uint kinds[KINDS];
    _Atomic int64_t last, gap;
    uint32_t *times; /* nanoseconds / 16 */
} pace;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void sleep_until(int64_t at)
{
    struct timespec when = {at / 1000000000, at % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL);
}

static bool in_window(int64_t at)
{
    return at >= atomic_load(&pace.from) && at < atomic_load(&pace.to);
}

static void send_one(ErlNifEnv *env, unsigned slot, int64_t at)
{
    enif_mutex_lock(pace.lock);
    ErlNifPid client = pace.clients[slot];
    enif_mutex_unlock(pace.lock);
    if (in_window(at))
        atomic_fetch_add(&pace.sent, 1);
    enif_send(NULL, &client, env,
              enif_make_tuple2(env, enif_make_atom(env, "request"),
                               enif_make_int64(env, at)));
    enif_clear_env(env);
}

/* Ahead of the schedulers where that is allowed: it must not wait for those
 * whose delay it measures. */
static void *send_all(void *argument)
{
    struct sched_param first = {.sched_priority = 1};
    ErlNifEnv *env = enif_alloc_env();
    int64_t at = now_ns();
    pthread_setschedparam(pthread_self(), SCHED_FIFO, &first);
    prctl(PR_SET_TIMERSLACK, 1000);
    for (unsigned slot = 0; atomic_load(&pace.running);) {
        int64_t now = now_ns();
        for (; at <= now; at += pace.interval_ns, slot++)
            send_one(env, slot % pace.count, at);
        sleep_until(now + SLICE_NS);
    }
    enif_free_env(env);
    return argument;
}

static ERL_NIF_TERM start(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    ERL_NIF_TERM list = argv[0], head;
    unsigned rate;
    (void)argc;
    for (pace.count = 0; enif_get_list_cell(env, list, &head, &list);)
        if (pace.count == CLIENTS_MAX ||
            !enif_get_local_pid(env, head, &pace.clients[pace.count++]))
            return enif_make_badarg(env);
    if (!pace.count || !enif_get_uint(env, argv[1], &rate) || !rate)
        return enif_make_badarg(env);
    pace.interval_ns = 1000000000 / rate;
    atomic_store(&pace.running, true);
    if (enif_thread_create("pace", &pace.thread, send_all, NULL, NULL))
        return enif_make_badarg(env);
    return enif_make_atom(env, "ok");
}

static ERL_NIF_TERM stop(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    (void)argc;
    (void)argv;
    if (atomic_exchange(&pace.running, false))
        enif_thread_join(pace.thread, NULL);
    return enif_make_atom(env, "ok");
}

static ERL_NIF_TERM replace(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    ErlNifPid client;
    unsigned slot;
    (void)argc;
    if (!enif_get_uint(env, argv[0], &slot) || slot >= pace.count ||
        !enif_get_local_pid(env, argv[1], &client))
        return enif_make_badarg(env);
    enif_mutex_lock(pace.lock);
    pace.clients[slot] = client;
    enif_mutex_unlock(pace.lock);
    return enif_make_atom(env, "ok");
}

/* --- what is counted ----------------------------------------------------- */

static ERL_NIF_TERM open_window(ErlNifEnv *env, int argc,
                                const ERL_NIF_TERM argv[])
{
    int64_t from = now_ns() + ASIDE_NS;
    (void)argc;
    (void)argv;
    atomic_store(&pace.sent, 0);
    atomic_store(&pace.answered, 0);
    for (int i = 0; i < KINDS; i++)
        atomic_store(&pace.kinds[i], 0);
    atomic_store(&pace.gap, 0);
    atomic_store(&pace.last, from);
    atomic_store(&pace.from, from);
    atomic_store(&pace.to, INT64_MAX);
    sleep_until(from);
    return enif_make_atom(env, "ok");
}

static void note_gap(int64_t now)
{
    int64_t gap = now - atomic_exchange(&pace.last, now);
    int64_t longest = atomic_load(&pace.gap);
    while (gap > longest &&
           !atomic_compare_exchange_weak(&pace.gap, &longest, gap))
        ;
}

static ERL_NIF_TERM done(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    ErlNifSInt64 at;
    unsigned kind;
    (void)argc;
    if (!enif_get_int64(env, argv[0], &at) ||
        !enif_get_uint(env, argv[1], &kind) || kind >= KINDS)
        return enif_make_badarg(env);
    if (in_window(at)) {
        int64_t now = now_ns();
        note_gap(now);
        atomic_fetch_add(&pace.kinds[kind], 1);
        unsigned index = atomic_fetch_add(&pace.answered, 1);
        if (index < TIMES_MAX)
            pace.times[index] = (uint32_t)((now - at) / 16);
    }
    return enif_make_atom(env, "ok");
}

static int compare(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static ERL_NIF_TERM time_at(ErlNifEnv *env, unsigned count, double part)
{
    unsigned index = (unsigned)(count * part);
    if (index >= count)
        index = count - 1;
    return enif_make_int64(env, count ? pace.times[index] * 16LL : 0);
}

static ERL_NIF_TERM close_window(ErlNifEnv *env, int argc,
                                 const ERL_NIF_TERM argv[])
{
    int64_t to = now_ns() + ASIDE_NS, until = to + 1000000000;
    (void)argc;
    (void)argv;
    atomic_store(&pace.to, to);
    sleep_until(to + 5 * ASIDE_NS);
    while (atomic_load(&pace.answered) < atomic_load(&pace.sent) &&
           now_ns() < until)
        sleep_until(now_ns() + 1000000);
    unsigned sent = atomic_load(&pace.sent);
    unsigned count = atomic_load(&pace.answered);
    if (count > TIMES_MAX)
        count = TIMES_MAX;
    qsort(pace.times, count, sizeof *pace.times, compare);
    return enif_make_tuple(env, 9, enif_make_uint(env, sent),
                           enif_make_uint(env, atomic_load(&pace.kinds[0])),
                           enif_make_uint(env, atomic_load(&pace.kinds[1])),
                           enif_make_uint(env, atomic_load(&pace.kinds[2])),
                           enif_make_uint(env, atomic_load(&pace.kinds[3])),
                           enif_make_int64(env, atomic_load(&pace.gap)),
                           time_at(env, count, 0.5), time_at(env, count, 0.999),
                           time_at(env, count, 1));
}

static int load(ErlNifEnv *env, void **data, ERL_NIF_TERM info)
{
    (void)env;
    (void)data;
    (void)info;
    pace.lock = enif_mutex_create("pace");
    pace.times = malloc(TIMES_MAX * sizeof *pace.times);
    return pace.lock && pace.times ? 0 : 1;
}

static ErlNifFunc functions[] = {
    {"start", 2, start, 0},
    {"stop", 0, stop, ERL_NIF_DIRTY_JOB_IO_BOUND},
    {"replace", 2, replace, 0},
    {"open", 0, open_window, ERL_NIF_DIRTY_JOB_IO_BOUND},
    {"close", 0, close_window, ERL_NIF_DIRTY_JOB_IO_BOUND},
    {"done", 2, done, 0},
};

ERL_NIF_INIT(nzd_bench_pace, functions, load, NULL, NULL, NULL)
