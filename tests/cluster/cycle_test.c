/* Hosts that start and stop, over and over: descriptors, memory, ports, files and shared memory are
 * as before. cycle_test [N]: how often; 30 without. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ask.h"
#include "cluster.h"

enum { WARM = 5, MEMORY_KIB = 4096, CYCLE_MS = 10000 };

static long cycles = 30;

static unsigned descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;
    while (dir != NULL && readdir(dir) != NULL)
        n++;
    if (dir != NULL)
        closedir(dir);
    return n;
}

/* The same host again, in the place of the process that has ended. */
static void again(struct cluster *cluster, struct cluster_host *host)
{
    cluster_host_stop(cluster, host);
    cluster_check(cluster, host->weftd == &cluster->children[cluster->children_n - 1]);
    cluster_check(cluster, cluster_ports(cluster, host->address, NULL, 0) == 0);
    cluster->children_n--;
    cluster_host_again(cluster, host);
}

static void a_head_that_starts_and_stops_leaves_nothing(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_host *head = cluster_host(cluster, "head", 1);
    cluster_check(cluster, ask_used(cluster, head) == 0); /* our client's side is open now */
    unsigned before = descriptors();
    for (long i = 1; i < cycles; i++)
        again(cluster, head);
    cluster_check(cluster, ask_used(cluster, head) == 0);
    cluster_await(cluster, CLUSTER_MS, descriptors() <= before);
}

static void a_member_that_comes_and_goes_is_listed_once(void **state)
{
    struct cluster *cluster = *state;
    (void)cluster_host(cluster, "head", 1);
    struct cluster_host *member = cluster_host(cluster, "member", 1);
    for (long i = 1; i < cycles / 3; i++)
        again(cluster, member);
    cluster_check(cluster, ask_alive(cluster, 2));
    cluster_host_stop(cluster, member);
    cluster_check(cluster, ask_alive(cluster, 1));
}

/* The numbers behind "cycle I". */
static bool numbers(const char *text, long cycle, unsigned long out[3])
{
    char key[32];
    snprintf(key, sizeof(key), "cycle %ld ", cycle);
    const char *at = strstr(text, key);
    return at != NULL && sscanf(at + strlen(key), "fds %lu threads %lu memory %lu", &out[0],
                                &out[1], &out[2]) == 3;
}

static void a_host_inside_a_process_gives_everything_back(void **state)
{
    struct cluster *cluster = *state;
    char address[24], count[16], program[512];
    unsigned long first[3], last[3];
    snprintf(address, sizeof(address), "%s.1", cluster->net);
    snprintf(count, sizeof(count), "%ld", cycles);
    snprintf(program, sizeof(program), "../tests/cluster_cycles");
    struct child *child = cluster_start(cluster, program, address, count, NULL);
    int code = child_wait(child, (unsigned)cycles * CYCLE_MS);
    if (code != 0)
        cluster_fail(cluster, "cycles ends with %d", code);
    char *text = child_read(child->out);
    cluster_check(cluster, numbers(text, WARM, first) && numbers(text, cycles - 1, last));
    free(text);
    fprintf(stderr, "after %d cycles: %lu fds, %lu threads, %lu KiB; after %ld: %lu, %lu, %lu\n",
            WARM, first[0], first[1], first[2], cycles, last[0], last[1], last[2]);
    cluster_check(cluster, last[0] == first[0] && last[1] == first[1]);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they keep freed memory */
    cluster_check(cluster, last[2] < first[2] + MEMORY_KIB);
#endif
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(a_head_that_starts_and_stops_leaves_nothing),
        CASE(a_member_that_comes_and_goes_is_listed_once),
        CASE(a_host_inside_a_process_gives_everything_back),
    };
    if (argc > 1)
        cycles = strtol(argv[1], NULL, 10);
    if (cycles <= WARM)
        return 2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
