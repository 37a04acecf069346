/* What programs do with signals and time, around calls of MPI at which the rank may be moved.
 * Prints a sum that does not depend on the host. Arguments: rounds, or 0; a file: with 0 rounds, as
 * many as until it exists; a folder to work in. */
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <mpi.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int world_rank, world_size;
static uint64_t checksum = 1;

static void mix(uint64_t value)
{
    checksum = (checksum ^ value) * UINT64_C(1099511628211);
}

/* Where moves happen: all ranks meet. */
static void meet(void)
{
    uint64_t mine = checksum, all = 0;
    MPI_Allreduce(&mine, &all, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    mix(all);
}

static void fail(const char *what)
{
    printf("rank %d: %s is broken: %s\n", world_rank, what, strerror(errno));
    fflush(stdout);
    MPI_Abort(MPI_COMM_WORLD, 3);
}

static volatile sig_atomic_t seen[NSIG];
static sigjmp_buf back;
static void *volatile where;

static void count(int number)
{
    seen[number]++;
}

static void tell(int number, siginfo_t *info, void *context)
{
    ucontext_t *user = context;
    where = info->si_addr;
    seen[number]++;
    if (info->si_signo != number || !user->uc_mcontext.fpregs)
        fail("what a handler is told");
    siglongjmp(back, 1);
}

static void install(int number, void (*handler)(int), void (*teller)(int, siginfo_t *, void *),
                    int flags)
{
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    if (teller)
        action.sa_sigaction = teller;
    else
        action.sa_handler = handler;
    action.sa_flags = flags | (teller ? SA_SIGINFO : 0);
    if (sigaction(number, &action, NULL) != 0)
        fail("sigaction");
}

/* Registers of all kinds are the same behind a handler. */
static void raised_signals_are_handled(void)
{
    volatile double values[4] = {1.5, 2.5, 3.5, 4.5};
    double a = values[0], b = values[1], c = values[2], d = values[3];
    install(SIGUSR1, count, NULL, 0);
    seen[SIGUSR1] = 0;
    for (int i = 0; i < 3; i++)
        raise(SIGUSR1);
    if (kill(getpid(), SIGUSR1) != 0 || seen[SIGUSR1] != 4 || a + b + c + d != 12)
        fail("raise");
    meet();
    raise(SIGUSR1);
    if (seen[SIGUSR1] != 5 || kill(getpid() + 1, SIGUSR1) != -1 || errno != ESRCH)
        fail("a handler after a meeting");
    install(SIGUSR1, SIG_IGN, NULL, 0);
    raise(SIGUSR1);
    install(SIGUSR2, count, NULL, SA_RESETHAND);
    raise(SIGUSR2);
    struct sigaction action;
    if (seen[SIGUSR1] != 5 || sigaction(SIGUSR2, NULL, &action) != 0 ||
        action.sa_handler != SIG_DFL)
        fail("SIG_IGN");
}

static void blocked_signals_wait(void)
{
    sigset_t set, before, pending;
    struct timespec no_time = {0, 0};
    int number;
    install(SIGUSR1, count, NULL, 0);
    seen[SIGUSR1] = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &before);
    raise(SIGUSR1);
    meet();
    if (seen[SIGUSR1] || sigpending(&pending) != 0 || !sigismember(&pending, SIGUSR1))
        fail("a blocked signal");
    if (sigsuspend(&before) != -1 || errno != EINTR || seen[SIGUSR1] != 1)
        fail("sigsuspend");
    raise(SIGUSR1);
    if (sigwait(&set, &number) != 0 || number != SIGUSR1 || seen[SIGUSR1] != 1 ||
        sigtimedwait(&set, NULL, &no_time) != -1 || errno != EAGAIN)
        fail("sigwait");
    raise(SIGUSR1);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (seen[SIGUSR1] != 2)
        fail("sigprocmask");
}

static int *volatile nowhere;
static volatile int zero, many = 100;

static void faults_are_handled(void)
{
    static char stack[65536];
    stack_t alt = {.ss_sp = stack, .ss_size = sizeof(stack)}, got;
    install(SIGSEGV, NULL, tell, SA_ONSTACK);
    install(SIGFPE, NULL, tell, 0);
    seen[SIGSEGV] = seen[SIGFPE] = 0;
    if (sigaltstack(&alt, NULL) != 0)
        fail("sigaltstack");
    for (int i = 0; i < 3; i++) {
        nowhere = (int *)(uintptr_t)(i * 16);
        if (sigsetjmp(back, 1) == 0)
            *nowhere = 1;
        if (where != (void *)nowhere)
            fail("the address of a fault");
        meet();
    }
    if (sigsetjmp(back, 1) == 0)
        mix((uint64_t)(many / zero));
    if (seen[SIGSEGV] != 3 || seen[SIGFPE] != 1)
        fail("a handler of faults");
    alt.ss_flags = SS_DISABLE;
    if (sigaltstack(&alt, &got) != 0 || got.ss_sp != stack)
        fail("sigaltstack");
}

static void timers_interrupt(void)
{
    struct itimerval timer = {{0, 2000}, {0, 2000}}, off = {{0, 0}, {0, 0}};
    struct timespec hour = {3600, 0}, left;
    install(SIGALRM, count, NULL, 0);
    seen[SIGALRM] = 0;
    if (setitimer(ITIMER_REAL, &timer, NULL) != 0 || nanosleep(&hour, &left) != -1 ||
        errno != EINTR || left.tv_sec < 3500 || pause() != -1 || errno != EINTR)
        fail("a sleep that is interrupted");
    if (poll(NULL, 0, -1) != -1 || errno != EINTR)
        fail("a poll that is interrupted");
    int least = 0, mine;
    while (least < 6) { /* the timer goes on from host to host */
        mine = seen[SIGALRM];
        MPI_Allreduce(&mine, &least, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    }
    if (setitimer(ITIMER_REAL, &off, &timer) != 0 || timer.it_interval.tv_usec != 2000)
        fail("setitimer");
    alarm(100);
    if (alarm(0) < 99)
        fail("alarm");
}

static char rang[64];

static void tell_by_file(int number)
{
    seen[number]++;
    close(open(rang, O_CREAT | O_WRONLY, 0600));
}

/* Nobody sends before the timers of all have run, in MPI_Recv. */
static void a_rank_that_waits_for_a_message_hears_its_timer(void)
{
    struct itimerval timer = {{0, 0}, {0, 3000}};
    int word = 0, to = (world_rank + 1) % world_size;
    int from = (world_rank + world_size - 1) % world_size;
    install(SIGALRM, tell_by_file, NULL, SA_RESTART);
    seen[SIGALRM] = 0;
    if (world_rank == 0) {
        for (int i = 1; i < world_size; i++) {
            snprintf(rang, sizeof(rang), "rang.%d", i);
            while (unlink(rang) != 0)
                usleep(1000);
        }
        MPI_Send(&word, 1, MPI_INT, to, 7, MPI_COMM_WORLD);
        MPI_Recv(&word, 1, MPI_INT, from, 7, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    } else {
        snprintf(rang, sizeof(rang), "rang.%d", world_rank);
        setitimer(ITIMER_REAL, &timer, NULL);
        MPI_Recv(&word, 1, MPI_INT, from, 7, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (seen[SIGALRM] != 1)
            fail("a timer in MPI_Recv");
        MPI_Send(&word, 1, MPI_INT, to, 7, MPI_COMM_WORLD);
    }
}

static double seconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void sleeps_are_long_enough(void)
{
    struct timespec until;
    double begin = seconds(CLOCK_MONOTONIC);
    usleep(3000);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 3000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    if (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL) != 0)
        fail("clock_nanosleep");
    for (int i = 0; i < 3; i++)
        sched_yield();
    if (poll(NULL, 0, 2) != 0 || seconds(CLOCK_MONOTONIC) - begin < 0.0075)
        fail("a sleep");
    meet();
}

/* Rounding modes and vector registers survive sleeps, where the rank may be moved. */
static void registers_survive_sleeps(void)
{
    double sum = 0, third[8];
    if (fesetround(FE_UPWARD) != 0)
        fail("fesetround");
    for (int i = 0; i < 8; i++)
        third[i] = (double)(i + 1 + zero) / 3;
    for (int k = 0; k < 20; k++) {
        usleep(100);
        for (int i = 0; i < 8; i++)
            sum += third[i] * k;
    }
    if (fegetround() != FE_UPWARD || sum < 2279.9 || sum > 2280.1)
        fail("the rounding mode");
    fesetround(FE_TONEAREST);
    mix((uint64_t)(sum * 1000));
}

/* Whether the file is there, as rank 0 sees it: all make as many rounds. */
static int is_to_end(const char *path)
{
    int end = world_rank == 0 && access(path, F_OK) == 0;
    MPI_Bcast(&end, 1, MPI_INT, 0, MPI_COMM_WORLD);
    return end;
}

int main(int argc, char **argv)
{
    static char buffer[BUFSIZ];
    setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world_size);
    int rounds = atoi(argv[1]), i;
    if (chdir(argv[3]) != 0)
        fail("the folder");
    printf("rank %d ", world_rank);
    for (i = 0; rounds ? i < rounds : !is_to_end(argv[2]); i++) {
        raised_signals_are_handled();
        blocked_signals_wait();
        faults_are_handled();
        timers_interrupt();
        a_rank_that_waits_for_a_message_hears_its_timer();
        sleeps_are_long_enough();
        registers_survive_sleeps();
    }
    printf("of %d: %016llx after %d rounds\n", world_size, (unsigned long long)checksum, i);
    MPI_Finalize();
    return 0;
}
