/* Raw libfabric as ends: what ofi is compared with, written for speed.
 *
 * One endpoint of type FI_EP_RDM on the same provider and address as weft's, with manual progress,
 * one thread, a completion queue without a wait object that is read over and over, short messages
 * by fi_inject, RECVS posted receives of the longest message that are posted again as they
 * complete (with 64 of them a round trip of 64 KiB takes 10.6 us and not 9.4: caches), memory that
 * was registered once. Nothing checks, counts, copies or bounds anything that the provider does
 * not: no token, no per-peer queue, no watch for peers that are gone.
 *
 * Puts ask for FI_DELIVERY_COMPLETE, as weft's complete when their bytes are there. It cannot
 * sleep: net's wait objects stay readable for ever (transport/ofi/fabric.c). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>

#include "base/clock.h"
#include "data_ends.h"
#include "transport/ofi/impl.h" /* loads the library */
#include "weft/error.h"

enum { RECVS = 8, NAME_MAX_BYTES = 128, CQ_BATCH = 16 };
#define LOOK_EVERY 65536u /* turns that found nothing, before the clock is looked at */

struct context {
    struct fi_context2 fi; /* must come first */
    struct context *next;
    unsigned char *recv; /* a receive's buffer; NULL: another operation */
};

struct end {
    struct fi_info *info;
    struct fid_fabric *fabric;
    struct fid_domain *domain;
    struct fid_cq *cq;
    struct fid_av *av;
    struct fid_ep *ep;
    struct fid_mr *mr; /* of bytes */
    fi_addr_t peer;
    uint64_t key, base; /* of the other side's bytes */
    unsigned char *bytes, *recvs;
    struct fid_mr *recvs_mr;
    struct context recv_contexts[RECVS], contexts[DATA_WINDOW_MAX];
    struct context *idle;
    unsigned in_flight;
    unsigned long received;
};

struct greeting {
    size_t name_len;
    unsigned char name[NAME_MAX_BYTES];
    uint64_t key, base;
};

static void check(const char *what, ssize_t rc)
{
    if (rc == 0)
        return;
    fprintf(stderr, "raw libfabric: %s: %s\n", what, fi_strerror((int)-rc));
    exit(1);
}

/* ---- opening ---- */

static int find(struct end *end, const char *provider, unsigned side)
{
    int err = weft__ofi_library_load();
    if (err)
        return err;
    struct fi_info *hints = fi_allocinfo();
    if (!hints)
        return WEFT_ENOMEM;
    hints->caps = FI_MSG | FI_RMA;
    hints->mode = FI_CONTEXT | FI_CONTEXT2;
    hints->ep_attr->type = FI_EP_RDM;
    hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
    hints->domain_attr->threading = FI_THREAD_DOMAIN;
    hints->domain_attr->control_progress = FI_PROGRESS_MANUAL;
    hints->domain_attr->data_progress = FI_PROGRESS_MANUAL;
    hints->domain_attr->av_type = FI_AV_TABLE;
    hints->fabric_attr->prov_name = strdup(provider);
    int rc = fi_getinfo(FI_VERSION(1, 17), data_address(side), NULL, FI_SOURCE | FI_NUMERICHOST,
                        hints, &end->info);
    fi_freeinfo(hints);
    if (rc == 0)
        return WEFT_OK;
    return weft_fail(WEFT_ENOTSUP, "%s offers nothing on %s: %s", provider, data_address(side),
                     fi_strerror(-rc));
}

static void post(struct end *end, struct context *context)
{
    ssize_t rc;
    while ((rc = fi_recv(end->ep, context->recv, DATA_MESSAGE_MAX,
                         end->recvs_mr ? fi_mr_desc(end->recvs_mr) : NULL, FI_ADDR_UNSPEC,
                         &context->fi)) == -FI_EAGAIN) {
    }
    check("fi_recv", rc);
}

static void open_all(struct end *end)
{
    struct fi_cq_attr cq = {.size = 1024, .format = FI_CQ_FORMAT_CONTEXT, .wait_obj = FI_WAIT_NONE};
    struct fi_av_attr av = {.type = FI_AV_TABLE, .count = 1};
    check("fi_fabric", fi_fabric(end->info->fabric_attr, &end->fabric, NULL));
    check("fi_domain", fi_domain(end->fabric, end->info, &end->domain, NULL));
    check("fi_cq_open", fi_cq_open(end->domain, &cq, &end->cq, NULL));
    check("fi_av_open", fi_av_open(end->domain, &av, &end->av, NULL));
    check("fi_endpoint", fi_endpoint(end->domain, end->info, &end->ep, NULL));
    check("fi_ep_bind", fi_ep_bind(end->ep, &end->cq->fid, FI_TRANSMIT | FI_RECV));
    check("fi_ep_bind", fi_ep_bind(end->ep, &end->av->fid, 0));
    check("fi_enable", fi_enable(end->ep));
}

static void open_memory(struct end *end, unsigned side)
{
    end->recvs = data_memory(RECVS * DATA_MESSAGE_MAX);
    check("fi_mr_reg", fi_mr_reg(end->domain, end->bytes, DATA_BYTES_MAX,
                                 FI_SEND | FI_READ | FI_WRITE | FI_REMOTE_READ | FI_REMOTE_WRITE, 0,
                                 side + 1u, 0, &end->mr, NULL));
    if (end->info->domain_attr->mr_mode & FI_MR_LOCAL)
        check("fi_mr_reg", fi_mr_reg(end->domain, end->recvs, RECVS * DATA_MESSAGE_MAX, FI_RECV, 0,
                                     side + 3u, 0, &end->recvs_mr, NULL));
    for (size_t i = 0; i < RECVS; i++) {
        end->recv_contexts[i].recv = end->recvs + i * DATA_MESSAGE_MAX;
        post(end, &end->recv_contexts[i]);
    }
    for (size_t i = 0; i < DATA_WINDOW_MAX; i++) {
        end->contexts[i].next = end->idle;
        end->idle = &end->contexts[i];
    }
}

static void greet(struct end *end, int fd)
{
    struct greeting greeting = {
        .name_len = NAME_MAX_BYTES,
        .key = fi_mr_key(end->mr),
        .base = end->info->domain_attr->mr_mode & FI_MR_VIRT_ADDR ? (uintptr_t)end->bytes : 0};
    check("fi_getname", fi_getname(&end->ep->fid, greeting.name, &greeting.name_len));
    bench_send(fd, &greeting, sizeof(greeting));
    if (!bench_receive(fd, &greeting, sizeof(greeting)))
        bench_die("greet the other side", WEFT_EPEERDEAD);
    end->key = greeting.key;
    end->base = greeting.base;
    if (fi_av_insert(end->av, greeting.name, 1, &end->peer, 0, NULL) != 1)
        bench_die("fi_av_insert", WEFT_EINVAL);
}

static void *open_end(const struct data_subject *subject, unsigned side, int fd,
                      unsigned char *bytes)
{
    struct end *end = calloc(1, sizeof(*end));
    if (!end)
        bench_die("memory", WEFT_ENOMEM);
    int err = find(end, subject->provider, side);
    if (err) {
        if (side == 0)
            fprintf(stderr, "bench-data: without %s: %s\n", subject->id, weft_fail_text(err));
        free(end);
        return NULL;
    }
    open_all(end);
    end->bytes = bytes;
    open_memory(end, side);
    greet(end, fd);
    return end;
}

static void close_end(void *ctx)
{
    struct end *end = ctx;
    fi_close(&end->ep->fid);
    fi_close(&end->mr->fid);
    if (end->recvs_mr)
        fi_close(&end->recvs_mr->fid);
    fi_close(&end->cq->fid);
    fi_close(&end->av->fid);
    fi_close(&end->domain->fid);
    fi_close(&end->fabric->fid);
    fi_freeinfo(end->info);
    free(end->recvs);
    free(end);
}

static bool can(const struct data_subject *subject, const struct data_task *task)
{
    (void)subject;
    return !task->asleep;
}

/* ---- moving ---- */

static void completed(struct end *end, struct context *context)
{
    if (context->recv) {
        end->received++;
        post(end, context);
    } else {
        context->next = end->idle;
        end->idle = context;
        end->in_flight--;
    }
}

static void turn(void *ctx)
{
    struct end *end = ctx;
    struct fi_cq_entry entries[CQ_BATCH];
    ssize_t n = fi_cq_read(end->cq, entries, CQ_BATCH);
    if (n == -FI_EAGAIN)
        return;
    if (n < 0) {
        struct fi_cq_err_entry error = {0};
        fi_cq_readerr(end->cq, &error, 0);
        check("an operation", error.err ? -error.err : n);
    }
    for (ssize_t i = 0; i < n; i++)
        completed(end, entries[i].op_context);
}

static void await(struct end *end, unsigned long received, unsigned in_flight)
{
    uint64_t deadline_ns = 0;
    for (unsigned i = 1; end->received < received || end->in_flight > in_flight; i++) {
        turn(end);
        if (i % LOOK_EVERY != 0)
            continue;
        if (!deadline_ns)
            deadline_ns = weft__now_ns() + DATA_STALL_NS;
        else if (weft__now_ns() > deadline_ns)
            bench_die("raw libfabric", WEFT_ETIMEDOUT);
    }
}

static struct context *take(struct end *end, unsigned window)
{
    if (end->in_flight >= window)
        await(end, 0, window - 1);
    struct context *context = end->idle;
    end->idle = context->next;
    end->in_flight++;
    return context;
}

static void say(struct end *end, unsigned window, size_t len_bytes)
{
    ssize_t rc;
    if (len_bytes <= end->info->tx_attr->inject_size) {
        while ((rc = fi_inject(end->ep, end->bytes, len_bytes, end->peer)) == -FI_EAGAIN)
            turn(end);
    } else {
        struct context *context = take(end, window);
        while ((rc = fi_send(end->ep, end->bytes, len_bytes, fi_mr_desc(end->mr), end->peer,
                             &context->fi)) == -FI_EAGAIN)
            turn(end);
    }
    check("send", rc);
}

static ssize_t put(struct end *end, size_t at, size_t len_bytes, struct context *context)
{
    void *desc = fi_mr_desc(end->mr);
    struct iovec part = {end->bytes + at, len_bytes};
    struct fi_rma_iov remote = {.addr = end->base + at, .len = len_bytes, .key = end->key};
    struct fi_msg_rma msg = {.msg_iov = &part,
                             .desc = &desc,
                             .iov_count = 1,
                             .addr = end->peer,
                             .rma_iov = &remote,
                             .rma_iov_count = 1,
                             .context = &context->fi};
    return fi_writemsg(end->ep, &msg, FI_COMPLETION | FI_DELIVERY_COMPLETE);
}

static void move(struct end *end, const struct data_task *task, unsigned i)
{
    struct context *context = take(end, task->window);
    size_t at = i % task->window * task->bytes;
    ssize_t rc;
    do
        rc = task->what == DATA_PUT
                 ? put(end, at, task->bytes, context)
                 : fi_read(end->ep, end->bytes + at, task->bytes, fi_mr_desc(end->mr), end->peer,
                           end->base + at, end->key, &context->fi);
    while (rc == -FI_EAGAIN && (turn(end), true));
    check("read or write", rc);
}

/* ---- tasks ---- */

static double pass(struct end *end, const struct data_task *task)
{
    struct bench_samples samples = {0};
    for (unsigned i = 0; i < task->n; i += task->batch) {
        uint64_t start_ns = weft__now_ns();
        for (unsigned k = 0; k < task->batch; k++) {
            unsigned long seen = end->received;
            say(end, task->window, task->bytes);
            await(end, seen + 1, DATA_WINDOW_MAX);
        }
        bench_sample(&samples, (double)(weft__now_ns() - start_ns) / 2e3 / task->batch);
    }
    await(end, 0, 0);
    return bench_typical(&samples);
}

static void burst(struct end *end, const struct data_task *task)
{
    unsigned long seen = end->received;
    for (unsigned i = 0; i < task->n; i++)
        if (task->what == DATA_RATE)
            say(end, task->window, task->bytes);
        else
            move(end, task, i);
    await(end, task->what == DATA_RATE ? seen + 1 : 0, 0);
}

static double ask(void *ctx, const struct data_task *task)
{
    struct end *end = ctx;
    struct bench_samples samples = {0};
    if (task->what == DATA_PASS)
        return pass(end, task);
    for (unsigned i = 0; i < task->bursts; i++) {
        uint64_t start_ns = weft__now_ns();
        burst(end, task);
        bench_sample(&samples, (double)(weft__now_ns() - start_ns));
    }
    if (task->what != DATA_RATE) {
        say(end, task->window, 1); /* the other side may stop */
        await(end, 0, 0);
    }
    return data_result(task, bench_typical(&samples));
}

static void answer(void *ctx, const struct data_task *task)
{
    struct end *end = ctx;
    unsigned long seen = end->received;
    bool answers = task->what == DATA_PASS || task->what == DATA_RATE;
    for (unsigned i = 1; i <= data_answers(task); i++) {
        await(end, seen + (unsigned long)data_messages(task) * i, DATA_WINDOW_MAX);
        if (answers)
            say(end, task->window, task->bytes);
    }
    await(end, 0, 0);
}

const struct data_kind data_raw_libfabric = {
    .open = open_end, .close = close_end, .can = can, .turn = turn, .ask = ask, .answer = answer};
