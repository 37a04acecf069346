/* Gives pointers to every system call that are not its own: into the host, past the end of what is
 * mapped, into pages that are not there or cannot be written. None may do anything but fail.
 * Returns 0, or the number of the call that did something else. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { VALUES = 16 };
static uintptr_t values[VALUES];
static unsigned values_n;

static void add(uintptr_t value)
{
    if (values_n < VALUES)
        values[values_n++] = value;
}

/* Writable memory of the host: the first that is listed, the last, and that behind the end of what
 * holds our stack. */
static int find_host_memory(void)
{
    static char text[1 << 16];
    int fd = open("/proc/self/maps", O_RDONLY), len = 0, n;
    while (len < (int)sizeof(text) - 1 &&
           (n = (int)read(fd, text + len, sizeof(text) - 1 - len)) > 0)
        len += n;
    close(fd);
    uintptr_t here = (uintptr_t)&fd, first = 0, last = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        unsigned long begin, end;
        char prot[8];
        if (sscanf(line, "%lx-%lx %7s", &begin, &end, prot) != 3)
            continue;
        if (here >= begin && here < end)
            add(end);
        else if (strncmp(prot, "rw", 2) == 0 && begin >> 40 != here >> 40)
            first = first ? first : begin, last = begin;
    }
    add(first);
    add(last);
    return first && last ? 0 : 1;
}

static int is_left_out(long number)
{
    switch (number) {
    case SYS_exit:
    case SYS_exit_group:
    case SYS_rt_sigreturn: /* see ends.c */
    case SYS_pause:
    case SYS_alarm:
    case SYS_sync:
        return 1;
    default:
        return 0;
    }
}

/* Whatever they are asked, they fail or do no harm. */
static void call_all(uintptr_t value)
{
    for (long number = 0; number < 460; number++)
        if (!is_left_out(number)) {
            syscall(SYS_close_range, 0, ~0u, 0); /* nothing that is waited for */
            for (int fd = 0; fd < 3; fd++)
                open("/dev/null", O_RDWR);
            syscall(number, value, value, value, value, value, value);
            syscall(number, 1, value, value, value, value, value);
            syscall(number, value, 0, 8, value, 8, 0);
            syscall(number, AT_FDCWD, value, value, 0, 0, 0);
            syscall(number, -1, value, 1, value, 8, 0);
        }
}

#define FAULTS(number, ...)                                                                        \
    if (errno = 0, syscall(SYS_##number, __VA_ARGS__) != -1 || errno != EFAULT)                    \
    return SYS_##number + 1

/* Where the program has given a pointer, the answer is EFAULT. */
static int each_says_so(uintptr_t bad, const void *good, int file)
{
    struct iovec part = {(void *)bad, 8};
    FAULTS(rt_sigaction, SIGUSR1, bad, 0, 8);
    FAULTS(rt_sigaction, SIGUSR1, 0, bad, 8);
    FAULTS(rt_sigprocmask, SIG_BLOCK, bad, 0, 8);
    FAULTS(rt_sigprocmask, SIG_BLOCK, 0, bad, 8);
    FAULTS(rt_sigpending, bad, 8);
    FAULTS(rt_sigsuspend, bad, 8);
    FAULTS(sigaltstack, bad, 0);
    FAULTS(sigaltstack, 0, bad);
    FAULTS(sched_getaffinity, 0, 8, bad);
    FAULTS(arch_prctl, 0x1003, bad);
    FAULTS(nanosleep, bad, 0);
    FAULTS(clock_nanosleep, CLOCK_REALTIME, 0, bad, 0);
    FAULTS(clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, bad, 0);
    FAULTS(clock_gettime, CLOCK_REALTIME, bad);
    FAULTS(gettimeofday, bad, 0);
    FAULTS(setitimer, 0, bad, 0);
    FAULTS(getitimer, 0, bad);
    FAULTS(poll, bad, 1, 0);
    FAULTS(ppoll, 0, 0, bad, 0, 8);
    FAULTS(select, 1, bad, 0, 0, 0);
    FAULTS(select, 1, 0, 0, 0, bad);
    FAULTS(pselect6, 1, 0, 0, 0, 0, bad);
    FAULTS(uname, bad);
    FAULTS(getrandom, bad, 8, 0);
    FAULTS(getcwd, bad, 4096);
    FAULTS(open, bad, O_RDONLY);
    FAULTS(openat, AT_FDCWD, bad, O_RDONLY);
    FAULTS(stat, bad, good);
    FAULTS(stat, "/", bad);
    FAULTS(readlink, "/proc/self/exe", bad, 100);
    FAULTS(mkdir, bad, 0700);
    FAULTS(rename, bad, "x");
    FAULTS(chdir, bad);
    FAULTS(read, file, bad, 8);
    FAULTS(readv, file, bad, 1);
    FAULTS(readv, file, &part, 1);
    FAULTS(writev, 1, &part, 1);
    FAULTS(write, 1, bad, 8);
    FAULTS(pread64, file, bad, 8, 0);
    FAULTS(fcntl, file, F_SETLK, bad);
    FAULTS(fstat, file, bad);
    FAULTS(pipe2, bad, 0);
    FAULTS(memfd_create, bad, 0);
    FAULTS(futex, bad, 0, 0, 0);
    return 0;
}

int main(void)
{
    const char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int file = open("/proc/self/exe", O_RDONLY), failed = find_host_memory();
    if (page == MAP_FAILED || file != 3 || failed)
        return 1000;
    munmap((void *)(page + 4096), 4096);
    add(16);
    add((uintptr_t)page + 4096);     /* nothing there */
    add((uintptr_t)page + 4096 - 1); /* it begins, and does not end */
    add(UINTPTR_MAX - 7);
    add(UINT64_C(0x8000000000000000));
    for (unsigned i = 0; i < values_n && !failed; i++)
        if (values[i] != (uintptr_t)page + 4096 - 1)
            failed = each_says_so(values[i], page, file);
    for (long number = 0x77656600; number < 0x77656608; number++) /* the runtime's own code's */
        if (syscall(number, 1, 2, 3) != -1 || (errno != ENOSYS && errno != EPERM))
            return 1001;
    for (unsigned i = 0; i < values_n && !failed; i++)
        call_all(values[i]);
    return failed;
}
