/* weft keygen: the keys of WEFT_SECURITY=curve. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "control/keys.h"
#include "control/security.h"

static const char usage[] =
    "Usage: weft keygen [--force] [FOLDER]\n"
    "\n"
    "Makes a key pair for WEFT_SECURITY=curve in FOLDER (default: WEFT_KEYS, or ~/.config/weft):\n"
    "\n"
    "  secret    the secret key, readable by you alone; copy it to your other machines by a way "
    "that\n"
    "            nobody overhears, and give it to nobody\n"
    "  public    the public key; whoever runs hosts may add it to his file \"allowed\"\n"
    "  allowed   public keys of the clients that your hosts let in, one per line; yours to begin "
    "with\n"
    "  hosts     (yours to write) lines \"ADDRESS KEY\": hosts that have another public key than "
    "yours\n"
    "\n"
    "  --force   make new keys in place of those that are there; the rest of \"allowed\" stays\n";

static void force(void *wanted, int option)
{
    (void)option;
    *(bool *)wanted = true;
}

static int make(const char *folder, bool by_force)
{
    struct weft_key public_key, secret_key;
    char text[WEFT_KEY_TEXT_LEN + 1];
    int err = weft__keys_generate(folder, by_force);
    if (err == WEFT_OK)
        err = weft__keys_read(folder, &public_key, &secret_key);
    if (err != WEFT_OK) {
        fprintf(stderr, "weft keygen: %s\n", weft_fail_text(err));
        return err == WEFT_EEXIST ? CLI_REFUSED : cli_exit_code(err);
    }
    explicit_bzero(&secret_key, sizeof(secret_key));
    weft__key_print(&public_key, text);
    printf("keys       %s\npublic     %s\n", folder, text);
    printf("use        WEFT_SECURITY=curve and WEFT_KEYS=%s on all hosts and clients\n", folder);
    return CLI_OK;
}

int cmd_keygen(int argc, char **argv)
{
    static const struct option options[] = {CLI_HELP, {"force", no_argument, NULL, 'f'}, {0}};
    bool by_force = false;
    struct cli_command command = {
        .name = "keygen", .usage = usage, .options = options, .own = force, .ctx = &by_force};
    char folder[4096];
    int code = cli_options(&command, argc, argv);
    if (code >= 0)
        return code;
    if (argc - optind > 1)
        return cli_usage("keygen", "what is \"%s\"?", argv[optind + 1]);
    if (optind < argc)
        return make(argv[optind], by_force);
    int err = weft__security_folder(folder, sizeof(folder));
    if (err == WEFT_OK)
        return make(folder, by_force);
    fprintf(stderr, "weft keygen: %s\n", weft_fail_text(err));
    return cli_exit_code(err);
}
