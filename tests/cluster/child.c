/* Files instead of pipes: nothing blocks when nobody reads, and a test can look at any time. */
#include "child.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { NAP_US = 5000, TICK_MAX_MS = 50, PRINT_MAX = 6000 };

static int net_fd = -1, time_fd = -1, input_fd = -1;

void child_set_net(int fd)
{
    net_fd = fd;
}

uint64_t child_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

void child_set_time(int fd)
{
    time_fd = fd;
}

void child_set_input(int fd)
{
    input_fd = fd;
}

void child_nap(void)
{
    (void)usleep(NAP_US);
}

struct child_patience child_patience(uint64_t timeout_ms)
{
    return (struct child_patience){.left_ms = timeout_ms, .seen_ms = child_now_ms()};
}

bool child_patience_over(struct child_patience *patience)
{
    uint64_t now = child_now_ms(), passed = now - patience->seen_ms;
    passed = passed < TICK_MAX_MS ? passed : TICK_MAX_MS;
    patience->seen_ms = now;
    patience->left_ms -= passed < patience->left_ms ? passed : patience->left_ms;
    return patience->left_ms == 0;
}

static _Noreturn void become(const struct child *child, char *const *argv, int fd, pid_t parent)
{
    int in = input_fd >= 0 ? input_fd : open("/dev/null", O_RDONLY);
    int out = open(child->out, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    int err = open(child->err, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    if ((net_fd >= 0 && setns(net_fd, CLONE_NEWNET) != 0) ||
        (time_fd >= 0 && setns(time_fd, 0) != 0) || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 ||
        getppid() != parent || in < 0 || out < 0 || err < 0 || dup2(in, 0) < 0 ||
        dup2(out, 1) < 0 || dup2(err, 2) < 0)
        _exit(126);
    for (int i = 3; i < 256; i++)
        if (i != fd)
            (void)close(i);
    execv(argv[0], argv);
    _exit(127);
}

bool child_start(struct child *child, const char *folder, char *const *argv, int fd)
{
    static unsigned number;
    pid_t parent = getpid();
    memset(child, 0, sizeof(*child));
    number++;
    snprintf(child->out, sizeof(child->out), "%s/%u.out", folder, number);
    snprintf(child->err, sizeof(child->err), "%s/%u.err", folder, number);
    child->pid = fork();
    if (child->pid == 0)
        become(child, argv, fd, parent);
    child->over = child->pid < 0;
    return child->pid > 0;
}

bool child_over(struct child *child)
{
    int status;
    if (!child->over && waitpid(child->pid, &status, WNOHANG) == child->pid) {
        child->over = true;
        child->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    return child->over;
}

int child_wait(struct child *child, unsigned timeout_ms)
{
    struct child_patience patience = child_patience(timeout_ms);
    while (!child_over(child)) {
        if (child_patience_over(&patience))
            return -1;
        child_nap();
    }
    return child->code;
}

void child_signal(const struct child *child, int number)
{
    if (!child->over)
        (void)kill(child->pid, number);
}

char *child_read(const char *path)
{
    FILE *file = fopen(path, "re");
    size_t len = 0, room = 4096;
    char *text = malloc(room);
    if (text == NULL)
        abort();
    for (size_t n = 1; file != NULL && n > 0; len += n) {
        if (room - len < 2048) {
            char *grown = realloc(text, room *= 2);
            if (grown == NULL)
                abort();
            text = grown;
        }
        n = fread(text + len, 1, room - len - 1, file);
    }
    if (file != NULL)
        (void)fclose(file);
    text[len] = '\0';
    return text;
}

static bool holds(const char *path, const char *text)
{
    char *all = child_read(path);
    bool found = strstr(all, text) != NULL;
    free(all);
    return found;
}

bool child_complained(const struct child *child, const char *text)
{
    return holds(child->err, text);
}

bool child_said(const struct child *child, const char *text)
{
    return holds(child->out, text) || holds(child->err, text);
}

static void print_tail(const char *path, const char *what)
{
    char *text = child_read(path);
    size_t len = strlen(text);
    if (len > 0)
        fprintf(stderr, "  %s:\n%s\n", what, len > PRINT_MAX ? text + len - PRINT_MAX : text);
    free(text);
}

void child_print(const struct child *child, const char *title)
{
    fprintf(stderr, "-- %s, process %d, ", title, (int)child->pid);
    if (child->over)
        fprintf(stderr, "ended with %d\n", child->code);
    else
        fprintf(stderr, "runs\n");
    print_tail(child->out, "stdout");
    print_tail(child->err, "stderr");
}
