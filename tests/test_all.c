/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"
#include "tree.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* tests/all.sh itself, with a make that does nothing, or waits. */

#define PATIENCE_US 10000000
#define GRACE_US    3000000
#define LOOK_US     50000
#define JOBS_MOST   16

static int set_up(void **state)
{
    struct tree *tree = calloc(1, sizeof(*tree));
    char command[4096];
    char here[2048];

    assert_non_null(tree);
    assert_non_null(getcwd(here, sizeof(here)));
    tree_open(tree);
    tree_text(tree, "tests/tools/deps.sh", "#!/bin/sh\n");
    tree_text(tree, "bin/unshare", "#!/bin/sh\n");
    tree_text(tree, "bin/make",
              "#!/bin/sh\n"
              "echo \"$*\" >>asked\n"
              "case \"$*\" in\n"
              "*' all tests fixtures '*) ;;\n"
              "*) [ ! -e wait ] || { echo $$ >>jobs; sleep 300; } ;;\n"
              "esac\n"
              "case \"$*\" in\n"
              "*check) mkdir -p build/test-logs/build\n"
              "  echo '3 passed, 1 failed' >build/test-logs/build/sum ;;\n"
              "*layers) echo no layer; exit 1 ;;\n"
              "esac\n");
    (void)snprintf(
        command, sizeof(command),
        "cp '%s/tests/all.sh' tests && "
        "mkdir tests/cross && touch tests/cross/smoke.c && "
        "for step in cross/static cross/run package reproducible; do "
        "  echo '#!/bin/sh' >tests/$step.sh; "
        "done; chmod +x bin/* tests/*.sh tests/*/*.sh",
        here);
    tree_run(tree, command);
    *state = tree;
    return 0;
}

static int tear_down(void **state)
{
    tree_close(*state);
    free(*state);
    return 0;
}

/* With its output in `said`. */
static pid_t start(const struct tree *tree)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        char command[1024];

        (void)snprintf(command, sizeof(command),
                       "cd %s && PATH=$PWD/bin:$PATH exec tests/all.sh "
                       ">said 2>&1",
                       tree->root);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    return pid;
}

/* The processes that make has become, which wait. */
static int jobs_of(const struct tree *tree, pid_t jobs[JOBS_MOST])
{
    FILE *file = fopen(tree_path(tree, "jobs"), "re");
    int count = 0;
    int pid;

    while (file && count < JOBS_MOST && fscanf(file, "%d", &pid) == 1)
        jobs[count++] = pid;
    if (file)
        (void)fclose(file);
    return count;
}

static bool ends(pid_t pid, int *status)
{
    for (int us = 0; us < PATIENCE_US; us += LOOK_US) {
        if (waitpid(pid, status, WNOHANG) == pid)
            return true;
        usleep(LOOK_US);
    }
    return false;
}

/* Whose parent has ended is not waited for by all.sh. */
static bool goes(pid_t pid)
{
    for (int us = 0; us < GRACE_US; us += LOOK_US) {
        if (kill(pid, 0) != 0 && errno == ESRCH)
            return true;
        usleep(LOOK_US);
    }
    return false;
}

static void it_counts(void **state)
{
    const struct tree *tree = *state;
    int status = 0;
    size_t size;
    pid_t pid = start(tree);
    uint8_t *bytes;
    char *said;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    bytes = tree_read(tree, "said", &size);
    said = realloc(bytes, size + 1);
    assert_non_null(said);
    said[size] = '\0';
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_contains(said, "--- layers failed, status 1:\nno layer\n");
    assert_contains(said, " passed, ");
    free(said);
}

/* clang-tidy's step and those of the packages make it, too. */
static void what_two_lanes_need_is_made_before(void **state)
{
    const struct tree *tree = *state;
    char asked[4096] = "";
    pid_t pid = start(tree);
    FILE *file;

    assert_int_equal(waitpid(pid, NULL, 0), pid);
    file = fopen(tree_path(tree, "asked"), "re");
    assert_non_null(file);
    assert_non_null(fgets(asked, sizeof(asked), file));
    (void)fclose(file);
    assert_contains(asked, " all tests fixtures build/tests/cross/smoke\n");
}

/* Sent to it alone, as by a service or a timeout. */
static void its_jobs_end_with_it(void **state)
{
    const struct tree *tree = *state;
    pid_t jobs[JOBS_MOST];
    int count = 0;
    int left = 0;
    int status = 0;
    pid_t pid;

    tree_text(tree, "wait", "");
    pid = start(tree);
    for (int us = 0; count < 2 && us < PATIENCE_US; us += LOOK_US) {
        usleep(LOOK_US);
        count = jobs_of(tree, jobs);
    }
    assert_true(count >= 2); /* of the tests and of a lane */
    assert_int_equal(kill(pid, SIGTERM), 0);
    if (!ends(pid, &status))
        (void)kill(pid, SIGKILL);
    count = jobs_of(tree, jobs);
    for (int i = 0; i < count; i++) {
        left += !goes(jobs[i]);
        (void)kill(jobs[i], SIGKILL);
    }
    assert_int_equal(left, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 130);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(it_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_two_lanes_need_is_made_before,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(its_jobs_end_with_it, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
