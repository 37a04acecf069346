/* A cluster with WEFT_SECURITY=curve: who has the key works as ever, who has not is refused at
 * once, by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "ask.h"
#include "base/config.h"
#include "cluster.h"
#include "control/client.h"
#include "control/keys.h"
#include "control/security.h"
#include "stage.h"
#include "weft/error.h"

enum { REFUSED = 4 };

static char ours[160], strangers[160];

static void use_keys(const char *folder)
{
    (void)setenv("WEFT_SECURITY", "curve", 1);
    (void)setenv("WEFT_KEYS", folder, 1);
}

/* The hosts', the commands' and the test's own keys. */
static int keys_open(void **state)
{
    if (cluster_open(state) != 0)
        return -1;
    struct cluster *cluster = *state;
    snprintf(ours, sizeof(ours), "%s/ours", cluster->work);
    snprintf(strangers, sizeof(strangers), "%s/strangers", cluster->work);
    if (weft__keys_generate(ours, false) != WEFT_OK ||
        weft__keys_generate(strangers, false) != WEFT_OK)
        return -1;
    weft__client_close(cluster->client);
    cluster->client = NULL;
    weft__security_forget();
    if (weft__config_set("WEFT_SECURITY", "curve") != WEFT_OK ||
        weft__config_set("WEFT_KEYS", ours) != WEFT_OK)
        return -1;
    use_keys(ours);
    return weft__client_open(&(struct weft_client_desc){.pending_max = 0}, &cluster->client);
}

static int keys_close(void **state)
{
    int failed = cluster_close(state);
    (void)weft__config_set("WEFT_SECURITY", "none");
    weft__security_forget();
    return failed;
}

static void check(struct cluster *cluster, const struct child *child, int code, const char *words)
{
    if (child->code != code)
        cluster_fail(cluster, "exit code %d instead of %d, where \"%s\" is wanted", child->code,
                     code, words);
    if (!child_said(child, words))
        cluster_fail(cluster, "nobody says \"%s\"", words);
}

static void runs_an_app(struct cluster *cluster)
{
    const char *at = cluster->hosts[0].address;
    struct child *child =
        cluster_weft(cluster, "run", "--at", at, "-n", "3", cluster_program("hello"), NULL);
    check(cluster, child, 0, "of 3 on home");
    check(cluster, child, 0, "of 3 on a");
    check(cluster, child, 0, "of 3 on b");
    stage_all_free(cluster);
}

static void three_hosts_with_one_key_run_an_app(void **state)
{
    struct cluster *cluster = *state;
    cluster_three(cluster, 1);
    runs_an_app(cluster);
}

static void data_over_zmq_is_encrypted_and_arrives(void **state)
{
    struct cluster *cluster = *state;
    (void)setenv("WEFT_DATA", "zmq", 1);
    cluster_three(cluster, 1);
    runs_an_app(cluster);
}

static void hosts_that_are_started_for_a_run_share_the_key(void **state)
{
    struct cluster *cluster = *state;
    struct child *child = cluster_weft(cluster, "run", "--hosts", "3", "--slots", "1", "-n", "3",
                                       cluster_program("hello"), NULL);
    check(cluster, child, 0, "of 3 on c");
}

/* Programs that know nothing of settings: libweft reads them. */
static void programs_of_users_have_the_key_of_their_environment(void **state)
{
    struct cluster *cluster = *state;
    cluster_three(cluster, 1);
    (void)setenv("WEFT_HOST", cluster->hosts[1].address, 1);
    struct child *one = cluster_start(cluster, "../tests/meet", "abc", "1", NULL);
    struct child *zero = cluster_start(cluster, "../tests/meet", "abc", "0", NULL);
    struct child *count = cluster_start(cluster, "../tests/count", NULL);
    (void)unsetenv("WEFT_HOST");
    cluster_check(cluster, child_wait(zero, CLUSTER_MS) == 0);
    cluster_check(cluster, child_wait(one, CLUSTER_MS) == 0);
    cluster_check(cluster, child_wait(count, CLUSTER_MS) == 0);
    check(cluster, zero, 0, "member 0 has the lock");
}

static void who_has_no_right_key_is_refused_with_words(void **state)
{
    struct cluster *cluster = *state;
    char hosts[224], line[128], key[WEFT_KEY_TEXT_LEN + 1];
    cluster_three(cluster, 1);
    const char *at = cluster->hosts[0].address;
    (void)setenv("WEFT_SECURITY", "none", 1);
    check(cluster, cluster_weft(cluster, "hosts", "--at", at, NULL), REFUSED,
          "WEFT_SECURITY=curve");
    use_keys(strangers);
    check(cluster, cluster_weft(cluster, "hosts", "--at", at, NULL), REFUSED, "another key");
    struct weft_security_facts facts; /* the stranger learns our public key */
    weft__security_facts(&facts);
    memcpy(key, facts.key, sizeof(key));
    snprintf(hosts, sizeof(hosts), "%s/hosts", strangers);
    snprintf(line, sizeof(line), "%s %s\n", at, key);
    FILE *file = fopen(hosts, "we");
    cluster_check(cluster, file != NULL && fputs(line, file) > 0 && fclose(file) == 0 &&
                               chmod(hosts, 0644) == 0);
    check(cluster, cluster_weft(cluster, "hosts", "--at", at, NULL), REFUSED, "\"allowed\"");
    check(cluster,
          cluster_weft(cluster, "run", "--at", at, "-n", "1", cluster_program("hello"), NULL),
          REFUSED, "\"allowed\"");
    use_keys("/nowhere/at/all");
    check(cluster, cluster_weft(cluster, "hosts", "--at", at, NULL), REFUSED, "weft keygen");
    use_keys(ours);
    struct child *info = cluster_weft(cluster, "info", "--at", at, NULL);
    key[8] = '\0';
    check(cluster, info, 0, key);
    check(cluster, info, 0, "1 clients allowed");
    check(cluster, info, 0, "refused: 2 for their key");
    info = cluster_weft(cluster, "info", "--at", at, "--json", "-", NULL);
    check(cluster, info, 0, "\"security\": \"curve\"");
    check(cluster, info, 0, "\"denied\": 2");
    runs_an_app(cluster);
}

static void a_host_with_another_key_cannot_join(void **state)
{
    struct cluster *cluster = *state;
    char address[24];
    (void)cluster_host(cluster, "home", 1);
    snprintf(address, sizeof(address), "%s.9", cluster->net);
    const char *const args[] = {
        "--name", "spy", "--address", address, "--head", cluster->hosts[0].address, NULL};
    use_keys(strangers);
    struct child *spy = cluster_start_list(cluster, "weftd", args);
    cluster_check(cluster, child_wait(spy, CLUSTER_MS) == REFUSED);
    check(cluster, spy, REFUSED, "another key");
    use_keys(ours);
    struct child *hosts = cluster_weft(cluster, "hosts", "--at", cluster->hosts[0].address, NULL);
    cluster_check(cluster, hosts->code == 0 && !child_said(hosts, "spy"));
}

static void a_secret_key_that_others_can_read_is_not_used(void **state)
{
    struct cluster *cluster = *state;
    char secret[224], address[24];
    snprintf(secret, sizeof(secret), "%s/secret", ours);
    cluster_check(cluster, chmod(secret, 0644) == 0);
    snprintf(address, sizeof(address), "%s.1", cluster->net);
    const char *const args[] = {"--name", "home", "--address", address, NULL};
    struct child *child = cluster_start_list(cluster, "weftd", args);
    cluster_check(cluster, child_wait(child, CLUSTER_MS) == REFUSED);
    check(cluster, child, REFUSED, "chmod 600");
    check(cluster, cluster_weft(cluster, "hosts", "--at", address, NULL), REFUSED, "chmod 600");
    cluster_check(cluster, chmod(secret, 0600) == 0);
    (void)cluster_host(cluster, "home", 1);
    cluster_check(cluster, ask_ping(cluster, &cluster->hosts[0]));
}

static void keygen_makes_keys_that_work(void **state)
{
    struct cluster *cluster = *state;
    char folder[160];
    snprintf(folder, sizeof(folder), "%s/made", cluster->work);
    check(cluster, cluster_weft(cluster, "keygen", folder, NULL), 0, folder);
    check(cluster, cluster_weft(cluster, "keygen", folder, NULL), REFUSED, "--force");
    check(cluster, cluster_weft(cluster, "keygen", "--force", folder, NULL), 0, folder);
    check(cluster, cluster_weft(cluster, "keygen", folder, "more", NULL), 2, "more");
    use_keys(folder);
    struct child *child = cluster_weft(cluster, "run", "--hosts", "1", "--slots", "1", "-n", "1",
                                       cluster_program("hello"), NULL);
    check(cluster, child, 0, "hello 0 of 1");
}

static void a_plain_zeromq_client_gets_nothing(void **state)
{
    struct cluster *cluster = *state;
    char frame[48] = "FEWT", reply[64];
    int zero = 0, some = 500;
    (void)cluster_host(cluster, "home", 1);
    void *context = zmq_ctx_new(), *req = zmq_socket(context, ZMQ_REQ);
    zmq_setsockopt(req, ZMQ_LINGER, &zero, sizeof(zero));
    zmq_setsockopt(req, ZMQ_RCVTIMEO, &some, sizeof(some));
    cluster_check(cluster, zmq_connect(req, cluster->hosts[0].url) == 0 &&
                               zmq_send(req, frame, sizeof(frame), 0) == sizeof(frame));
    cluster_check(cluster, zmq_recv(req, reply, sizeof(reply), 0) < 0);
    zmq_close(req);
    zmq_ctx_term(context);
    struct child *info = cluster_weft(cluster, "info", "--at", cluster->hosts[0].address, NULL);
    cluster_check(cluster, info->code == 0 && !child_said(info, "; 0 handshakes failed"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, keys_open, keys_close)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        CASE(three_hosts_with_one_key_run_an_app),
        CASE(data_over_zmq_is_encrypted_and_arrives),
        CASE(hosts_that_are_started_for_a_run_share_the_key),
        CASE(programs_of_users_have_the_key_of_their_environment),
        CASE(who_has_no_right_key_is_refused_with_words),
        CASE(a_host_with_another_key_cannot_join),
        CASE(a_secret_key_that_others_can_read_is_not_used),
        CASE(keygen_makes_keys_that_work),
        CASE(a_plain_zeromq_client_gets_nothing),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
