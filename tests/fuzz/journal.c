/* The registry's log. Input: a byte: 0: the rest is the file; else the rest is payloads, each with
 * its length before it (two bytes), put into good frames, and what is left over is a torn tail. A
 * file that is accepted is accepted again, with the same keys and a later epoch. */
#include <sys/mman.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/log.h"
#include "fuzz.h"
#include "registry/journal.h"
#include "registry/registry.h"
#include "weft/error.h"

static void put(int fd, const void *bytes, size_t n)
{
    FUZZ_CHECK(write(fd, bytes, n) == (ssize_t)n);
}

static void put_frames(int fd, struct fuzz_input *input)
{
    uint64_t offset = 8;
    put(fd, "weftlog2", 8);
    while (input->left > 2) {
        uint8_t head[16] = {'R', 'E', 'G', 'L'};
        size_t n = (size_t)fuzz_number(input, 2);
        if (n > input->left)
            break;
        const uint8_t *payload = fuzz_take(input, &n);
        uint32_t len = (uint32_t)n;
        uint64_t sum = XXH3_64bits_withSeed(payload, n, offset);
        memcpy(head + 4, &len, 4);
        memcpy(head + 8, &sum, 8);
        put(fd, head, sizeof(head));
        put(fd, payload, n);
        offset += sizeof(head) + n;
    }
    put(fd, input->at, input->left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    char path[32];
    struct weft_journal journal;
    struct weft_values keys = {0}, again = {0};
    uint64_t epoch;
    weft__log_set_level(WEFT_LOG_ERROR);
    int fd = memfd_create("journal", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (fuzz_number(&input, 1) == 0)
        put(fd, input.at, input.left);
    else
        put_frames(fd, &input);
    int err = weft__journal_open(&journal, path, &keys);
    if (err == WEFT_OK) {
        epoch = journal.epoch;
        weft__journal_close(&journal);
        FUZZ_CHECK(weft__journal_open(&journal, path, &again) == WEFT_OK);
        FUZZ_CHECK(journal.epoch > epoch || epoch == UINT64_MAX);
        FUZZ_CHECK(journal.torn_at == 0);
        FUZZ_CHECK(again.revision == keys.revision);
        weft__journal_close(&journal);
        weft__values_fini(&again);
    }
    weft__values_fini(&keys);
    close(fd);
    return 0;
}
