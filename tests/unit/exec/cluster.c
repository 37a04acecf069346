/* Driving helpers: a command is a line, its answer the next line that is no event. Waiting is
 * bounded by an alarm, which ends the test program. */
#include "cluster.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_S 100

static void start_helper(struct helper *helper)
{
    int to[2], from[2];
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    helper->pid = fork();
    assert_true(helper->pid >= 0);
    if (helper->pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        execl(HELPER, HELPER, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    helper->to = fdopen(to[1], "w");
    helper->from = fdopen(from[0], "r");
    helper->events_end = &helper->events;
}

/* Reads one line into reply; keeps it as an event if it is one, and returns whether. */
static bool read_line(struct helper *helper)
{
    alarm(PATIENCE_S);
    ssize_t len = getline(&helper->reply, &helper->reply_room, helper->from);
    alarm(0);
    if (len <= 0)
        fail_msg("process %d has ended", (int)helper->pid);
    helper->reply[len - 1] = 0;
    if (helper->reply[0] != '!')
        return false;
    struct line *line = malloc(sizeof(*line) + (size_t)len);
    line->next = NULL;
    memcpy(line->text, helper->reply + 1, (size_t)len - 1);
    *helper->events_end = line;
    helper->events_end = &line->next;
    return true;
}

static void write_line(struct helper *helper, const char *fmt, va_list args)
{
    vfprintf(helper->to, fmt, args);
    fputc('\n', helper->to);
    fflush(helper->to);
    while (read_line(helper))
        ;
}

const char *helper_ask(struct helper *helper, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    write_line(helper, fmt, args);
    va_end(args);
    return helper->reply;
}

void helper_do(struct helper *helper, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    write_line(helper, fmt, args);
    va_end(args);
    if (strncmp(helper->reply, "ok", 2) != 0)
        fail_msg("%.20s ...: %s", fmt, helper->reply);
}

static char *take_event(struct helper *helper, const char *begin)
{
    for (struct line **at = &helper->events; *at; at = &(*at)->next) {
        struct line *line = *at;
        if (strncmp(line->text, begin, strlen(begin)) != 0)
            continue;
        char *text = strdup(line->text);
        *at = line->next;
        if (helper->events_end == &line->next)
            helper->events_end = at;
        free(line);
        return text;
    }
    return NULL;
}

char *helper_event(struct helper *helper, const char *begin)
{
    char *text;
    while (!(text = take_event(helper, begin)))
        if (!read_line(helper))
            fail_msg("an answer without a question: %s", helper->reply);
    return text;
}

static void introduce(struct cluster *cluster)
{
    for (int i = 0; i < cluster->n; i++)
        for (int k = 0; k < cluster->n; k++)
            helper_do(&cluster->helpers[i], "process %d %s", k, cluster->helpers[k].lane);
    for (int i = 0; i < cluster->n; i++)
        for (int32_t rank = 0; rank < cluster->size; rank++)
            helper_do(&cluster->helpers[i], "route %d %d 1", (int)rank, cluster->place[rank]);
    for (int32_t rank = 0; rank < cluster->size; rank++)
        helper_do(&cluster->helpers[cluster->place[rank]], "add %d 1", (int)rank);
}

bool cluster_open(struct cluster *cluster, const struct cluster_desc *desc)
{
    memset(cluster, 0, sizeof(*cluster));
    cluster->n = desc->n;
    cluster->size = desc->size;
    for (int i = 0; i < desc->n; i++)
        start_helper(&cluster->helpers[i]);
    for (int32_t rank = 0; rank < desc->size; rank++) {
        cluster->place[rank] = desc->placement[rank];
        cluster->incarnation[rank] = 1;
    }
    for (int i = 0; i < desc->n; i++) {
        struct helper *helper = &cluster->helpers[i];
        const char *reply =
            helper_ask(helper, "open %d %d %s %s", i, (int)desc->size, desc->scheme, desc->program);
        if (strncmp(reply, "ok ", 3) != 0) {
            print_message("%s cannot be had here: %s\n", desc->scheme, reply);
            cluster_close(cluster);
            return false;
        }
        snprintf(helper->lane, sizeof(helper->lane), "%s", reply + 3);
    }
    introduce(cluster);
    return true;
}

void cluster_start(struct cluster *cluster)
{
    for (int32_t rank = 0; rank < cluster->size; rank++)
        helper_do(&cluster->helpers[cluster->place[rank]], "start %d", (int)rank);
}

static void free_helper(struct helper *helper)
{
    if (helper->to)
        fclose(helper->to);
    if (helper->from)
        fclose(helper->from);
    struct line *line = helper->events;
    while (line) {
        struct line *next = line->next;
        free(line);
        line = next;
    }
    free(helper->reply);
    *helper = (struct helper){.gone = true};
}

void cluster_kill(struct cluster *cluster, int process)
{
    struct helper *helper = &cluster->helpers[process];
    kill(helper->pid, SIGKILL);
    waitpid(helper->pid, NULL, 0);
    free_helper(helper);
}

void cluster_close(struct cluster *cluster)
{
    for (int i = 0; i < cluster->n; i++) {
        struct helper *helper = &cluster->helpers[i];
        int status;
        if (helper->gone)
            continue;
        fclose(helper->to);
        helper->to = NULL;
        alarm(PATIENCE_S);
        assert_int_equal(waitpid(helper->pid, &status, 0), helper->pid);
        alarm(0);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("process %d ended with status 0x%x", i, (unsigned)status);
        free_helper(helper);
    }
}

char *cluster_freeze(struct cluster *cluster, int32_t rank)
{
    struct helper *source = &cluster->helpers[cluster->place[rank]];
    char begin[32];
    helper_do(source, "freeze %d", (int)rank);
    snprintf(begin, sizeof(begin), "frozen %d ", (int)rank);
    char *event = helper_event(source, begin);
    size_t skip = strlen(begin);
    if (strncmp(event + skip, "0 ", 2) != 0)
        fail_msg("%s", event);
    char *descriptor = strdup(event + skip + 2);
    free(event);
    return descriptor;
}

void cluster_pull(struct cluster *cluster, int32_t rank, int to, const char *descriptor)
{
    struct helper *dest = &cluster->helpers[to];
    char begin[32];
    helper_do(dest, "pull %d %s", (int)rank, descriptor);
    snprintf(begin, sizeof(begin), "pulled %d ", (int)rank);
    char *event = helper_event(dest, begin);
    if (strncmp(event + strlen(begin), "0 ", 2) != 0)
        fail_msg("%s", event);
    free(event);
}

void cluster_commit(struct cluster *cluster, int32_t rank, int to)
{
    int from = cluster->place[rank];
    unsigned incarnation = ++cluster->incarnation[rank];
    cluster->place[rank] = to;
    helper_do(&cluster->helpers[to], "resume %d %u", (int)rank, incarnation);
    helper_do(&cluster->helpers[from], "depart %d %d %u", (int)rank, to, incarnation);
}

void cluster_tell(struct cluster *cluster, int32_t rank, int except1, int except2)
{
    for (int i = 0; i < cluster->n; i++)
        if (i != except1 && i != except2 && !cluster->helpers[i].gone)
            helper_do(&cluster->helpers[i], "route %d %d %u", (int)rank, cluster->place[rank],
                      cluster->incarnation[rank]);
}

uint64_t cluster_move(struct cluster *cluster, int32_t rank, int to, bool wait_for_flush)
{
    int from = cluster->place[rank];
    helper_do(&cluster->helpers[to], "reserve %d", (int)rank);
    char *descriptor = cluster_freeze(cluster, rank);
    cluster_pull(cluster, rank, to, descriptor);
    free(descriptor);
    cluster_commit(cluster, rank, to);
    cluster_tell(cluster, rank, from, to);
    if (!wait_for_flush)
        return 0;
    char begin[32];
    snprintf(begin, sizeof(begin), "flushed %d %u ", (int)rank, cluster->incarnation[rank]);
    char *event = helper_event(&cluster->helpers[from], begin);
    uint64_t forwarded = strtoull(event + strlen(begin), NULL, 10);
    free(event);
    return forwarded;
}

int cluster_exit_code(struct cluster *cluster, int32_t rank)
{
    char begin[32];
    snprintf(begin, sizeof(begin), "exited %d ", (int)rank);
    char *event = helper_event(&cluster->helpers[cluster->place[rank]], begin);
    unsigned incarnation;
    int number, code;
    assert_int_equal(sscanf(event, "exited %d %u %d", &number, &incarnation, &code), 3);
    assert_int_equal(incarnation, cluster->incarnation[rank]);
    free(event);
    return code;
}

uint64_t cluster_stat(struct cluster *cluster, const char *name)
{
    uint64_t sum = 0;
    char word[40];
    snprintf(word, sizeof(word), " %s ", name);
    for (int i = 0; i < cluster->n; i++) {
        if (cluster->helpers[i].gone)
            continue;
        const char *at = strstr(helper_ask(&cluster->helpers[i], "stats"), word);
        assert_non_null(at);
        sum += strtoull(at + strlen(word), NULL, 10);
    }
    return sum;
}
