/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What `make bench` measures nzd against, from outside the node and with no
 * promise at all:
 *
 *   by_hand rpc NODE COOKIE EBIN COUNT           code:load_binary/3 by one rpc
 *                                                for each module, as people
 *                                                do it by hand
 *   by_hand floor NODE COOKIE EBIN COUNT STORE   the least that a transaction
 *                                                takes: all code is sent and
 *                                                prepared, a commit, one
 *                                                finish_loading, a commit
 *
 * The modules are many_001 to many_COUNT, their files in EBIN; STORE is an
 * LMDB environment. Prints the microseconds of the finish_loading. NODE is a
 * short name with its host.
 */
#include <ei.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HAND "nzd_bench_hand"

struct hand {
    ei_cnode node;
    int fd;
    const char *ebin;
    int count;
};

static void fail(const char *what)
{
    fprintf(stderr, "by_hand: %s\n", what);
    exit(1);
}

static char *read_file(const char *path, long *size)
{
    struct stat stat;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &stat) != 0)
        fail(path);
    char *bytes = malloc((size_t)stat.st_size + 1);
    if (!bytes || read(fd, bytes, (size_t)stat.st_size) != stat.st_size)
        fail(path);
    close(fd);
    bytes[stat.st_size] = '\0';
    *size = stat.st_size;
    return bytes;
}

static void connect_to(struct hand *hand, const char *name, const char *file)
{
    char alive[32], full[300];
    const char *host = strchr(name, '@') + 1;
    struct in_addr address = {.s_addr = htonl(INADDR_LOOPBACK)};
    long size;
    char *cookie = read_file(file, &size);
    cookie[strcspn(cookie, "\r\n")] = '\0';
    snprintf(alive, sizeof alive, "hand_%d", (int)getpid());
    snprintf(full, sizeof full, "%s@%s", alive, host);
    ei_init();
    if (ei_connect_xinit(&hand->node, host, alive, full, &address, cookie, 0) <
        0)
        fail("ei_connect_xinit");
    hand->fd = ei_connect(&hand->node, (char *)name);
    if (hand->fd < 0)
        fail("the node is not to be reached");
    free(cookie);
}

/* Module, path, code. */
static void put_module(const struct hand *hand, int number, ei_x_buff *out)
{
    char name[16], path[4096];
    long size;
    snprintf(name, sizeof name, "many_%03d", number);
    snprintf(path, sizeof path, "%s/%s.beam", hand->ebin, name);
    char *code = read_file(path, &size);
    ei_x_encode_atom(out, name);
    ei_x_encode_string(out, path);
    ei_x_encode_binary(out, code, size);
    free(code);
}

/* --- rpc ----------------------------------------------------------------- */

static void load_one(struct hand *hand, int number)
{
    ei_x_buff arguments, answer;
    char tag[MAXATOMLEN];
    int index = 0, arity;
    ei_x_new(&arguments);
    ei_x_new(&answer);
    ei_x_encode_list_header(&arguments, 3);
    put_module(hand, number, &arguments);
    ei_x_encode_empty_list(&arguments);
    if (ei_rpc(&hand->node, hand->fd, "code", "load_binary", arguments.buff,
               arguments.index, &answer) < 0 ||
        ei_decode_tuple_header(answer.buff, &index, &arity) ||
        ei_decode_atom(answer.buff, &index, tag) || strcmp(tag, "module") != 0)
        fail("code:load_binary/3");
    ei_x_free(&arguments);
    ei_x_free(&answer);
}

/* --- the floor ----------------------------------------------------------- */

static void send_term(struct hand *hand, ei_x_buff *term)
{
    if (ei_reg_send(&hand->node, hand->fd, HAND, term->buff, term->index) < 0)
        fail("the node is gone");
    ei_x_free(term);
}

static void send_module(struct hand *hand, int number)
{
    ei_x_buff term;
    ei_x_new_with_version(&term);
    ei_x_encode_tuple_header(&term, 4);
    ei_x_encode_atom(&term, "code");
    put_module(hand, number, &term);
    send_term(hand, &term);
}

/* Sends {What, Self}; the answer is an atom or {finished, Microseconds}. */
static long ask(struct hand *hand, const char *what)
{
    ei_x_buff term;
    erlang_msg message;
    long us = 0;
    int got, version, arity, index = 0;
    char tag[MAXATOMLEN];
    ei_x_new_with_version(&term);
    ei_x_encode_tuple_header(&term, 2);
    ei_x_encode_atom(&term, what);
    ei_x_encode_pid(&term, ei_self(&hand->node));
    send_term(hand, &term);
    ei_x_new(&term);
    do
        got = ei_xreceive_msg(hand->fd, &message, &term);
    while (got == ERL_TICK);
    if (got != ERL_MSG || ei_decode_version(term.buff, &index, &version))
        fail("no answer");
    if (ei_decode_tuple_header(term.buff, &index, &arity) == 0 &&
        (ei_decode_atom(term.buff, &index, tag) ||
         ei_decode_long(term.buff, &index, &us)))
        fail("another answer");
    ei_x_free(&term);
    return us;
}

static MDB_env *open_store(const char *path)
{
    MDB_env *env = NULL;
    if (mdb_env_create(&env) || mdb_env_set_mapsize(env, 64u << 20) ||
        mdb_env_open(env, path, 0, 0600))
        fail(path);
    return env;
}

static void commit(MDB_env *env, const char *text)
{
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val key = {5, (void *)"state"}, value = {strlen(text), (void *)text};
    if (mdb_txn_begin(env, NULL, 0, &txn) || mdb_dbi_open(txn, NULL, 0, &dbi) ||
        mdb_put(txn, dbi, &key, &value, 0) || mdb_txn_commit(txn))
        fail("the store does not commit");
}

static long run_floor(struct hand *hand, const char *store)
{
    MDB_env *env = open_store(store);
    for (int i = 1; i <= hand->count; i++)
        send_module(hand, i);
    ask(hand, "prepared");
    commit(env, "armed");
    long us = ask(hand, "finish");
    commit(env, "committed");
    mdb_env_close(env);
    return us;
}

int main(int argc, char **argv)
{
    struct hand hand = {0};
    if (argc < 6)
        fail("rpc|floor NODE COOKIE EBIN COUNT [STORE]");
    hand.ebin = argv[4];
    hand.count = atoi(argv[5]);
    connect_to(&hand, argv[2], argv[3]);
    if (!strcmp(argv[1], "floor") && argc == 7)
        printf("%ld\n", run_floor(&hand, argv[6]));
    else
        for (int i = 1; i <= hand.count; i++)
            load_one(&hand, i);
    close(hand.fd);
    return 0;
}
