/* Asks the subjects everything: all of them, or the one named on the command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/conform/conform.h"
#include "tests/conform/far.h"
#include "weft/error.h"

const struct conform_subject *conform_subject;

static int ask(const struct conform_subject *subject)
{
    conform_subject = subject;
    print_message("subject: %s\n", subject->name);
    if (subject->far)
        far_start();
    int failed = weft__transport_check(subject->transport) != WEFT_OK;
    if (failed)
        print_error("%s\n", weft_fail_text(WEFT_EINVAL));
    if (!subject->far) { /* it has no far side */
        failed += conform_core();
        failed += conform_ctl();
    }
    failed += conform_msg();
    failed += conform_rma();
    failed += conform_edges();
    failed += subject->cut ? conform_wire() : 0;
    return failed;
}

/* conform_X SUBJECT --agent ADDRESS PORT: has the far side of a subject that is asked elsewhere. */
static int be_agent(const struct conform_subject *subject, char **argv)
{
    uint16_t port;
    int fd = far_listen(argv[0], (uint16_t)atoi(argv[1]), &port);
    if (fd >= 0)
        far_serve(fd, subject->transport);
    return 1;
}

int main(int argc, char **argv)
{
    int failed = 0, asked = 0;
    for (const struct conform_subject *subject = conform_subjects; subject->name; subject++) {
        if (argc > 1 && strcmp(argv[1], subject->name) != 0)
            continue;
        if (argc == 5 && strcmp(argv[2], "--agent") == 0)
            return be_agent(subject, argv + 3);
        asked++;
        failed += ask(subject);
    }
    if (!asked)
        fprintf(stderr, "no such subject: %s\n", argc > 1 ? argv[1] : "(none)");
    return failed || !asked;
}
