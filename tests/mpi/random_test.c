/* Random point to point traffic against a model.
 *
 * In each phase every pair of ranks has a list of messages (tag, length), known to both from the
 * seed. Senders start them in order in random modes, some of them as persistent requests; receivers
 * post receives of the phase's kind in a random order, or probe first, and end them by a random
 * member of the family of waits and tests. The model: every message arrives once, whole; and where
 * an earlier posted receive would have taken an earlier message of the same source, it has. On a
 * second communicator sends and receives without a partner are cancelled meanwhile. Regions move in
 * between where the case says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "weft/memory.h"

enum { TAGS = 4, PER_PAIR_MAX = 16, RANKS_MAX = 5, PACKET = 4096, HEADER = 40 };
enum { ROOM = RANKS_MAX * PER_PAIR_MAX * (20000 + MPI_BSEND_OVERHEAD) };
enum kind { EXACT, ANY_SOURCE, ANY_TAG, ANY_BOTH, KINDS };

struct sent {
    int tag, length;
};

struct received {
    MPI_Request request;
    unsigned char *buffer;
    int source, tag; /* as posted */
    MPI_Status status;
    int number; /* of the message in its pair */
};

struct traffic {
    uint64_t seed;
    bool moving;
    int phases;
};

struct phase {
    int rank, size;
    enum kind kind;
    int n[RANKS_MAX]; /* messages from each rank to me */
    struct sent from[RANKS_MAX][PER_PAIR_MAX];
    int to_n[RANKS_MAX];
    struct sent to[RANKS_MAX][PER_PAIR_MAX];
    bool moving;
    MPI_Comm other;
};

static uint64_t mix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    return z ^ (z >> 27);
}

static int random_length(uint64_t *random)
{
    static const int lengths[] = {
        8, 9, 64, PACKET - HEADER - 1, PACKET - HEADER, PACKET - HEADER + 1, 5000, 20000};
    return lengths[mix(random) % (sizeof(lengths) / sizeof(lengths[0]))];
}

static int plan_pair(uint64_t seed, int source, int dest, struct sent *list)
{
    uint64_t random = seed * 1000003u + cases_key(source, dest);
    int n = (int)(mix(&random) % PER_PAIR_MAX);
    for (int i = 0; i < n; i++)
        list[i] =
            (struct sent){.tag = (int)(mix(&random) % TAGS), .length = random_length(&random)};
    return n;
}

static void maybe_move(const struct phase *phase)
{
    if (phase->moving && native_random() % 16 == 0)
        native_move_region();
}

/* A message says who sent it, its number in the pair and its tag. */
static void stamp(unsigned char *buffer, const struct sent *message, int source, int number)
{
    uint16_t words[4] = {(uint16_t)source, (uint16_t)number, (uint16_t)message->tag,
                         (uint16_t)message->length};
    cases_fill(buffer, (size_t)message->length, cases_key(source, number));
    memcpy(buffer, words, sizeof(words));
}

static void check_message(const struct phase *phase, struct received *got)
{
    uint16_t words[4];
    int count, source = got->status.MPI_SOURCE;
    memcpy(words, got->buffer, sizeof(words));
    check(words[0] == source && source >= 0 && source < phase->size && words[1] < phase->n[source]);
    const struct sent *message = &phase->from[source][words[1]];
    got->number = words[1];
    MPI_Get_count(&got->status, MPI_BYTE, &count);
    check(count == message->length && got->status.MPI_TAG == message->tag &&
          words[2] == message->tag);
    stamp(got->buffer + message->length, message, source, got->number);
    check(memcmp(got->buffer, got->buffer + message->length, (size_t)message->length) == 0);
}

/* Receives in the order in which they were posted, all messages of this rank. */
static void check_all(const struct phase *phase, struct received *got, int n)
{
    bool seen[RANKS_MAX][PER_PAIR_MAX] = {{false}};
    for (int i = 0; i < n; i++) {
        int source = got[i].status.MPI_SOURCE;
        check_message(phase, &got[i]);
        check(!seen[source][got[i].number]);
        seen[source][got[i].number] = true;
        for (int j = 0; j < i; j++) {
            bool same_source = got[j].status.MPI_SOURCE == source;
            bool would_take = got[j].tag == MPI_ANY_TAG || got[j].tag == got[i].status.MPI_TAG;
            check(!same_source || !would_take || got[j].number < got[i].number);
        }
    }
}

static int list_receives(const struct phase *phase, struct received *list)
{
    int n = 0;
    for (int source = 0; source < phase->size; source++)
        for (int i = 0; i < phase->n[source]; i++) {
            list[n].source =
                phase->kind == ANY_SOURCE || phase->kind == ANY_BOTH ? MPI_ANY_SOURCE : source;
            list[n].tag = phase->kind == ANY_TAG || phase->kind == ANY_BOTH
                              ? MPI_ANY_TAG
                              : phase->from[source][i].tag;
            n++;
        }
    for (int i = n - 1; i > 0; i--) {
        int j = (int)(native_random() % (uint64_t)(i + 1));
        struct received swap = list[i];
        list[i] = list[j];
        list[j] = swap;
    }
    return n;
}

/* Starts a send in a random mode. */
static void start_send(unsigned char *buffer, const struct sent *message, int dest,
                       MPI_Request *request)
{
    typedef int start_fn(const void *, int, MPI_Datatype, int, int, MPI_Comm, MPI_Request *);
    static start_fn *const start[] = {MPI_Isend,     MPI_Isend,      MPI_Issend,     MPI_Ibsend,
                                      MPI_Send_init, MPI_Ssend_init, MPI_Bsend_init, MPI_Isend};
    size_t mode = native_random() % 8;
    check(start[mode](buffer, message->length, MPI_BYTE, dest, message->tag, MPI_COMM_WORLD,
                      request) == MPI_SUCCESS);
    if (mode >= 4 && mode < 7)
        check(MPI_Start(request) == MPI_SUCCESS);
}

static int start_sends(const struct phase *phase, MPI_Request *requests, unsigned char **buffers)
{
    int started = 0, next[RANKS_MAX] = {0}, left = 0;
    for (int dest = 0; dest < phase->size; dest++)
        left += phase->to_n[dest];
    while (left > 0) {
        int dest = (int)(native_random() % (uint64_t)phase->size), number = next[dest];
        if (number == phase->to_n[dest])
            continue;
        const struct sent *message = &phase->to[dest][number];
        unsigned char *buffer = weft_alloc((size_t)message->length);
        check(buffer != NULL);
        stamp(buffer, message, phase->rank, number);
        start_send(buffer, message, dest, &requests[started]);
        buffers[started++] = buffer;
        next[dest]++;
        left--;
        maybe_move(phase);
    }
    return started;
}

/* Of persistent requests the handles are left. */
static void free_rest(MPI_Request *requests, int n)
{
    for (int i = 0; i < n; i++)
        if (requests[i] != MPI_REQUEST_NULL)
            check(MPI_Request_free(&requests[i]) == MPI_SUCCESS);
}

/* Looks first; what is seen is what comes. */
static void receive_probed(struct received *list, int n)
{
    for (int i = 0; i < n; i++) {
        MPI_Status seen, *got = &list[i].status;
        MPI_Message message = MPI_MESSAGE_NULL;
        MPI_Request request;
        int flag = 0, how = (int)(native_random() % 5), source = list[i].source, tag = list[i].tag;
        if (how == 0)
            MPI_Probe(source, tag, MPI_COMM_WORLD, &seen);
        else if (how >= 3)
            MPI_Mprobe(source, tag, MPI_COMM_WORLD, &message, &seen);
        while (how == 1 && !flag)
            MPI_Iprobe(source, tag, MPI_COMM_WORLD, &flag, &seen);
        while (how == 2 && !flag)
            MPI_Improbe(source, tag, MPI_COMM_WORLD, &flag, &message, &seen);
        if (how < 2) {
            MPI_Recv(list[i].buffer, 20000, MPI_BYTE, seen.MPI_SOURCE, seen.MPI_TAG, MPI_COMM_WORLD,
                     got);
        } else if (how < 4) {
            MPI_Mrecv(list[i].buffer, 20000, MPI_BYTE, &message, got);
        } else {
            MPI_Imrecv(list[i].buffer, 20000, MPI_BYTE, &message, &request);
            MPI_Wait(&request, got);
        }
        check(got->MPI_SOURCE == seen.MPI_SOURCE && got->MPI_TAG == seen.MPI_TAG);
    }
}

/* Receives that are posted and not known to be done. */
struct posted {
    struct received *list;
    MPI_Request *requests;
    int *indices;
    MPI_Status *statuses;
    int n, left;
};

static void settle(struct posted *posted, int index, const MPI_Status *status)
{
    posted->list[index].status = *status;
    posted->left--;
    if (posted->requests[index] != MPI_REQUEST_NULL)
        check(MPI_Request_free(&posted->requests[index]) == MPI_SUCCESS);
}

static void end_one(struct posted *posted, bool wait)
{
    int index = MPI_UNDEFINED, flag = 1;
    MPI_Status status;
    if (wait)
        check(MPI_Waitany(posted->n, posted->requests, &index, &status) == MPI_SUCCESS);
    else
        check(MPI_Testany(posted->n, posted->requests, &index, &flag, &status) == MPI_SUCCESS);
    if (flag && index != MPI_UNDEFINED)
        settle(posted, index, &status);
}

static void end_some(struct posted *posted, bool wait)
{
    int n = 0, flag;
    check(MPI_Request_get_status_any(posted->n, posted->requests, &n, &flag, MPI_STATUS_IGNORE) ==
          MPI_SUCCESS);
    check((wait ? MPI_Waitsome : MPI_Testsome)(posted->n, posted->requests, &n, posted->indices,
                                               posted->statuses) == MPI_SUCCESS);
    for (int i = 0; n != MPI_UNDEFINED && i < n; i++)
        settle(posted, posted->indices[i], &posted->statuses[i]);
}

/* All that are posted; those that are known to be done have no request any more. */
static void end_all(struct posted *posted, bool wait)
{
    int flag = 1, n = 0;
    for (int i = 0; i < posted->n; i++)
        if (posted->requests[i] != MPI_REQUEST_NULL)
            posted->indices[n++] = i;
    if (wait)
        check(MPI_Waitall(posted->n, posted->requests, posted->statuses) == MPI_SUCCESS);
    else
        check(MPI_Testall(posted->n, posted->requests, &flag, posted->statuses) == MPI_SUCCESS);
    for (int i = 0; flag && i < n; i++)
        settle(posted, posted->indices[i], &posted->statuses[posted->indices[i]]);
}

static void post_one(struct posted *posted)
{
    const struct received *next = &posted->list[posted->n];
    MPI_Request *request = &posted->requests[posted->n++];
    if (native_random() % 3 == 0) {
        MPI_Recv_init(next->buffer, 20000, MPI_BYTE, next->source, next->tag, MPI_COMM_WORLD,
                      request);
        check(MPI_Start(request) == MPI_SUCCESS);
    } else {
        MPI_Irecv(next->buffer, 20000, MPI_BYTE, next->source, next->tag, MPI_COMM_WORLD, request);
    }
}

static void receive_posted(const struct phase *phase, struct received *list, int n)
{
    struct posted posted = {.list = list, .left = n};
    size_t room = (size_t)n + 1;
    posted.requests = weft_alloc(room * sizeof(MPI_Request));
    posted.indices = weft_alloc(room * sizeof(int));
    posted.statuses = weft_alloc(room * sizeof(MPI_Status));
    check(posted.requests && posted.indices && posted.statuses);
    while (posted.left > 0) {
        bool wait = native_random() % 3 == 0;
        unsigned what = (unsigned)(native_random() % 8);
        if (posted.n < n && what < 5)
            post_one(&posted);
        else if (what == 7)
            end_all(&posted, wait);
        else if (what % 2)
            end_some(&posted, wait);
        else
            end_one(&posted, wait);
        maybe_move(phase);
    }
    weft_free(posted.requests);
    weft_free(posted.indices);
    weft_free(posted.statuses);
}

/* What has no partner, beside the traffic. */
struct lonely {
    MPI_Request requests[3];
    unsigned char *buffer;
};

static void start_lonely(const struct phase *phase, struct lonely *lonely)
{
    int peer = (int)(native_random() % (uint64_t)phase->size);
    lonely->buffer = weft_alloc(20000);
    MPI_Irecv(lonely->buffer, 20000, MPI_BYTE, MPI_ANY_SOURCE, 1, phase->other,
              &lonely->requests[0]);
    MPI_Isend(lonely->buffer, 20000, MPI_BYTE, peer, 2, phase->other, &lonely->requests[1]);
    MPI_Issend(lonely->buffer, 8, MPI_BYTE, peer, 3, phase->other, &lonely->requests[2]);
}

static void cancel_lonely(const struct phase *phase, struct lonely *lonely)
{
    for (int i = 0; i < 3; i++) {
        MPI_Status status;
        int flag = 0;
        check(MPI_Cancel(&lonely->requests[i]) == MPI_SUCCESS);
        maybe_move(phase);
        check(MPI_Wait(&lonely->requests[i], &status) == MPI_SUCCESS);
        check(MPI_Test_cancelled(&status, &flag) == MPI_SUCCESS && flag);
    }
    weft_free(lonely->buffer);
}

static void run_phase(const struct phase *phase)
{
    enum { MAX = RANKS_MAX * PER_PAIR_MAX };
    struct received *list = weft_alloc(MAX * sizeof(*list));
    MPI_Request *sends = weft_alloc(MAX * sizeof(MPI_Request));
    unsigned char **buffers = weft_alloc(MAX * sizeof(*buffers));
    int n = list_receives(phase, list);
    for (int i = 0; i < n; i++)
        list[i].buffer = weft_alloc(40000);
    struct lonely *lonely = weft_alloc(sizeof(*lonely));
    start_lonely(phase, lonely);
    int started = start_sends(phase, sends, buffers);
    if (native_random() % 3 == 0)
        receive_probed(list, n);
    else
        receive_posted(phase, list, n);
    check(MPI_Waitall(started, sends, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
    free_rest(sends, started);
    cancel_lonely(phase, lonely);
    weft_free(lonely);
    check_all(phase, list, n);
    for (int i = 0; i < n; i++)
        weft_free(list[i].buffer);
    for (int i = 0; i < started; i++)
        weft_free(buffers[i]);
    weft_free(list);
    weft_free(sends);
    weft_free(buffers);
    MPI_Barrier(MPI_COMM_WORLD);
}

static int traffic_main(void *argument)
{
    const struct traffic *traffic = argument;
    struct phase *phase = calloc(1, sizeof(*phase));
    cases_init(&phase->rank, &phase->size);
    phase->moving = traffic->moving;
    void *room = traffic->seed % 2 ? weft_alloc(ROOM) : MPI_BUFFER_AUTOMATIC;
    MPI_Comm_dup(MPI_COMM_WORLD, &phase->other);
    check(room && MPI_Buffer_attach(room, ROOM) == MPI_SUCCESS);
    for (int i = 0; i < traffic->phases; i++) {
        uint64_t seed = traffic->seed * 97 + (uint64_t)i;
        phase->kind = (enum kind)(i % KINDS);
        for (int peer = 0; peer < phase->size; peer++) {
            phase->n[peer] = plan_pair(seed, peer, phase->rank, phase->from[peer]);
            phase->to_n[peer] = plan_pair(seed, phase->rank, peer, phase->to[peer]);
        }
        run_phase(phase);
    }
    void *was;
    int size;
    MPI_Buffer_detach(&was, &size);
    check(was == room);
    if (room != MPI_BUFFER_AUTOMATIC)
        weft_free(room);
    MPI_Comm_free(&phase->other);
    free(phase);
    MPI_Finalize();
    return 0;
}

static void run_traffic(int ranks, uint64_t seed, bool moving, size_t mailbox_bytes)
{
    struct traffic traffic = {.seed = seed + 1, .moving = moving, .phases = moving ? 4 : 8};
    const struct native_options options = {.ranks = ranks,
                                           .seed = seed,
                                           .mailbox_bytes = mailbox_bytes,
                                           .region_bytes = 12u << 20,
                                           .packet_max = PACKET};
    cases_run(&options, traffic_main, &traffic);
}

static void every_message_arrives_once_and_in_order(void **state)
{
    (void)state;
    for (int ranks = 1; ranks <= RANKS_MAX; ranks++)
        for (uint64_t seed = 0; seed < 3; seed++)
            run_traffic(ranks, seed, false, 0);
}

static void a_mailbox_of_two_packets_is_enough(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++)
        run_traffic(4, seed, false, 16384);
}

static void every_message_arrives_once_and_in_order_while_ranks_are_moved(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 3; seed++)
        run_traffic(3, seed, true, 16384);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_arrives_once_and_in_order),
        cmocka_unit_test(a_mailbox_of_two_packets_is_enough),
        cmocka_unit_test(every_message_arrives_once_and_in_order_while_ranks_are_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
