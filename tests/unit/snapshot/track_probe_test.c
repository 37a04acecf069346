/* Which tracker is taken, and what is said of the others: by the setting, and where the kernel
 * refuses. Each case runs in a process of its own: the choice is made once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cmocka.h>

#include "base/config.h"
#include "snapshot/region.h"
#include "snapshot/track.h"
#include "weft/error.h"

enum { WRONG = 1, NO_FILTER = 77 };

#define SETTING "WEFT_SNAPSHOT_TRACKER"

/* Ends the child where it is false. */
static void must(int right, const char *what)
{
    if (right)
        return;
    fprintf(stderr, "wrong: %s\n", what);
    _exit(WRONG);
}

/* Runs it in a child, which may end with NO_FILTER. */
static void in_a_child(void (*run)(void))
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        run();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_FILTER)
        print_message("skipped: this kernel has no filters for system calls\n");
    else
        assert_int_equal(WEXITSTATUS(status), 0);
}

/* From now on this process has no userfaultfd. */
static void forbid_userfaultfd(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 1 /* EPERM, as containers say */),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(NO_FILTER);
}

/* Which tracker a range gets; NULL: none, and why. */
static const char *taken(const char *tracker, char why[300])
{
    const size_t len = 16 * WEFT_REGION_PAGE;
    void *base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const struct weft_track_desc desc = {.tracker = tracker, .base = base, .len_bytes = len};
    struct weft_track *track;
    must(base != MAP_FAILED, "memory");
    int err = weft__track_start(&desc, &track);
    snprintf(why, 300, "%s", err ? weft_fail_text(err) : "");
    const char *name = err ? NULL : weft__track_name(track);
    if (!err)
        weft__track_stop(track);
    munmap(base, len);
    return name;
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
        n++;
    return n;
}

static void take_by_default(void)
{
    char report[1000], line[100], why[300];
    const char *name = taken(NULL, why);
    must(name != NULL, why);
    weft__track_report(report, sizeof(report));
    must(count(report, "\n") == 3, report);
    must(count(report, ": chosen\n") == 1, report);
    snprintf(line, sizeof(line), "%s: chosen\n", name);
    must(strstr(report, line) != NULL, report);
}

static void one_tracker_is_chosen_and_the_report_names_it(void **state)
{
    (void)state;
    in_a_child(take_by_default);
}

static void take_by_setting(void)
{
    static const char *const names[] = {"segv", "none"};
    char report[1000], line[100], why[300];
    for (size_t i = 0; i < 2; i++) {
        must(weft__config_set(SETTING, names[i]) == WEFT_OK, "the setting");
        const char *name = taken(NULL, why);
        must(name != NULL && strcmp(name, names[i]) == 0, names[i]);
        weft__track_report(report, sizeof(report));
        snprintf(line, sizeof(line), "%s: chosen by " SETTING "\n", names[i]);
        must(strstr(report, line) != NULL, report);
        must(count(report, "chosen") == 1, report);
    }
    must(strcmp(taken("segv", why), "segv") == 0, "a name given goes before the setting");
    must(weft__config_set(SETTING, "magic") != WEFT_OK, "no such choice");
}

static void the_setting_chooses_for_who_names_none(void **state)
{
    (void)state;
    in_a_child(take_by_setting);
}

static void take_without_userfaultfd(void)
{
    char report[1000], why[300];
    forbid_userfaultfd();
    const char *name = taken(NULL, why);
    must(name != NULL && strcmp(name, "segv") == 0, "segv is the next");
    weft__track_report(report, sizeof(report));
    must(strncmp(report, "pagemap_scan: no userfaultfd: ", 30) == 0, report);
    must(strstr(report, "segv: chosen\n") != NULL, report);
    must(strstr(report, "none: works, and costs more\n") != NULL, report);
}

static void where_the_kernel_refuses_the_next_tracker_is_taken_and_the_reason_told(void **state)
{
    (void)state;
    in_a_child(take_without_userfaultfd);
}

static void insist_without_userfaultfd(void)
{
    char report[1000], why[300];
    forbid_userfaultfd();
    must(weft__config_set(SETTING, "pagemap_scan") == WEFT_OK, "the setting");
    must(weft__track_probe(NULL) == WEFT_ENOTSUP, "the probe");
    must(taken(NULL, why) == NULL, "no other is taken");
    must(strstr(why, "no userfaultfd: ") != NULL, why);
    weft__track_report(report, sizeof(report));
    must(strncmp(report, "pagemap_scan: no userfaultfd: ", 30) == 0, report);
    must(strstr(report, "chosen") == NULL, report);
}

static void a_tracker_that_is_asked_for_and_does_not_work_is_refused(void **state)
{
    (void)state;
    in_a_child(insist_without_userfaultfd);
}

static void report_in_little_room(void)
{
    char report[20];
    weft__track_report(report, sizeof(report));
    must(strlen(report) == sizeof(report) - 1, report);
    weft__track_report(report, 1);
    must(report[0] == '\0', report);
}

static void a_report_is_cut_to_its_room(void **state)
{
    (void)state;
    in_a_child(report_in_little_room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_tracker_is_chosen_and_the_report_names_it),
        cmocka_unit_test(the_setting_chooses_for_who_names_none),
        cmocka_unit_test(where_the_kernel_refuses_the_next_tracker_is_taken_and_the_reason_told),
        cmocka_unit_test(a_tracker_that_is_asked_for_and_does_not_work_is_refused),
        cmocka_unit_test(a_report_is_cut_to_its_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
