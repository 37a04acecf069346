/* Rank 0 reads its standard input to the end, or so many bytes of it, in pieces of all sizes and in
 * the ways that there are; all meet between the pieces, so it is moved with input unread. Prints
 * how many bytes there were, and a checksum of them. Arguments: how many bytes (0: all); how many
 * of the ways (0: all). */
#include <errno.h>
#include <fcntl.h>
#include <mpi.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <unistd.h>

static uint64_t checksum = 1, total;

static ssize_t by_vector(char *into, size_t len)
{
    struct iovec parts[2] = {{into, len / 2}, {into + len / 2, len - len / 2}};
    return readv(0, parts, 2);
}

static ssize_t by_poll(char *into, size_t len)
{
    struct pollfd fd = {.fd = 0, .events = POLLIN};
    while (poll(&fd, 1, -1) != 1)
        continue;
    return read(0, into, len);
}

static ssize_t by_select(char *into, size_t len)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(0, &set);
    while (select(1, &set, NULL, NULL, NULL) != 1)
        continue;
    return read(0, into, len);
}

/* Its set keeps the rank on its host while it is open. */
static ssize_t by_epoll(char *into, size_t len)
{
    struct epoll_event event = {.events = EPOLLIN};
    int set = epoll_create1(0);
    if (set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, 0, &event) != 0)
        return -1;
    while (epoll_wait(set, &event, 1, -1) != 1)
        continue;
    close(set);
    return read(0, into, len);
}

static ssize_t without_waiting(char *into, size_t len)
{
    ssize_t n;
    int flags = fcntl(0, F_GETFL);
    fcntl(0, F_SETFL, flags | O_NONBLOCK);
    while ((n = read(0, into, len)) < 0 && errno == EAGAIN)
        usleep(200);
    fcntl(0, F_SETFL, flags);
    return n;
}

static ssize_t by_another_number(char *into, size_t len)
{
    int fd = dup(0);
    ssize_t n = read(fd, into, len);
    close(fd);
    return n;
}

static ssize_t plainly(char *into, size_t len)
{
    return read(0, into, len);
}

static ssize_t (*const ways[])(char *, size_t) = {
    plainly, by_vector, by_poll, by_select, by_another_number, without_waiting, by_epoll,
};
enum { WAYS = sizeof(ways) / sizeof(ways[0]), PIECE_MAX = 100000 };

static ssize_t read_some(unsigned turn, uint64_t left, unsigned some)
{
    static char bytes[PIECE_MAX];
    size_t len = turn * 7919u % PIECE_MAX + 1;
    if (left < len)
        len = left;
    ssize_t n = ways[turn % some](bytes, len);
    for (ssize_t i = 0; i < n; i++)
        checksum = (checksum ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
    total += n > 0 ? (uint64_t)n : 0;
    return n;
}

int main(int argc, char **argv)
{
    int rank;
    char byte;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    uint64_t wanted = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    if (wanted == 0)
        wanted = UINT64_MAX;
    unsigned some = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
    if (some == 0 || some > WAYS)
        some = WAYS;
    int goes_on = 1;
    for (unsigned turn = 0; goes_on; turn++) {
        if (rank == 0) {
            ssize_t n = read_some(turn, wanted - total, some);
            if (n < 0)
                printf("turn %u: %s\n", turn, strerror(errno));
            goes_on = n > 0 && total < wanted;
        }
        MPI_Bcast(&goes_on, 1, MPI_INT, 0, MPI_COMM_WORLD);
    }
    if (rank == 0)
        printf("%llu bytes, %016llx\n", (unsigned long long)total, (unsigned long long)checksum);
    else if (read(0, &byte, 1) != 0)
        printf("rank %d has an input of its own\n", rank);
    MPI_Finalize();
    return 0;
}
