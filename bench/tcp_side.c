/* Plain TCP between two processes: what lanes are compared with. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lane_side.h"
#include "weft/error.h"

struct bench_tcp {
    pid_t pid;
    int control, fd;
    unsigned char *bytes;
};

static void no_delay(int fd)
{
    int one = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0)
        bench_die("TCP_NODELAY", -errno);
}

static unsigned char *some_bytes(void)
{
    unsigned char *bytes = malloc(BENCH_SHARED_BYTES);
    if (!bytes)
        bench_die("memory", WEFT_ENOMEM);
    memset(bytes, 1, BENCH_SHARED_BYTES);
    return bytes;
}

static int answer_main(void *ctx, int control)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(name);
    unsigned char *bytes = some_bytes();
    uint64_t wanted;
    (void)ctx;
    int port = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (port < 0 || bind(port, (struct sockaddr *)&name, sizeof(name)) != 0 ||
        listen(port, 1) != 0 || getsockname(port, (struct sockaddr *)&name, &len) != 0)
        bench_die("listen", -errno);
    bench_send(control, &name, sizeof(name));
    int fd = accept4(port, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        bench_die("accept", -errno);
    no_delay(fd);
    while (bench_receive(fd, &wanted, sizeof(wanted)))
        bench_send(fd, bytes, wanted);
    close(fd);
    close(port);
    free(bytes);
    return 0;
}

struct bench_tcp *bench_tcp_open(void)
{
    struct bench_tcp *tcp = calloc(1, sizeof(*tcp));
    struct sockaddr_in name;
    if (!tcp)
        bench_die("memory", WEFT_ENOMEM);
    tcp->pid = bench_fork(answer_main, NULL, &tcp->control);
    if (!bench_receive(tcp->control, &name, sizeof(name)))
        bench_die("the TCP peer", WEFT_EPEERDEAD);
    tcp->bytes = some_bytes();
    tcp->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (tcp->fd < 0 || connect(tcp->fd, (struct sockaddr *)&name, sizeof(name)) != 0)
        bench_die("connect", -errno);
    no_delay(tcp->fd);
    return tcp;
}

void bench_tcp_close(struct bench_tcp *tcp)
{
    shutdown(tcp->fd, SHUT_RDWR); /* other children may have a copy of it */
    close(tcp->fd);
    if (bench_join(tcp->pid, tcp->control))
        bench_die("end the TCP peer", WEFT_EPEERDEAD);
    free(tcp->bytes);
    free(tcp);
}

void bench_tcp_ask(struct bench_tcp *tcp, size_t len_bytes)
{
    uint64_t wanted = len_bytes;
    bench_send(tcp->fd, &wanted, sizeof(wanted));
    if (!bench_receive(tcp->fd, tcp->bytes, len_bytes))
        bench_die("the TCP peer", WEFT_EPEERDEAD);
}
