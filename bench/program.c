/* Starting other programs and reading their lines. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "weft/error.h"

enum { READY_MS = 20000 };

const char *bench_path(const char *what, char out[4096])
{
    char self[2048];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0)
        bench_die("find this program", -errno);
    self[n] = 0;
    for (unsigned i = 0; i < 2; i++) { /* bin/bench-demo */
        char *slash = strrchr(self, '/');
        if (slash)
            *slash = 0;
    }
    snprintf(out, 4096, "%s/%s", self, what);
    return out;
}

pid_t bench_spawn(const char *const argv[], const char *err_file, int *out_fd)
{
    int out[2];
    if (pipe2(out, O_CLOEXEC) != 0)
        bench_die("pipe", -errno);
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        bench_die("fork", -errno);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        dup2(out[1], STDOUT_FILENO);
        int err = err_file ? open(err_file, O_WRONLY | O_TRUNC | O_CLOEXEC) : -1;
        if (err >= 0)
            dup2(err, STDERR_FILENO);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        fprintf(stderr, "bench: cannot start %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    close(out[1]);
    *out_fd = out[0];
    return pid;
}

/* 1: a line; 0: the other end has closed; -1: nothing came for ms. */
static int read_line(int fd, char *line, size_t len, unsigned ms)
{
    size_t n = 0;
    for (;;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        char byte;
        if (poll(&ready, 1, (int)ms) != 1)
            return -1;
        if (read(fd, &byte, 1) != 1)
            return 0;
        if (byte == '\n')
            break;
        if (n + 1 < len)
            line[n++] = byte;
    }
    line[n] = 0;
    return 1;
}

bool bench_line(int fd, char *line, size_t len)
{
    int got = read_line(fd, line, len, READY_MS);
    if (got < 0)
        bench_die("wait for a program's output", WEFT_ETIMEDOUT);
    return got > 0;
}

bool bench_line_within(int fd, char *line, size_t len, unsigned ms)
{
    return read_line(fd, line, len, ms) > 0;
}

static int status_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int bench_wait(pid_t pid)
{
    int status;
    return waitpid(pid, &status, 0) == pid ? status_of(status) : 1;
}

int bench_wait_within(pid_t pid, unsigned ms)
{
    static const int signals[] = {SIGTERM, SIGKILL};
    int status;
    for (size_t i = 0; i < 2; i++) {
        for (unsigned passed = 0; passed < ms; passed++) {
            if (waitpid(pid, &status, WNOHANG) == pid)
                return status_of(status);
            usleep(1000);
        }
        kill(pid, signals[i]);
    }
    return bench_wait(pid);
}
