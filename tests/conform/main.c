/* Asks the subjects everything: all of them, or the one named on the command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/conform/conform.h"
#include "weft/error.h"

const struct conform_subject *conform_subject;

static int ask(const struct conform_subject *subject)
{
    conform_subject = subject;
    print_message("subject: %s\n", subject->name);
    int failed = weft__transport_check(subject->transport) != WEFT_OK;
    if (failed)
        print_error("%s\n", weft_fail_text(WEFT_EINVAL));
    failed += conform_core();
    failed += conform_msg();
    failed += conform_rma();
    failed += conform_edges();
    failed += conform_ctl();
    failed += subject->cut ? conform_wire() : 0;
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0, asked = 0;
    for (const struct conform_subject *subject = conform_subjects; subject->name; subject++) {
        if (argc > 1 && strcmp(argv[1], subject->name) != 0)
            continue;
        asked++;
        failed += ask(subject);
    }
    if (!asked)
        fprintf(stderr, "no such subject: %s\n", argc > 1 ? argv[1] : "(none)");
    return failed || !asked;
}
