/* The harness finds what a test leaves behind: else all other tests would prove little. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster.h"

static void a_process_that_is_left_is_found_and_ended(void **state)
{
    struct cluster *cluster = *state;
    char *argv[] = {(char *)(uintptr_t) "/bin/sleep", (char *)(uintptr_t) "600", NULL};
    struct child child;
    assert_true(child_start(&child, cluster->work, argv, -1));
    cluster_await(cluster, CLUSTER_MS, cluster_marked(cluster, false) == 1);
    assert_true(cluster_is_marked(cluster, (uint64_t)child.pid));
    assert_int_equal(cluster_marked(cluster, true), 1);
    assert_int_equal(child_wait(&child, CLUSTER_MS), 128 + SIGKILL);
    assert_int_equal(cluster_marked(cluster, false), 0);
}

static void a_port_that_is_left_is_found(void **state)
{
    struct cluster *cluster = *state;
    char address[24];
    uint16_t port = 0;
    struct sockaddr_in at = {.sin_family = AF_INET};
    snprintf(address, sizeof(address), "%s.5", cluster->net);
    assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(cluster_ports(cluster, NULL, NULL, 0), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(cluster_ports(cluster, NULL, NULL, 0), 1);
    assert_int_equal(cluster_ports(cluster, address, &port, 1), 1);
    socklen_t len = sizeof(at);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(port, ntohs(at.sin_port));
    close(fd);
    assert_int_equal(cluster_ports(cluster, NULL, NULL, 0), 0);
}

static void files_and_reports_that_are_left_are_found(void **state)
{
    struct cluster *cluster = *state;
    char path[200], shm[64];
    cluster->gone_ms = 100;
    assert_int_equal(cluster_left(cluster), 0);
    snprintf(path, sizeof(path), "%s/tmp/weft-0-1", cluster->work);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(cluster_left(cluster), 1);
    unlink(path);
    snprintf(path, sizeof(path), "%s/san/report.1", cluster->work);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(cluster_left(cluster), 1);
    unlink(path);
    snprintf(shm, sizeof(shm), "/cluster-%s", cluster->mark);
    close(shm_open(shm, O_CREAT | O_RDWR, 0600));
    assert_int_equal(cluster_left(cluster), 1);
    shm_unlink(shm);
    assert_int_equal(cluster_left(cluster), 0);
}

static void a_report_of_a_sanitizer_arrives(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    struct cluster *cluster = *state;
    cluster_host(cluster, "home", 1);
    struct child *run = cluster_weft(cluster, "run", "--at", cluster->hosts[0].address,
                                     cluster_program("ends"), "report", NULL);
    fprintf(stderr, "weft run: %d\n", run->code);
    cluster_host_stop(cluster, &cluster->hosts[0]);
    assert_true(cluster_left(cluster) > 0);
    char folder[200];
    snprintf(folder, sizeof(folder), "%s/san", cluster->work);
    cluster_remove(folder);
#else
    (void)state;
    print_message("no sanitizer in this build\n");
    skip();
#endif
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(a_process_that_is_left_is_found_and_ended),
        CASE(a_port_that_is_left_is_found),
        CASE(files_and_reports_that_are_left_are_found),
        CASE(a_report_of_a_sanitizer_arrives),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
