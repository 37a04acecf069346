/* Reads by plain libfabric.
 *
 * Each side has one endpoint and polls its completion queue without ever sleeping; the source does
 * so only between the two bytes that begin and end a read, so that it takes no processor from
 * others. Reads of READ_BYTES, READS of them in flight: larger and more were no faster (net on
 * 127.0.0.1).
 */
#include "raw_rma.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rdma/fabric.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_rma.h>

#include "base/clock.h"
#include "bench.h"
#include "transport/ofi/impl.h" /* loads the library */
#include "weft/error.h"

#define READ_BYTES ((size_t)1 << 20)
#define POLLS 64 /* between two looks at the socket */

enum { READS = 8, ADDRESS_MAX = 256 };

struct end {
    struct fi_info *info;
    struct fid_fabric *fabric;
    struct fid_domain *domain;
    struct fid_av *av;
    struct fid_cq *cq;
    struct fid_ep *ep;
};

struct greeting {
    uint64_t len_bytes, key, base;
    size_t address_len;
    char address[ADDRESS_MAX];
};

struct raw_rma {
    struct end end;
    struct greeting source;
    fi_addr_t peer;
    unsigned char *buffers;
    struct fid_mr *buffers_mr;
    int fd;
};

static void check(const char *what, long rc)
{
    if (rc >= 0)
        return;
    weft_fail(WEFT_EIO, "%s: %s", what, fi_strerror((int)-rc));
    bench_die("raw libfabric", WEFT_EIO);
}

static void end_open(struct end *end, const char *provider)
{
    bench_check("libfabric", weft__ofi_library_load());
    struct fi_info *hints = fi_allocinfo();
    struct fi_av_attr av = {.type = FI_AV_TABLE, .count = 4};
    struct fi_cq_attr cq = {.size = 256, .format = FI_CQ_FORMAT_CONTEXT};
    hints->caps = FI_MSG | FI_RMA;
    hints->mode = FI_CONTEXT | FI_CONTEXT2;
    hints->ep_attr->type = FI_EP_RDM;
    hints->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
    hints->domain_attr->threading = FI_THREAD_DOMAIN;
    hints->fabric_attr->prov_name = strdup(provider);
    check("fi_getinfo", fi_getinfo(FI_VERSION(1, 17), "127.0.0.1", NULL, FI_SOURCE | FI_NUMERICHOST,
                                   hints, &end->info));
    fi_freeinfo(hints);
    check("fi_fabric", fi_fabric(end->info->fabric_attr, &end->fabric, NULL));
    check("fi_domain", fi_domain(end->fabric, end->info, &end->domain, NULL));
    check("fi_av_open", fi_av_open(end->domain, &av, &end->av, NULL));
    check("fi_cq_open", fi_cq_open(end->domain, &cq, &end->cq, NULL));
    check("fi_endpoint", fi_endpoint(end->domain, end->info, &end->ep, NULL));
    check("fi_ep_bind", fi_ep_bind(end->ep, &end->av->fid, 0));
    check("fi_ep_bind", fi_ep_bind(end->ep, &end->cq->fid, FI_TRANSMIT | FI_RECV));
    check("fi_enable", fi_enable(end->ep));
}

static void end_close(struct end *end)
{
    fi_close(&end->ep->fid);
    fi_close(&end->cq->fid);
    fi_close(&end->av->fid);
    fi_close(&end->domain->fid);
    fi_close(&end->fabric->fid);
    fi_freeinfo(end->info);
}

static struct fid_mr *lend(const struct end *end, void *base, size_t len, uint64_t access)
{
    static uint64_t keys;
    struct fid_mr *mr;
    check("fi_mr_reg", fi_mr_reg(end->domain, base, len, access, 0, ++keys, 0, &mr, NULL));
    return mr;
}

/* ---- the source ---- */

/* Whether the receiver has said that it is over. */
static bool is_over(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT) >= 0;
}

static void serve(const struct end *end, int fd)
{
    struct fi_cq_entry entry;
    while (!is_over(fd))
        for (int i = 0; i < POLLS; i++)
            (void)fi_cq_read(end->cq, &entry, 1);
}

int raw_rma_source(void *ctx, int fd)
{
    const struct raw_rma_memory *memory = ctx;
    struct end end;
    struct greeting greeting = {.len_bytes = memory->len_bytes};
    char byte;
    end_open(&end, memory->provider);
    struct fid_mr *mr = lend(&end, memory->base, memory->len_bytes, FI_REMOTE_READ);
    greeting.key = fi_mr_key(mr);
    if (end.info->domain_attr->mr_mode & FI_MR_VIRT_ADDR)
        greeting.base = (uintptr_t)memory->base;
    greeting.address_len = ADDRESS_MAX;
    check("fi_getname", fi_getname(&end.ep->fid, greeting.address, &greeting.address_len));
    bench_send(fd, &greeting, sizeof(greeting));
    while (bench_receive(fd, &byte, 1))
        serve(&end, fd);
    fi_close(&mr->fid);
    end_close(&end);
    return 0;
}

/* ---- the receiver ---- */

struct raw_rma *raw_rma_open(const char *provider, int fd)
{
    struct raw_rma *raw = calloc(1, sizeof(*raw));
    if (!raw || !bench_receive(fd, &raw->source, sizeof(raw->source)))
        bench_die("the source of raw reads", WEFT_EPEERDEAD);
    end_open(&raw->end, provider);
    raw->fd = fd;
    if (fi_av_insert(raw->end.av, raw->source.address, 1, &raw->peer, 0, NULL) != 1)
        bench_die("fi_av_insert", WEFT_EIO);
    raw->buffers = mmap(NULL, READS * READ_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (raw->buffers == MAP_FAILED)
        bench_die("memory", WEFT_ENOMEM);
    raw->buffers_mr = lend(&raw->end, raw->buffers, READS * READ_BYTES, FI_READ);
    return raw;
}

void raw_rma_close(struct raw_rma *raw)
{
    fi_close(&raw->buffers_mr->fid);
    end_close(&raw->end);
    munmap(raw->buffers, READS * READ_BYTES);
    free(raw);
}

/* A read under way. */
struct slot {
    struct fi_context2 context; /* libfabric's; first: a completion names it */
    unsigned char *into;
    size_t offset, len_bytes;
};

struct reading {
    struct raw_rma *raw;
    enum raw_rma_way way;
    int file;
    unsigned char *map;
    struct fid_mr *map_mr;
    struct slot slots[READS];
    size_t asked, landed;
};

static void ask(struct reading *reading, struct slot *slot)
{
    const struct raw_rma *raw = reading->raw;
    struct fid_mr *mr = reading->way == RAW_RMA_BOUNCED ? raw->buffers_mr : reading->map_mr;
    long rc;
    slot->offset = reading->asked;
    slot->len_bytes = raw->source.len_bytes - reading->asked;
    if (slot->len_bytes > READ_BYTES)
        slot->len_bytes = READ_BYTES;
    slot->into = reading->way == RAW_RMA_BOUNCED
                     ? raw->buffers + (size_t)(slot - reading->slots) * READ_BYTES
                     : reading->map + slot->offset;
    reading->asked += slot->len_bytes;
    do {
        rc = fi_read(raw->end.ep, slot->into, slot->len_bytes, mr ? fi_mr_desc(mr) : NULL,
                     raw->peer, raw->source.base + slot->offset, raw->source.key, &slot->context);
        if (rc == -FI_EAGAIN)
            (void)fi_cq_read(raw->end.cq, NULL, 0);
    } while (rc == -FI_EAGAIN);
    check("fi_read", rc);
}

static void land(struct reading *reading, struct slot *slot)
{
    if (reading->way == RAW_RMA_BOUNCED && pwrite(reading->file, slot->into, slot->len_bytes,
                                                  (off_t)slot->offset) != (ssize_t)slot->len_bytes)
        bench_die("write into a memory file", -errno);
    reading->landed += slot->len_bytes;
    if (reading->asked < reading->raw->source.len_bytes)
        ask(reading, slot);
}

static void read_all(struct reading *reading)
{
    const size_t len = reading->raw->source.len_bytes;
    struct fi_cq_entry entries[READS];
    for (size_t i = 0; i < READS && reading->asked < len; i++)
        ask(reading, &reading->slots[i]);
    while (reading->landed < len) {
        long n = fi_cq_read(reading->raw->end.cq, entries, READS);
        if (n != -FI_EAGAIN)
            check("fi_cq_read", n);
        for (long i = 0; i < n; i++)
            land(reading, entries[i].op_context);
    }
}

uint64_t raw_rma_read(struct raw_rma *raw, enum raw_rma_way way)
{
    const size_t len = raw->source.len_bytes;
    struct reading reading = {.raw = raw, .way = way};
    bench_send(raw->fd, "b", 1);
    uint64_t start_ns = weft__now_ns();
    reading.file = memfd_create("raw", MFD_CLOEXEC);
    if (reading.file < 0 || ftruncate(reading.file, (off_t)len))
        bench_die("make a memory file", -errno);
    reading.map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, reading.file, 0);
    if (reading.map == MAP_FAILED)
        bench_die("map a memory file", WEFT_ENOMEM);
    if (way == RAW_RMA_STRAIGHT)
        reading.map_mr = lend(&raw->end, reading.map, len, FI_READ);
    read_all(&reading);
    uint64_t took_ns = weft__now_ns() - start_ns;
    bench_send(raw->fd, "e", 1);
    if (reading.map_mr)
        fi_close(&reading.map_mr->fid);
    munmap(reading.map, len);
    close(reading.file);
    return took_ns;
}
