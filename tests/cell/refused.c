/* Asks for what ranks in cells do not have; each is refused with an error that a program can
 * handle, and the rank goes on. Rank 1 then waits at a place where it cannot be moved, if its
 * argument says so, until the file of the second argument exists: pipe, socket, deleted, tmpfile,
 * locked, memfd.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mpi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <unistd.h>

static void *thread(void *arg)
{
    return arg;
}

/* Returns what is not as it should be; NULL: nothing. */
static const char *ask(void)
{
    pthread_t id;
    char *const argv[] = {"true", NULL};
    if (fork() != -1 || errno != ENOSYS)
        return "fork";
    if (vfork() != -1 || errno != ENOSYS)
        return "vfork";
    if (execv("/bin/true", argv) != -1 || errno != ENOSYS)
        return "execve";
    if (system("true") == 0 || popen("true", "r"))
        return "system";
    if (pthread_create(&id, NULL, thread, NULL) != ENOSYS)
        return "a thread";
    if (shmget(IPC_PRIVATE, 4096, 0600) != -1)
        return "shmget";
    if (mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED ||
        errno != ENODEV)
        return "mmap";
    if (prctl(PR_SET_NAME, "name") != -1)
        return "prctl";
    if (write(3, "x", 1) != -1 || errno != EBADF || close(1000000) != -1 || dup2(1, 5000) != -1)
        return "a descriptor";
    return NULL;
}

static int hold(const char *what)
{
    int fds[2] = {-1, -1}, fd = -1;
    char name[32];
    snprintf(name, sizeof(name), "held.%d", getpid());
    if (strcmp(what, "pipe") == 0)
        return pipe(fds);
    if (strcmp(what, "socket") == 0)
        return socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    if (strcmp(what, "memfd") == 0)
        return memfd_create("held", 0) < 0;
    if (strcmp(what, "event") == 0)
        return eventfd(0, 0) < 0;
    if (strcmp(what, "tmpfile") == 0)
        return tmpfile() == NULL;
    fd = open(name, O_RDWR | O_CREAT, 0600);
    if (strcmp(what, "deleted") == 0)
        return fd < 0 || unlink(name) != 0;
    return fd < 0 || flock(fd, LOCK_EX) != 0;
}

int main(int argc, char **argv)
{
    int rank, end = 0;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    const char *wrong = ask();
    if (!wrong && rank == 1 && argc > 2 && (chdir(argv[3]) != 0 || hold(argv[1]) != 0))
        wrong = argv[1];
    if (wrong) {
        printf("rank %d: %s: %s\n", rank, wrong, strerror(errno));
        fflush(stdout);
        MPI_Abort(MPI_COMM_WORLD, 3);
    }
    while (argc > 2 && !end) {
        end = rank == 0 && access(argv[2], F_OK) == 0;
        MPI_Bcast(&end, 1, MPI_INT, 0, MPI_COMM_WORLD);
    }
    MPI_Finalize();
    return 0;
}
