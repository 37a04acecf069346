/* A network for a benchmark: two hosts, each in a network namespace, joined by one link of limited
 * rate. Needs root; the namespaces have no names and are gone with the last process in them. */
#ifndef WEFT_BENCH_NET_H
#define WEFT_BENCH_NET_H

#include <stdbool.h>
#include <sys/types.h>

#define BENCH_NET "10.79.0" /* this host is .1, the other one .2 */

struct bench_net {
    pid_t holder;   /* keeps the other host's namespace */
    char other[64]; /* file of that namespace */
};

/* Takes this process into the first host's namespace and makes the second; rate: tc's words for
 * what each of them may send per second. false: not to be had here; why_out says why. */
bool bench_net_open(struct bench_net *net, const char *rate, const char **why_out);
void bench_net_close(struct bench_net *net);

#endif
